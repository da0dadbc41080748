package util

import (
	"context"
	"time"
)

// patience is a context that ends after a while of waiting for it: a Get that finds a
// connection at once does without a timer. It is for one goroutine, and to be stopped.
type patience struct {
	context.Context //nolint:containedctx // it is one

	limit  time.Duration
	cancel context.CancelFunc // nil while nobody has waited
}

func newPatience(limit time.Duration) *patience {
	return &patience{Context: context.Background(), limit: limit}
}

// Done implements context.Context.
func (p *patience) Done() <-chan struct{} {
	if p.cancel == nil {
		p.Context, p.cancel = context.WithTimeout(p.Context, p.limit)
	}
	return p.Context.Done()
}

func (p *patience) stop() {
	if p.cancel != nil {
		p.cancel()
	}
}
