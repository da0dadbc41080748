package core

import (
	"context"
	"io"
)

// Dialer opens connections. Dial is called from goroutines of the pool, never
// from a caller's, with a context that ends with the dial timeout or the pool
// (not with the call that wanted the connection). It must be safe for
// concurrent use. A panic is recovered and becomes the dial's error, as does a
// nil connection without an error.
//
// A connection may also implement [Peeker] and [HealthChecker].
type Dialer[C io.Closer] interface {
	Dial(ctx context.Context, e Endpoint) (C, error)
}

// DialFunc is a function as a [Dialer].
type DialFunc[C io.Closer] func(ctx context.Context, e Endpoint) (C, error)

// Dial calls f.
func (f DialFunc[C]) Dial(ctx context.Context, e Endpoint) (C, error) { return f(ctx, e) }

// Peeker is implemented by connections that can tell without waiting whether
// they are still usable: whether the peer closed, or sent bytes nobody asked
// for. A non-nil error closes the connection. The pool peeks at a connection
// that was idle for [CheckAfter] before it is leased, and at idle connections
// about once a second. Nobody else uses the connection during Peek.
type Peeker interface {
	Peek() error
}

// HealthChecker is implemented by connections that can ask their server
// whether it still answers. A non-nil error closes the connection. The pool
// checks idle connections every [HealthInterval] in the background, which also
// keeps them alive, and, when the connection is no [Peeker], one that was idle
// for [CheckAfter] before it is leased, with the caller's context. Nobody else
// uses the connection during Health.
type HealthChecker interface {
	Health(ctx context.Context) error
}
