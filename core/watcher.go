package core

import "context"

// Watcher streams the set of endpoints from wherever it is kept.
//
// Watch blocks until ctx is done or the watch is lost, and returns why. It
// calls report, from one goroutine and never after returning, with the
// COMPLETE set each time it changes. An empty set means "the registry says
// none"; any doubt (a partial read, an authentication failure, a filtered
// answer) is an error instead. The pool calls Watch again with back-off and
// keeps the last set meanwhile; a nil error before ctx is done counts as a
// lost watch. The slice passed to report is not kept.
//
// A Watcher may also implement
//
//	Validate() error
//
// which New calls once, without I/O, so that a mistake in its parameters is
// reported by New instead of by the first Watch.
type Watcher interface {
	Watch(ctx context.Context, report func([]Endpoint)) error
}

// State is what a pool knows of its set of endpoints.
type State uint8

const (
	// Pending: no set was reported yet.
	Pending State = iota
	// Ready: the set is known and not empty, and the watch is alive.
	Ready
	// Empty: the registry says that there is no endpoint.
	Empty
	// Stale: the watch is lost; the last known set is in use.
	Stale
)

// String returns the name of the state in lower case.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Ready:
		return "ready"
	case Empty:
		return "empty"
	case Stale:
		return "stale"
	default:
		return "unknown state"
	}
}
