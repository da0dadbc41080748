package core

import (
	"encoding/json"
	"time"
)

// Event is one thing that happened in a pool. No event is sent per call. See
// [WithObserver]. It can be marshaled as JSON, for logs.
type Event struct {
	Kind EventKind
	// Endpoint is the address concerned; empty for events of the whole pool.
	Endpoint string
	// Err is the cause, where there is one.
	Err error
	// Duration is how long it took (a dial), lasted (a leaked lease so far, the
	// time out of service of a server that is readmitted), or will last (the time
	// until the first probe of a server that is ejected).
	Duration time.Duration
	// State is the new state, for EventStateChanged; empty for all others.
	State State
	// Stack is where a leaked lease was taken, or where a watcher panicked whose
	// watch is lost.
	Stack string
}

// MarshalJSON has the error and the duration as text, and leaves out what the event
// has not.
func (e Event) MarshalJSON() ([]byte, error) {
	out := struct {
		Kind                                  EventKind
		Endpoint, Err, Duration, State, Stack string `json:",omitempty"`
	}{Kind: e.Kind, Endpoint: e.Endpoint, Err: text(e.Err), State: string(e.State), Stack: e.Stack}
	if e.Duration != 0 {
		out.Duration = e.Duration.String()
	}
	return json.Marshal(out)
}

// EventKind names an [Event].
type EventKind string

const (
	// EventEndpointAdded means that a server joined the set.
	EventEndpointAdded EventKind = "endpoint added"
	// EventEndpointRemoved means that a server left the set; its connections
	// are drained.
	EventEndpointRemoved EventKind = "endpoint removed"
	// EventEndpointRejected means that an entry of a report was dropped; Err
	// says why.
	EventEndpointRejected EventKind = "endpoint rejected"
	// EventEndpointDown means that a server has no connection and cannot be
	// dialed.
	EventEndpointDown EventKind = "endpoint down"
	// EventEndpointUp means that a server that was down was dialed.
	EventEndpointUp EventKind = "endpoint up"
	// EventDialed means that a connection was opened, in Duration.
	EventDialed EventKind = "dialed"
	// EventDialFailed means that an attempt to open one failed, after Duration,
	// with Err.
	EventDialFailed EventKind = "dial failed"
	// EventConnClosed means that a connection was closed; Err says why, nil when
	// it is the pool's own doing.
	EventConnClosed EventKind = "connection closed"
	// EventLeaseLeaked means that a connection is leased for longer than
	// [LeakDetectionThreshold].
	EventLeaseLeaked EventKind = "lease leaked"
	// EventStateChanged means that the pool's knowledge of its set changed;
	// State says to what.
	EventStateChanged EventKind = "state changed"
	// EventWatchLost means that the watch ended with Err; it is begun again
	// after a pause.
	EventWatchLost EventKind = "watch lost"
	// EventEndpointEjected means that a server's calls fail; it gets none for a
	// while. Err says how many failed of how many, and wraps the last one's error
	// where that is known; the first probe is after Duration.
	EventEndpointEjected EventKind = "endpoint ejected"
	// EventEndpointReadmitted means that a server that was ejected is back in
	// service, after Duration; Err says why.
	EventEndpointReadmitted EventKind = "endpoint readmitted"
	// EventEjectionSuppressed means that a server should have been ejected, for
	// Err, but too many are out of service. It is sent at most once a second per server.
	EventEjectionSuppressed EventKind = "ejection suppressed"
	// EventBalancerFailed means that Build panicked or returned nil; the default
	// balancer serves in its place until the set changes.
	EventBalancerFailed EventKind = "balancer failed"
)

// event notifies the observers.
func (p *pool) event(ev Event) {
	for _, f := range p.cfg.observers {
		// In a goroutine of its own, which f may end, as testing's FailNow does: this
		// one may be a loop that the pool needs.
		told := make(chan struct{})
		go func() {
			defer close(told)
			defer func() { _ = recover() }() // as the contract of WithObserver says
			f(ev)
		}()
		<-told
	}
}
