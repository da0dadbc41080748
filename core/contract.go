package core

import (
	"context"
	"io"
	"time"
)

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

// Class says what the outcome of a call tells about its server.
type Class uint8

const (
	// OK: the server answered as it should, if only with an error of the
	// application. Do keeps the connection.
	OK Class = iota
	// Failure: the server is at fault: it broke the connection, did not
	// answer in time, answered nonsense. Do discards the connection.
	Failure
	// Overload: the server answered that it has too much to do. Do keeps the
	// connection.
	Overload
	// Ignored: the error says nothing of the server. Do discards the
	// connection, whose state is unknown.
	Ignored
	// Cancelled: the caller gave up before the answer. The time it waited is
	// a lower bound of the latency and nothing else. Do discards the
	// connection, since the answer may still arrive on it.
	Cancelled
	// DialFailure: no connection could be opened. Reported by the pool itself.
	DialFailure
)

// String returns the name of the class in lower case.
func (c Class) String() string {
	switch c {
	case OK:
		return "ok"
	case Failure:
		return "failure"
	case Overload:
		return "overload"
	case Ignored:
		return "ignored"
	case Cancelled:
		return "cancelled"
	case DialFailure:
		return "dial failure"
	default:
		return "unknown class"
	}
}

// Classifier decides what the error of a call tells about its server; err may
// be nil. It must be safe for concurrent use. A classifier that panics counts
// as [Failure].
type Classifier func(err error) Class

// Report is the outcome of one call as the balancer sees it. The zero Report
// says "the server answered" and no more.
type Report struct {
	Class Class
	// Latency is how long the server took; zero when it was not measured.
	Latency time.Duration
	// Load is what the server said of its own load, in a unit of the
	// balancer's choice; zero when it said nothing.
	Load float64
	// At is the time of the report since the pool was made. The pool fills it
	// in.
	At time.Duration
}

// Balancer builds pickers. Build is called once for each new set of endpoints,
// off the call path and never concurrently with itself. previous is the picker
// in use until now, nil at first; it stays in use until Build returns, and may
// be asked by late callers for a moment longer.
//
// Set one with [WithBalancer]. The default chooses by latency and in-flight
// calls: see DESIGN.md.
type Balancer interface {
	Build(previous Picker, set Snapshot) Picker
}

// Snapshot is the set of endpoints that a picker chooses from.
type Snapshot struct {
	// Members are ordered at random, differently in each pool, and never
	// change. A picker refers to them by index.
	Members []Member
}

// Picker chooses the endpoint of each call. Its methods are called
// concurrently, on the call path: they must not block, lock or allocate.
type Picker interface {
	// Pick returns the index of the member to call. An index out of range
	// means "any". The pool turns to another member by itself when this one
	// has no connection to offer and cannot be dialed.
	Pick(h Hint) int
	// Report tells the outcome of a call to member i.
	Report(i int, r Report)
}

// Ticker is implemented by pickers that need to see time pass. The pool calls
// Tick about every 100 ms, never concurrently with itself, with the time since
// the pool was made.
type Ticker interface {
	Tick(now time.Duration)
}

// Hint is what a call asks of the picker.
type Hint struct {
	// Key selects an endpoint by consistent hashing when Keyed is true.
	Key   uint64
	Keyed bool
}

// Observer receives the pool's events. Observe is called synchronously, never
// under a lock, from the goroutine where the event happened, so it must be
// quick and safe for concurrent use. No event is sent per call. A panic in
// Observe is recovered and dropped.
type Observer interface {
	Observe(ev Event)
}

// Event is one thing that happened in a pool.
type Event struct {
	Kind EventKind
	// Endpoint is the address concerned; empty for events of the whole pool.
	Endpoint string
	// Err is the cause, where there is one.
	Err error
	// Duration is how long it took (a dial) or lasted (a leaked lease so far).
	Duration time.Duration
	// State is the new state, for StateChanged.
	State State
	// Stack is where a leaked lease was taken.
	Stack string
}

// EventKind names an [Event].
type EventKind uint8

const (
	// EndpointAdded: a server joined the set.
	EndpointAdded EventKind = iota + 1
	// EndpointRemoved: a server left the set; its connections are drained.
	EndpointRemoved
	// EndpointRejected: an entry of a report was dropped; Err says why.
	EndpointRejected
	// EndpointDown: the server has no connection and cannot be dialed.
	EndpointDown
	// EndpointUp: a server that was down was dialed.
	EndpointUp
	// Dialed: a connection was opened, in Duration.
	Dialed
	// DialFailed: an attempt to open one failed, after Duration, with Err.
	DialFailed
	// ConnClosed: a connection was closed; Err says why, nil when it is the
	// pool's own doing.
	ConnClosed
	// LeaseLeaked: a connection is leased for longer than [LeakAfter].
	LeaseLeaked
	// StateChanged: the pool's knowledge of its set changed; State says to what.
	StateChanged
	// WatchLost: the watch ended with Err and is begun again after a pause.
	WatchLost
	// BalancerFailed: Build panicked or returned nil; the default balancer
	// serves in its place until the set changes.
	BalancerFailed
)

// String returns the name of the kind in lower case.
func (k EventKind) String() string {
	names := [...]string{
		"unknown event", "endpoint added", "endpoint removed", "endpoint rejected", "endpoint down", "endpoint up",
		"dialed", "dial failed", "connection closed", "lease leaked", "state changed", "watch lost",
		"balancer failed",
	}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k]
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
