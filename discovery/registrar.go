package discovery

import (
	"context"
	"errors"
	"time"
)

// DeregisterTimeout is how long a registrar may take to remove its entry after
// its context ended. An entry that is left then stays until the registry drops
// it by itself.
const DeregisterTimeout = time.Second

// ErrConflict is matched by the error of a registration whose address another
// program has registered later. It registers again when the other registration
// has ended.
var ErrConflict = errors.New("a later registration has the same address")

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
// Of several live registrations of one address, the newest has the entry, with
// its attributes: two programs that replace each other have the server in the
// registry at all times. The method therefore takes an existing entry over once.
// When it finds later that another registration has the entry, it returns an
// error that matches [ErrConflict] and leaves the entry alone, also when its
// context ends. The next call with the same context, which is the same for all
// calls of one registration, waits until the entry is free, and takes it then.
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
// Register calls both first; neither connects to
// anything.
type Registrar interface {
	Register(ctx context.Context, e Endpoint, registered func()) error
}
