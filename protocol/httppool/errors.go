package httppool

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/minicaptain/multi_connection_pool/core"
)

// ErrUnknownHost: no pool is registered under the host of the request's URL.
var ErrUnknownHost = errors.New("no pool is registered for host")

// Error is a request that got no response. An [http.Client] wraps it in a
// [*url.Error].
//
// With errors.Is it matches context.Canceled or context.DeadlineExceeded where
// the request's context ended it, the errors of the network such as io.EOF and
// syscall.ECONNRESET, and os.ErrDeadlineExceeded after [Config.Timeout]; with
// errors.As it gives the [*core.Error] where no connection could be had.
type Error struct {
	// Endpoint is the address of the server that the request was sent to last;
	// empty if no connection to any could be had.
	Endpoint string
	// Method and Host are those of the request and its URL.
	Method, Host string
	// Attempts is how many servers the request was sent to; 0 if no
	// connection could be had.
	Attempts int
	// Class is what the failure told of the server.
	Class core.Class
	// Err is the cause.
	Err error
}

// Error names the request, the server and the cause.
func (e *Error) Error() string {
	at := ""
	if e.Endpoint != "" {
		at = " at " + e.Endpoint
	}
	if e.Attempts > 1 {
		at += fmt.Sprintf(" (attempt %d)", e.Attempts)
	}
	return fmt.Sprintf("httppool: %s %s%s: %v", e.Method, e.Host, at, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the request ran out of time.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

func explain(req *http.Request, addr string, attempts int, class core.Class, err error) *Error {
	e := &Error{Endpoint: addr, Method: req.Method, Attempts: attempts, Class: class, Err: err}
	if e.Method == "" {
		e.Method = http.MethodGet
	}
	if req.URL != nil {
		e.Host = req.URL.Host
	}
	if class == core.Ignored && errors.Is(err, context.Canceled) {
		e.Class = core.Cancelled
	}
	return e
}

var (
	// errGone: the connection had ended before the request was sent.
	errGone = errors.New("httppool: the connection has ended")
	// errRefused: the server has not looked at the request, and said so.
	errRefused = errors.New("httppool: the server has refused the request unseen")
	// errInvalid: the request makes no sense on HTTP/2.
	errInvalid = errors.New("httppool: not a request for HTTP/2")
	// errTimeout: Config.Timeout has passed.
	errTimeout = fmt.Errorf("httppool: the server did not answer in time: %w", os.ErrDeadlineExceeded)
	// errLength: what net/http says of it as well.
	errLength = errors.New("httppool: the length of the body is not that of the request")
	// errShared: the pool was told that an HTTP/1.1 connection can be shared.
	errShared = errors.New("httppool: an HTTP/1.1 connection carries one request at a time: core.Share must be 1, or Config.HTTP2 be set")
)
