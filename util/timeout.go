package util

import (
	"context"
	"time"
)

// timeout is a context whose timer starts with the first call of Done, so that a Get
// that need not wait costs no timer. It is for one goroutine, which must call stop.
type timeout struct {
	context.Context //nolint:containedctx // it is one

	limit  time.Duration
	cancel context.CancelFunc // nil before the first Done
}

func newTimeout(limit time.Duration) *timeout {
	return &timeout{Context: context.Background(), limit: limit}
}

// Done implements context.Context.
func (t *timeout) Done() <-chan struct{} {
	if t.cancel == nil {
		t.Context, t.cancel = context.WithTimeout(t.Context, t.limit)
	}
	return t.Context.Done()
}

func (t *timeout) stop() {
	if t.cancel != nil {
		t.cancel()
	}
}
