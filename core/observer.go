package core

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
)

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
	// EndpointEjected: the server's calls fail; it gets none for a while.
	EndpointEjected
	// EndpointReadmitted: a server that was ejected is back in service.
	EndpointReadmitted
	// EndpointSpared: a server should have been ejected, but too many are out
	// of service. Sent at most once a second.
	EndpointSpared
	// BalancerFailed: Build panicked or returned nil; the default balancer
	// serves in its place until the set changes.
	BalancerFailed
)

// String returns the name of the kind in lower case.
func (k EventKind) String() string {
	names := [...]string{
		"unknown event", "endpoint added", "endpoint removed", "endpoint rejected", "endpoint down", "endpoint up",
		"dialed", "dial failed", "connection closed", "lease leaked", "state changed", "watch lost",
		"endpoint ejected", "endpoint readmitted", "endpoint spared", "balancer failed",
	}
	if int(k) >= len(names) {
		k = 0
	}
	return names[k]
}

// event tells the observer, if there is one.
func (p *pool) event(ev Event) {
	if p.cfg.observer == nil {
		return
	}
	defer func() { _ = recover() }() // as the contract of Observer says
	p.cfg.observer.Observe(ev)
}

// Event translates what happened in a sub-pool.
func (p *pool) Event(ev subpool.Event) {
	if ev.Kind == subpool.Up {
		p.queue.KickAll() // there is a server to dial that was not
		p.announce()
	}
	if p.cfg.observer == nil {
		return
	}
	kinds := [...]EventKind{
		subpool.Down: EndpointDown, subpool.Up: EndpointUp, subpool.Dialed: Dialed, subpool.DialFailed: DialFailed,
		subpool.Closed: ConnClosed, subpool.Leaked: LeaseLeaked,
	}
	p.event(Event{Kind: kinds[ev.Kind], Endpoint: addr(ev.Sub), Err: ev.Err, Duration: ev.Duration, Stack: stack(ev.PCs)})
}

// stack prints the frames of a recorded lease, from the pool's method on.
func stack(pcs []uintptr) string {
	if len(pcs) == 0 {
		return ""
	}
	var b strings.Builder
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, "/core.(*pool).") {
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}
