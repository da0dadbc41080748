package httppool

import (
	"net/http"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// DefaultAttempts is how many servers a request is sent to at most, unless
	// [Attempts] says otherwise.
	DefaultAttempts = 3

	// DefaultMaxPause bounds what a Retry-After can do, unless [MaxPause] says
	// otherwise.
	DefaultMaxPause = 30 * time.Second
)

// Option is an option of [Transport.Register].
type Option func(*service)

// Attempts limits the servers that one request is sent to; 1, as anything
// below, means that no request is repeated. The default is [DefaultAttempts].
func Attempts(n int) Option { return func(s *service) { s.attempts = max(n, 1) } }

// IdempotentFunc sets which requests may be executed twice, in place of
// [Idempotent]. f must be safe for concurrent use.
func IdempotentFunc(f func(*http.Request) bool) Option {
	return func(s *service) { s.idempotent = f }
}

// ClassifyFunc sets what a response tells of its server, in place of [Classify].
// f sees the status and the header, must leave the body alone, and must be safe
// for concurrent use. A panic in it counts as [core.Failure].
func ClassifyFunc(f func(*http.Response) core.Class) Option {
	return func(s *service) { s.classify = f }
}

// LoadFunc sets what a response tells of its server's load, as in
// [core.Report], such as by a header of the server's; without the option that is
// nothing. f must leave the body alone and be safe for concurrent use. A panic in
// it counts as no load.
func LoadFunc(f func(*http.Response) float64) Option { return func(s *service) { s.load = f } }

// MaxPause bounds the time for which a server that is [core.Overload] gets no
// requests because of its header Retry-After. The default is
// [DefaultMaxPause]; 0, as anything below, means that the header is ignored.
func MaxPause(d time.Duration) Option { return func(s *service) { s.maxPause = max(d, 0) } }

// Route gives each request options for the choice of its server, such as a
// [core.WithKey] made from its URL. f must be safe for concurrent use.
func Route(f func(*http.Request) []core.CallOption) Option {
	return func(s *service) { s.route = f }
}

// EndpointHost makes the header Host, or :authority, of a request the address
// of the server that it is sent to, unless the request's own Host is another
// than that of its URL. Without the option it is the host of the URL: the name
// of the service.
func EndpointHost() Option { return func(s *service) { s.ownHost = true } }
