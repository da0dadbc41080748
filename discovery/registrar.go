package discovery

import (
	"context"
	"time"
)

// DeregisterTimeout is how long a registrar may take to remove its entry after
// its context ended. An entry that is left then stays until the registry drops
// it by itself.
const DeregisterTimeout = time.Second

// Registrar keeps endpoints in a registry.
//
// Its method Register puts e into the registry and keeps it there until ctx is
// done or the registration is lost, and returns why; the function [Register]
// calls it again with back-off. The method calls registered, from its own
// goroutine, each time the registry has e: at first, and again whenever it had
// to register anew. registered is never nil when the function Register calls
// the method, and must not be nil when another program does. An entry that an
// earlier Register of this address left behind is taken over or replaced.
//
// When ctx is done, the method removes its entry, for which it has
// [DeregisterTimeout], and returns nil or an error that matches the context's.
// Any other error means that the entry may still be there, until the registry
// drops it by itself. Removal is final: nothing that was begun before puts the
// entry back.
//
// The method may be called for several endpoints at a time.
//
// A Registrar may also implement
//
//	Validate() error
//
// which reports mistakes in its parameters, and
//
//	ValidateEndpoint(e Endpoint) error
//
// which reports what the registry's format has no place for. The function
// Register calls both first; neither does I/O.
type Registrar interface {
	Register(ctx context.Context, e Endpoint, registered func()) error
}
