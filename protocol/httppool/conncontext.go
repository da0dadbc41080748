//go:build go1.26

package httppool

import (
	"context"
	"sync"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

// connContext is the context in which net/http makes the requests of an HTTP/1.1
// connection. net/http derives a context from that of each request and, when the
// request fails, leaves it with its parent: with the caller's context it would
// stay, and keep all values, until that ends. This one ends with the connection,
// which such a failure costs. Its values are those of the request under way, and
// the end of that request's context ends it.
type connContext struct {
	context.Context //nolint:containedctx // the connection's own, which cancel ends

	cancel context.CancelCauseFunc
	guard  *sock.Guard

	mu      sync.Mutex
	request context.Context //nolint:containedctx // of the request under way; nil = none
}

func newConnContext(dog *sock.Watchdog) *connContext {
	c := &connContext{}
	c.Context, c.cancel = context.WithCancelCause(context.Background())
	c.guard = dog.Guard(c.abort)
	return c
}

// begin makes ctx that of the request under way, until end.
func (c *connContext) begin(ctx context.Context) {
	if c.current() != nil { // the body of the last response was read to its end, but not seen to be
		c.guard.End()
	}
	c.mu.Lock()
	c.request = ctx
	c.mu.Unlock()
	c.guard.Begin(ctx)
}

// end ends the request, with the body of its response.
func (c *connContext) end() {
	c.guard.End()
	c.mu.Lock()
	c.request = nil
	c.mu.Unlock()
}

// abort ends the request under way because its context has ended.
func (c *connContext) abort() {
	if ctx := c.current(); ctx != nil {
		c.cancel(context.Cause(ctx))
	}
}

func (c *connContext) current() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.request
}

// Value returns the value of the request under way.
func (c *connContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil { // of package context itself
		return v
	}
	if ctx := c.current(); ctx != nil {
		return ctx.Value(key)
	}
	return nil
}
