//go:build go1.26

package httppool

import (
	"context"
	"net/http"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// DefaultAttempts is how often a request is sent at most, unless [Attempts] is
	// given.
	DefaultAttempts = 3

	// DefaultMaxRetryAfter bounds the effect of a header Retry-After, unless
	// [MaxRetryAfter] is given.
	DefaultMaxRetryAfter = 30 * time.Second
)

// Option sets how the requests to a host are made. [Transport.Register] takes
// Options for its host, [NewClient] for all hosts.
type Option func(*service)

// Attempts limits how often one request is sent. With 1, and anything below, no
// request is sent again. The default is [DefaultAttempts].
func Attempts(n int) Option { return func(s *service) { s.attempts = max(n, 1) } }

// WithIdempotent sets which requests may be executed twice. The default is
// [Idempotent]. f must be safe for concurrent use.
func WithIdempotent(f func(*http.Request) bool) Option {
	return func(s *service) { s.idempotent = f }
}

// WithHedged sets which requests are sent a second time, to another server, when
// they are late; see [retry.RunHedged] for when that is. The first response
// counts, and the other request is canceled. Such requests may be executed twice,
// whatever [WithIdempotent] says. The default is none. Requests that have a body,
// or ask for an upgrade, are never hedged. f must be safe for concurrent use.
//
// A hedged request costs a goroutine and some allocations more. Its header and
// the hooks of httptrace in its context serve both requests at the same time.
func WithHedged(f func(*http.Request) bool) Option {
	return func(s *service) { s.hedged = f }
}

// WithClassifier sets what a response means for its server. The default is
// [Classify]. f sees the status and the header, must leave the body alone, and
// must be safe for concurrent use. A panic in f counts as
// [balance.OutcomeFailure].
func WithClassifier(f func(*http.Response) balance.Outcome) Option {
	return func(s *service) { s.classify = f }
}

// WithLoad sets how to read the load of a server from its response, such as from
// a header; see [balance.Report]. The default is no load. f must leave the body
// alone and be safe for concurrent use. A panic in f counts as no load.
func WithLoad(f func(*http.Response) float64) Option { return func(s *service) { s.load = f } }

// MaxRetryAfter bounds how long a server gets no requests because its response
// was [balance.OutcomeOverload] and had a header Retry-After. The default is
// [DefaultMaxRetryAfter]. With 0, and anything below, the header is ignored.
func MaxRetryAfter(d time.Duration) Option {
	return func(s *service) { s.maxRetryAfter = max(d, 0) }
}

// WithRoute sets the options for the choice of each request's server, such as a
// [core.WithKey] made from its URL. f must be safe for concurrent use.
func WithRoute(f func(*http.Request) []core.CallOption) Option {
	return func(s *service) { s.route = f }
}

// WithHeader sets what is done to the header of a request each time that it is sent
// to a server, such as marking it for a trace. ctx is the context of that attempt,
// as a [retry.Observer] has made it. f may set values of the header, must leave the
// values that it finds as they are, and must be safe for concurrent use.
func WithHeader(f func(ctx context.Context, header http.Header)) Option {
	return func(s *service) { s.header = f }
}

// EndpointHost makes the header Host, or :authority, of a request the address of
// the server that it is sent to, or localhost for a Unix socket, unless the
// request's own Host differs from that of its URL. The default is the host of the URL: the name of the service.
func EndpointHost() Option { return func(s *service) { s.endpointHost = true } }
