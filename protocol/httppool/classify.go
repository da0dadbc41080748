//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// Classify says what a response means for its server. It is the default of
// [WithClassifier]: 408, 502 and 504 are OutcomeFailure, 503 is OutcomeOverload,
// and everything else is OutcomeOK. A server sends 408 when it is about to close a
// connection on which it saw no complete request in time, such as one that was
// opened ahead (RFC 9110, section 15.5.9).
func Classify(resp *http.Response) balance.Outcome {
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusGatewayTimeout:
		return balance.OutcomeFailure
	case http.StatusServiceUnavailable:
		return balance.OutcomeOverload
	default:
		return balance.OutcomeOK
	}
}

// ClassifyError says what the error of a call means for its server. The pools of
// [Dial] use it for their Do and End unless core.WithClassifier replaces it:
//
//   - nil is OutcomeOK;
//   - an [*Error] has its own Outcome;
//   - context.Canceled is OutcomeCanceled;
//   - what a broken connection returns, as to the reader of a response, and a
//     timeout are OutcomeFailure;
//   - any other error is OutcomeNeutral: it is the application's.
//
// It is safe for concurrent use.
func ClassifyError(err error) balance.Outcome {
	if err == nil {
		return balance.OutcomeOK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	// Not any net.Error: the *url.Error of a client is one, whatever it wraps.
	_, broken := errors.AsType[*net.OpError](err)
	_, system := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, context.Canceled):
		return balance.OutcomeCanceled
	case broken, system, errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return balance.OutcomeFailure
	default:
		return balance.OutcomeNeutral
	}
}

// Idempotent reports whether HTTP allows a request to be executed twice: its
// method is GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or it has a header
// Idempotency-Key or X-Idempotency-Key. It is the default of [WithIdempotent] and
// does not look at the body.
func Idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xkey := req.Header["X-Idempotency-Key"]
	return key || xkey
}
