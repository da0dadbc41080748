//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// ErrUnknownHost means that no pool is registered under the host of the request's
// URL.
var ErrUnknownHost = errors.New("no pool is registered for host")

// Error says why a request got no response. An [http.Client] wraps it in a
// [*url.Error].
//
// With errors.Is it matches context.Canceled or context.DeadlineExceeded if the
// request's context ended it, the errors of the network such as io.EOF and
// syscall.ECONNRESET, context.DeadlineExceeded and os.ErrDeadlineExceeded after
// [Config.Timeout], and http.ErrSchemeMismatch if a server answers a TLS handshake
// with HTTP. With errors.As it yields the [*core.Error] if no connection could be
// leased.
type Error struct {
	// Endpoint is the address of the last server that the request was sent to;
	// empty if no connection could be leased.
	Endpoint string
	// Method and Host are those of the request and its URL.
	Method, Host string
	// Attempts is how many servers the request was sent to; 0 if no connection
	// could be leased.
	Attempts int
	// Outcome is what the failure means for the server.
	Outcome balance.Outcome
	// Err is the cause.
	Err error
}

// Error names the request, the server and the cause, whose text is cut above 4 KiB.
func (e *Error) Error() string {
	at := ""
	if e.Endpoint != "" {
		at = " at " + e.Endpoint
	}
	if e.Attempts > 1 {
		at += fmt.Sprintf(" (attempt %d)", e.Attempts)
	}
	return fmt.Sprintf("httppool: %s %s%s: %s", e.Method, e.Host, at, brief.Text(e.Err))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the request ran out of time, or the last dial did where
// there was no connection.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// explain makes the error of a request.
func explain(req *http.Request, addr string, attempts int, outcome balance.Outcome, err error) Error {
	e := Error{Endpoint: addr, Method: req.Method, Attempts: attempts, Outcome: outcome, Err: err}
	if e.Method == "" {
		e.Method = http.MethodGet
	}
	if req.URL != nil {
		e.Host = req.URL.Host
	}
	if outcome == balance.OutcomeNeutral && errors.Is(err, context.Canceled) {
		e.Outcome = balance.OutcomeCanceled
	}
	return e
}

// refuse returns the error of a request that is not sent to any server.
func refuse(req *http.Request, err error) error {
	closeBody(req)
	e := explain(req, "", 0, balance.OutcomeNeutral, err)
	return &e
}

var (
	// errGone means that the connection had ended before the request was sent.
	errGone = errors.New("httppool: the connection has ended")
	// errRefused means that the server said that it has not processed the
	// request.
	errRefused = errors.New("httppool: the server has refused the request unprocessed")
	// errInvalid means that HTTP/2 does not allow the request.
	errInvalid = errors.New("httppool: not a request for HTTP/2")
	// errTimeout means that Config.Timeout has passed.
	errTimeout error = headerTimeoutError{}
	// errLength means that a request's body is shorter or longer than announced.
	errLength = errors.New("httppool: the length of the body is not that of the request")
	// errNilOption means that an option is nil.
	errNilOption = errors.New("httppool: an option is nil")
	// errShared means that a request was sent on an HTTP/1.1 connection during
	// another.
	errShared = errors.New("httppool: an HTTP/1.1 connection carries one request at a time")
)

// headerTimeoutError is the error of [Config.Timeout]. It matches what that of
// net/http does.
type headerTimeoutError struct{}

func (headerTimeoutError) Error() string { return "httppool: the server did not answer in time" }
func (headerTimeoutError) Timeout() bool { return true }
func (headerTimeoutError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// dialTimeoutError is the error of a dial whose context ended. It hides that: the
// context is not that of the request.
type dialTimeoutError struct{ text string }

func (e dialTimeoutError) Error() string { return e.text }
func (e dialTimeoutError) Timeout() bool { return true }
