package httppool

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Classify is what a response tells of its server unless [ClassifyFunc] says
// otherwise: 502 and 504 are Failure, 503 is Overload, everything else is OK.
func Classify(resp *http.Response) core.Class {
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return core.Failure
	case http.StatusServiceUnavailable:
		return core.Overload
	default:
		return core.OK
	}
}

// ClassifyError tells what the error of a request means for its server. Give
// it to [core.WithClassifier] when requests are made through the pool's Do. It
// is safe for concurrent use.
func ClassifyError(err error) core.Class {
	if err == nil {
		return core.OK
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.Canceled):
		return core.Cancelled
	default:
		return core.Failure
	}
}

// Idempotent reports whether a request may be executed twice as far as HTTP
// says: its method is GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or it has a
// header Idempotency-Key or X-Idempotency-Key. It does not look at the body.
func Idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xkey := req.Header["X-Idempotency-Key"]
	return key || xkey
}

// replayable reports whether the body of the request can be had once more.
func replayable(req *http.Request) bool { return !hasBody(req) || req.GetBody != nil }

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// retryAfter returns how long the server asks to be left alone; zero when it
// does not.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	v := resp.Header.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
