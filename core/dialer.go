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
// A connection may also implement [Peeker] and [HealthChecker], and have a method
//
//	MaxConcurrentCalls() int
//
// which the pool calls once, when the connection is dialed: no more calls than
// that share the connection, as of a server that says how many it takes. More than
// the option [MaxConcurrentCalls] allows, and less than one, mean what the option
// says. A Dialer may also implement any of
//
//	Validate() error
//	Classify(err error) balance.Outcome
//	MaxConcurrentCalls() int
//	ValidateAfterIdle() time.Duration
//	Reset(ctx context.Context, c C) error
//
// [New] calls Validate once, and fails if it returns an error. Classify is the
// pool's classifier unless [WithClassifier] sets another one. It must be safe for
// concurrent use. MaxConcurrentCalls and ValidateAfterIdle are the defaults of the
// options of these names.
//
// Reset clears what a caller has left in the session of a connection, such as an
// open transaction. The pool calls it in the background after each lease that ends
// with the connection in order, within [DialTimeout], and leases the connection
// again when it has returned nil; after an error or a panic it closes the
// connection. Connections that calls share are not reset.
type Dialer[C io.Closer] interface {
	Dial(ctx context.Context, e Endpoint) (C, error)
}

// DialFunc is a function as a [Dialer].
type DialFunc[C io.Closer] func(ctx context.Context, e Endpoint) (C, error)

// Dial calls f.
func (f DialFunc[C]) Dial(ctx context.Context, e Endpoint) (C, error) { return f(ctx, e) }

// Peeker is implemented by connections that can tell without waiting whether
// they are still usable: whether the peer closed, or sent bytes that no call
// asked for. A non-nil error closes the connection. The pool peeks at a connection
// that was idle for [ValidateAfterIdle] before it is leased, and at idle connections
// about once a second. Nobody else uses the connection during Peek.
type Peeker interface {
	Peek() error
}

// HealthChecker is implemented by connections that can ask their server
// whether it still answers. A non-nil error closes the connection. The pool
// checks idle connections every [HealthCheckInterval] in the background, which also
// keeps them alive, and, when the connection is no [Peeker], one that was idle
// for [ValidateAfterIdle] before it is leased, with the caller's context. Nobody else
// uses the connection during Health.
type HealthChecker interface {
	Health(ctx context.Context) error
}
