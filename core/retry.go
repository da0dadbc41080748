package core

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Retry lets Do call its function again, on another server, while the outcome
// is [Failure], up to n times in all: it is for calls that may be executed
// twice. No server is tried twice, a retry needs the leave of
// [Pool.AllowRetry], and there is none once the context is done. Get ignores it.
func Retry(n int) CallOption { return CallOption{kind: retry, n: n} }

// AllowRetry reports whether a call that failed may be made once more: retries
// may be a fifth of the leases, plus ten per second, where ten seconds' worth
// can be saved up; and ctx must leave the time that a call takes on average, as
// far as the default balancer knows. A yes uses up the leave. It is for
// adapters; Do asks by itself.
func (p *Pool[C]) AllowRetry(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if end, ok := ctx.Deadline(); ok {
		if v := p.p.view.Load(); v.fast != nil && time.Until(end) < v.fast.Mean() {
			return false
		}
	}
	return p.p.budget.Take(p.p.Now())
}

// batch is how many leases of a slot are counted at a time.
const batch = 16

// count counts the leases for the budget of retries.
func (p *pool) count(gen uint64) {
	if slots.Uses(gen)%batch == batch-1 {
		p.budget.Count(batch)
	}
}

// retry is Do after a first call that failed with failed at the server addr.
func (p *Pool[C]) retry(ctx context.Context, fn func(context.Context, C) error, opts []CallOption, n int, addr string, failed error) error {
	tried := []string{addr}
	opts = slices.Clip(opts)
	for ; n > 1 && p.AllowRetry(ctx); n-- {
		opts = append(opts, Avoid(addr))
		l, err := p.Get(ctx, opts...)
		if err != nil {
			return errors.Join(failed, err)
		}
		addr = l.Endpoint().Addr
		if slices.Contains(tried, addr) { // there is no other
			_ = l.Release()
			return failed
		}
		var class Class
		if class, failed = p.call(ctx, fn, l); class != Failure {
			return failed
		}
		tried = append(tried, addr)
	}
	return failed
}
