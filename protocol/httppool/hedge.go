//go:build go1.26

package httppool

import (
	"context"
	"net/http"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// hedge sends a request that is sent a second time when it is late.
func (s *service) hedge(req *http.Request, call retry.Call, route []core.CallOption) (*http.Response, error) {
	return retry.RunHedged(req.Context(), s.pool.Retrier(), call,
		func(ctx context.Context, a retry.Attempt) (*http.Response, retry.Result, error) {
			// A response outlives the context of its attempt: the context of its
			// request ends with its body.
			outer := req.Context()
			if s.pool.Retrier().Observed(outer) { //nolint:contextcheck // that of the request
				outer = valuesContext{outer, ctx}
			}
			own, cancel := context.WithCancel(outer)
			unlink := context.AfterFunc(ctx, cancel)
			resp, res, err := s.attempt(req.WithContext(own), call, route, a) //nolint:contextcheck // derived from the context of the request
			unlink()
			if resp == nil {
				cancel()
				return nil, res, err
			}
			resp.Request = req
			endWithBody(resp, cancel)
			res.Discard = func() { _ = resp.Body.Close() }
			return resp, res, err
		})
}

// valuesContext is a context with the values of another.
type valuesContext struct {
	context.Context //nolint:containedctx // that of the request

	values context.Context //nolint:containedctx // that of an attempt
}

func (c valuesContext) Value(key any) any { return c.values.Value(key) }
