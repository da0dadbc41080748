// Package discoverytest is the conformance suite of watchers: what
// [core.Watcher] promises, as tests that each registry's watcher has to pass.
//
//	func TestConformance(t *testing.T) {
//		discoverytest.Run(t, discoverytest.Harness{
//			NewPlace: func(ctx context.Context) (discoverytest.Place, error) { ... },
//		})
//	}
//
// Registrars have a suite of their own, [RunRegistrar].
//
// A registry that can be tampered with says so by further methods of its
// [Place], such as those of [Proxied]. A case that needs more than a place can
// do is skipped, and the skip names what is missing.
package discoverytest

import (
	"context"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Harness connects the suite to one kind of registry.
type Harness struct {
	// NewPlace returns an empty place that nothing else uses: a path, a
	// prefix, a service name. It is called once for each case. Required.
	NewPlace func(ctx context.Context) (Place, error)
	// Timeout is how long the suite waits for a change to be seen before it
	// calls it lost. It bounds failures only: a test that passes does not wait
	// for it. Zero means 10 s.
	Timeout time.Duration
	// Scale is how many endpoints the cases of large sets use. Zero means
	// 10,000.
	Scale int
	// Seed makes the random case repeat itself. Zero draws a new seed. The
	// seed is logged either way.
	Seed uint64
}

// Place is where one set of endpoints is kept in a registry, and the suite's
// own way into that registry, past the watcher.
//
// A method that asks for something which this kind of registry does not have
// (a weight where only addresses are stored, a change where nothing ever
// changes) returns an error that matches [errors.ErrUnsupported] and says
// what that is; the case is then skipped for that reason.
type Place interface {
	// Watcher returns a new watcher of the place. The suite watches with
	// several of them, and again with one whose Watch has returned.
	Watcher() (core.Watcher, error)
	// Put makes eps the complete set, and returns when a Watch begun
	// afterwards would find it so. It leaves alone the entries that stay as
	// they are, and changes in place those that change, so that no watcher can
	// rightly see less than what the old and the new set share. With no eps
	// the place exists and is empty. Put keeps no part of eps.
	Put(ctx context.Context, eps []core.Endpoint) error
	// Close removes the place. All Watches have returned by then, or the case
	// has failed.
	Close() error
}
