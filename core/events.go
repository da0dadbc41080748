package core

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// Event is one thing that happened in a pool. No event is sent per call. See
// [WithObserver]. It can be marshaled as JSON, for logs.
type Event struct {
	// Time is when it happened.
	Time time.Time
	Kind EventKind
	// Endpoint is the address concerned; empty for events of the whole pool.
	Endpoint string
	// Err is the cause, where there is one. Its text is cut above 4 KiB.
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
	// Evidence is the numbers behind an ejection, a readmission, and an ejection that
	// is suppressed; nil for all others.
	Evidence *outlier.Evidence
}

// MarshalJSON has the error and the duration as text, and leaves out what the event
// has not.
func (e Event) MarshalJSON() ([]byte, error) {
	out := struct {
		Time                                  time.Time `json:",omitzero"`
		Kind                                  EventKind
		Endpoint, Err, Duration, State, Stack string            `json:",omitempty"`
		Evidence                              *outlier.Evidence `json:",omitempty"`
	}{Time: e.Time, Kind: e.Kind, Endpoint: e.Endpoint, Err: text(e.Err), State: string(e.State), Stack: e.Stack, Evidence: e.Evidence}
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
	// after a pause. Or the set has not been followed for 10 s: the watcher has
	// reported neither a set nor a failure since the pool was made, or the balancer does
	// not return.
	EventWatchLost EventKind = "watch lost"
	// EventWatchWarning means that the registry has something other than expected, and
	// Err says what: entries that are skipped, a format that fits none of them, a path
	// beside the one that has servers. The set is in use as it is.
	EventWatchWarning EventKind = "watch warning"
	// EventWatchFailing means that something has failed for Err while the watch goes
	// on and the set stays: a registry that is asked again, a name that does not
	// exist in DNS. The same Err is not sent twice in a row.
	EventWatchFailing EventKind = "watch failing"
	// EventEndpointEjected means that a server's calls fail; it gets none for a
	// while. Err says how many failed of how many, and wraps the last one's error
	// where that is known; the first probe is after Duration.
	EventEndpointEjected EventKind = "endpoint ejected"
	// EventEndpointReadmitted means that a server that was ejected is back in
	// service, after Duration and Evidence.Probes probes; Err says why.
	EventEndpointReadmitted EventKind = "endpoint readmitted"
	// EventEjectionSuppressed means that a server should have been ejected, for
	// Err, but too many are out of service. It is sent at most once a second per server.
	EventEjectionSuppressed EventKind = "ejection suppressed"
	// EventBalancerFailed means that Build panicked or returned nil; the default
	// balancer serves in its place until the set changes.
	EventBalancerFailed EventKind = "balancer failed"
)

const (
	// observerPatience is how long the pool waits for an observer, and maxOverdue how
	// many calls of it that have not returned in that time it may have.
	observerPatience = 100 * time.Millisecond
	maxOverdue       = 64
)

// observer is a receiver of events. One that blocks costs the pool its patience
// once: while a call of it is overdue, others are not waited for.
type observer struct {
	f func(Event)

	mu       sync.Mutex
	overdue  int       // calls that are not waited for, and have not returned
	returned sync.Cond // one of them has
}

func newObserver(f func(Event)) *observer {
	o := &observer{f: f}
	o.returned.L = &o.mu
	return o
}

// event notifies the observers.
func (p *pool) event(ev Event) {
	if len(p.cfg.observers) == 0 {
		return
	}
	ev.Time, ev.Err = time.Now(), brief.Error(ev.Err)
	for _, o := range p.cfg.observers {
		o.notify(ev)
	}
}

func (o *observer) notify(ev Event) {
	late := o.late()
	if late >= maxOverdue {
		return // it is lost
	}
	// In a goroutine of its own, which f may end, as testing's FailNow does: this
	// one may be a loop that the pool needs. It ends when f returns.
	told := make(chan struct{})
	go func() {
		defer close(told)
		defer func() { _ = recover() }() // as the contract of WithObserver says
		o.f(ev)
	}()
	if late == 0 {
		patience := time.NewTimer(observerPatience)
		defer patience.Stop()
		select {
		case <-told:
			return
		case <-patience.C:
		}
	}
	o.add(1)
	go func() { // ends with the goroutine above; teardown waits for both
		<-told
		o.add(-1)
	}()
}

func (o *observer) add(n int) {
	o.mu.Lock()
	o.overdue += n
	o.mu.Unlock()
	o.returned.Broadcast()
}

// late returns the number of calls that are overdue.
func (o *observer) late() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.overdue
}

// wait waits until no call is overdue.
func (o *observer) wait() {
	o.mu.Lock()
	for o.overdue > 0 {
		o.returned.Wait()
	}
	o.mu.Unlock()
}
