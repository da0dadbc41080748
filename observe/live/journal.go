package live

import (
	"slices"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

const (
	// maxEvents is how many events of a pool are kept.
	maxEvents = 256
	// maxCause is how many bytes of an error's text are kept.
	maxCause = 1024
	// together is how long after an event another one of its kind is told with it.
	together = 10 * time.Second
	// nearby is among how many of the last events such a one is looked for.
	nearby = 16
)

// Event is something that happened in a pool, or several events of one kind that
// happened within seconds.
type Event struct {
	// ID grows from one event of a pool to the next.
	ID uint64 `json:"id"`
	// Time is when it happened, for several events the first of them; Last the last.
	Time time.Time `json:"time"`
	Last time.Time `json:"last"`
	// Kind is one of core's kinds of events.
	Kind core.EventKind `json:"kind"`
	// Server is the address concerned, for several the last; empty for events of the
	// whole pool.
	Server string `json:"server,omitempty"`
	// Count is how many events these are; Servers at how many servers in a row.
	Count   int `json:"count"`
	Servers int `json:"servers,omitempty"`
	// Cause is the error's text, for several events the last one's.
	Cause string `json:"cause,omitempty"`
	// Duration says in milliseconds how long it took, lasted or will last, as in
	// [core.Event].
	Duration float64 `json:"duration_ms,omitempty"`
	// State is the new state of the set of servers.
	State core.State `json:"state,omitempty"`
	// Stack is where a leaked lease was taken.
	Stack    string    `json:"stack,omitempty"`
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Evidence is the numbers behind an ejection or a readmission, as [outlier.Evidence].
type Evidence struct {
	Calls      uint64  `json:"calls"`
	Failures   uint64  `json:"failures"`
	Likelihood float64 `json:"likelihood"`
	Baseline   float64 `json:"baseline"`
	Probes     uint64  `json:"probes"`
}

func evidence(e *outlier.Evidence) *Evidence {
	if e == nil {
		return nil
	}
	return &Evidence{e.Calls, e.Failures, min(e.Likelihood, 1e300), e.Baseline, e.Probes} // JSON has no infinity
}

// journal is what happened in a pool, within bounds.
type journal struct {
	mu     sync.Mutex
	id     uint64
	events []Event // the newest last
	notes  map[string]*note
}

// note is what happened last at one server.
type note struct {
	ejection, readmission, failure *Event
	young                          bool // made since the last call of keep
}

func newJournal() *journal { return &journal{notes: map[string]*note{}} }

// add takes in an event. It reports whether anybody wants to know.
func (j *journal) add(ev core.Event) bool {
	if ev.Kind == core.EventDialed || ev.Kind == core.EventConnClosed && ev.Err == nil {
		return false // which happens all the time
	}
	e := Event{
		Time: ev.Time, Last: ev.Time, Kind: ev.Kind, Server: ev.Endpoint, Count: 1, Duration: millis(ev.Duration),
		State: ev.State, Stack: clip(ev.Stack, maxCause), Evidence: evidence(ev.Evidence),
	}
	if ev.Err != nil {
		e.Cause = clip(ev.Err.Error(), maxCause)
	}
	if e.Server != "" {
		e.Servers = 1
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteLocked(e)
	if j.joinLocked(e) {
		return true
	}
	j.id++
	e.ID = j.id
	if len(j.events) == maxEvents {
		j.events = slices.Delete(j.events, 0, maxEvents/8)
	}
	j.events = append(j.events, e)
	return true
}

// joinLocked adds an event to one of its kind that happened a moment ago: what is
// repeated at one server, or what concerns many servers, as at the start of a fleet.
func (j *journal) joinLocked(e Event) bool {
	many := e.Kind == core.EventEndpointAdded || e.Kind == core.EventEndpointRemoved || e.Kind == core.EventEndpointRejected
	repeats := e.Kind == core.EventDialFailed || e.Kind == core.EventConnClosed || e.Kind == core.EventEjectionSuppressed ||
		e.Kind == core.EventWatchFailing || e.Kind == core.EventLeaseLeaked
	if !many && !repeats {
		return false
	}
	for i := len(j.events) - 1; i >= max(0, len(j.events)-nearby); i-- {
		o := &j.events[i]
		if o.Kind != e.Kind || e.Time.Sub(o.Last) > together || !many && o.Server != e.Server {
			continue
		}
		if many && o.Server != e.Server {
			o.Servers++
		}
		o.Count++
		o.Last, o.Server, o.Cause, o.Duration = e.Time, e.Server, e.Cause, e.Duration
		return true
	}
	return false
}

// noteLocked notes what happened at a server.
func (j *journal) noteLocked(e Event) {
	var n note
	switch e.Kind {
	case core.EventEndpointEjected, core.EventEjectionSuppressed:
		n.ejection = &e
	case core.EventEndpointReadmitted:
		n.readmission = &e
	case core.EventDialFailed, core.EventEndpointDown, core.EventConnClosed, core.EventLeaseLeaked:
		n.failure = &e
	default:
		return
	}
	was := j.notes[e.Server]
	if was == nil {
		if len(j.notes) >= maxServers {
			return
		}
		was = &note{young: true}
		j.notes[e.Server] = was
	}
	switch {
	case n.ejection != nil:
		was.ejection = n.ejection
	case n.readmission != nil:
		was.readmission = n.readmission
	default:
		was.failure = n.failure
	}
}

// keep forgets the servers that are not there. A server of which something was noted
// since the last call may have joined after the sample that the caller knows.
func (j *journal) keep(has func(addr string) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for addr, n := range j.notes {
		if !n.young && !has(addr) {
			delete(j.notes, addr)
		}
		n.young = false
	}
}

// newest returns up to n events, the newest first.
func (j *journal) newest(n int) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := slices.Clone(j.events[max(0, len(j.events)-n):])
	slices.Reverse(last)
	return last
}

// at returns what happened last at a server.
func (j *journal) at(addr string) note {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := j.notes[addr]; n != nil {
		return *n
	}
	return note{}
}
