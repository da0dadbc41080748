package discovery

import (
	"context"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// DeregisterTimeout is how long a registrar may take to remove its entry after
// its context ended. Then the registry has to find out by itself.
const DeregisterTimeout = time.Second

// Registrar keeps endpoints in a registry.
//
// Register puts e into the registry and keeps it there until ctx is done or
// the registration is lost, and returns why; [Register] calls it again with
// back-off. It calls [Confirm] with its ctx each time the registry has e.
// Another entry that an earlier Register of this address left behind is taken
// over or replaced.
//
// When ctx is done, Register removes its entry, for which it has
// [DeregisterTimeout], and returns nil or an error that matches the context's.
// Any other error says that the entry may still be there, until the registry
// drops it by itself. Removal is final: nothing that was begun before puts the
// entry back.
//
// Register may be called for several endpoints at a time. A Registrar may
// also implement Validate, like a [core.Watcher].
type Registrar interface {
	Register(ctx context.Context, e core.Endpoint) error
}

type confirmKey struct{}

// Confirm tells whoever called Register with ctx, or with a context that ctx
// is made from, that the registry now has the endpoint. A registrar calls it
// from the goroutine of Register, and again whenever it had to register anew.
// It does nothing if nobody wants to know.
func Confirm(ctx context.Context) {
	if f, ok := ctx.Value(confirmKey{}).(func()); ok {
		f()
	}
}

// WithConfirm returns a context for Register of which each [Confirm] calls f.
// [Register] uses it; a program that calls a Registrar by itself may too.
func WithConfirm(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, confirmKey{}, f)
}
