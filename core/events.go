package core

import "time"

// Event is one thing that happened in a pool. No event is sent per call. See
// [WithObserver].
type Event struct {
	Kind EventKind
	// Endpoint is the address concerned; empty for events of the whole pool.
	Endpoint string
	// Err is the cause, where there is one.
	Err error
	// Duration is how long it took (a dial) or lasted (a leaked lease so far).
	Duration time.Duration
	// State is the new state, for EventStateChanged.
	State State
	// Stack is where a leaked lease was taken.
	Stack string
}

// EventKind names an [Event].
type EventKind uint8

const (
	// EventEndpointAdded means that a server joined the set.
	EventEndpointAdded EventKind = iota + 1
	// EventEndpointRemoved means that a server left the set; its connections
	// are drained.
	EventEndpointRemoved
	// EventEndpointRejected means that an entry of a report was dropped; Err
	// says why.
	EventEndpointRejected
	// EventEndpointDown means that a server has no connection and cannot be
	// dialed.
	EventEndpointDown
	// EventEndpointUp means that a server that was down was dialed.
	EventEndpointUp
	// EventDialed means that a connection was opened, in Duration.
	EventDialed
	// EventDialFailed means that an attempt to open one failed, after Duration,
	// with Err.
	EventDialFailed
	// EventConnClosed means that a connection was closed; Err says why, nil when
	// it is the pool's own doing.
	EventConnClosed
	// EventLeaseLeaked means that a connection is leased for longer than
	// [LeakDetectionThreshold].
	EventLeaseLeaked
	// EventStateChanged means that the pool's knowledge of its set changed;
	// State says to what.
	EventStateChanged
	// EventWatchLost means that the watch ended with Err; it is begun again
	// after a pause.
	EventWatchLost
	// EventEndpointEjected means that a server's calls fail; it gets none for a
	// while.
	EventEndpointEjected
	// EventEndpointReadmitted means that a server that was ejected is back in
	// service.
	EventEndpointReadmitted
	// EventEjectionSuppressed means that a server should have been ejected, but
	// too many are out of service. It is sent at most once a second per server.
	EventEjectionSuppressed
	// EventBalancerFailed means that Build panicked or returned nil; the default
	// balancer serves in its place until the set changes.
	EventBalancerFailed
)

// String returns the name of the kind in lower case.
func (k EventKind) String() string {
	names := [...]string{
		"unknown event", "endpoint added", "endpoint removed", "endpoint rejected", "endpoint down", "endpoint up",
		"dialed", "dial failed", "connection closed", "lease leaked", "state changed", "watch lost",
		"endpoint ejected", "endpoint readmitted", "ejection suppressed", "balancer failed",
	}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k]
}

// event notifies the observers.
func (p *pool) event(ev Event) {
	for _, f := range p.cfg.observers {
		func() {
			defer func() { _ = recover() }() // as the contract of WithObserver says
			f(ev)
		}()
	}
}
