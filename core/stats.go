package core

import (
	"encoding/json"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/metrics"
)

// State is what a pool knows of its set of endpoints, as text.
type State string

const (
	// StatePending means that no set was reported yet.
	StatePending State = "pending"
	// StateReady means that the set is known and not empty, and the watch is
	// alive.
	StateReady State = "ready"
	// StateEmpty means that the registry says that there is no endpoint.
	StateEmpty State = "empty"
	// StateStale means that the watch is lost, or that the balancer has not returned
	// for 10 s; the last known set is in use.
	StateStale State = "stale"
)

// Stats is the state of a pool at about one moment. Counters count since the
// pool was made. It can be marshaled as JSON, for monitoring.
type Stats struct {
	// State is what is known of the set of endpoints, since Since.
	State State
	Since time.Time
	// LastWatch is why the watch was lost, why no set is known yet, or, of an empty
	// set, what last failed; nil while the watch lives. Its text, like that of every
	// error here, is cut above 4 KiB.
	LastWatch error
	// Warning is what the registry has other than expected, such as entries that are
	// skipped; nil for nothing. See [EventWatchWarning].
	Warning error
	// Rejected counts entries of the registry that were dropped.
	Rejected uint64
	// Waiting is the number of calls that wait for a connection now; Waits
	// counts those that waited and got one, WaitTime is how long in all.
	Waiting  int
	Waits    uint64
	WaitTime time.Duration
	// Limit is how many callers an endpoint can have at once: [MaxActive] times
	// [MaxConcurrentCalls].
	Limit int
	// Endpoints are those in the set, in no order.
	Endpoints []EndpointStats
	// Metrics are the numbers of all calls; nil until [Pool.Measure] was called.
	Metrics *metrics.Pool `json:",omitempty"`
}

// EndpointStats is the state of one endpoint.
type EndpointStats struct {
	Endpoint Endpoint
	// Open connections are InUse or Idle; with [MaxConcurrentCalls] above 1,
	// InUse and Idle count callers, not connections.
	Open, InUse, Idle int
	// Dialing and Closing connections count against the limits too.
	Dialing, Closing int
	// Down means that there is no connection, and the last dial failed with
	// LastDial; Ejected that the server's calls fail, and it gets none for a
	// while.
	Down     bool
	Ejected  bool
	LastDial error
	// Calls counts ended leases.
	Calls uint64
	// Dials counts connections opened, DialFailures failed attempts, Closed
	// connections closed.
	Dials, DialFailures, Closed uint64
	// Latency is the average time that answers took, with a time constant of
	// about two seconds; 0 if nothing was reported.
	Latency time.Duration
	// Metrics are the numbers of its calls; nil until [Pool.Measure] was called.
	Metrics *metrics.Calls `json:",omitempty"`
}

// MarshalJSON has errors and durations as text, such as "1.5s", under the names of
// the fields.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	return json.Marshal(struct {
		plain

		LastWatch, Warning string `json:",omitempty"`
		WaitTime           string
	}{plain(s), text(s.LastWatch), text(s.Warning), s.WaitTime.String()})
}

// MarshalJSON is as that of [Stats].
func (s EndpointStats) MarshalJSON() ([]byte, error) {
	type plain EndpointStats
	return json.Marshal(struct {
		plain

		LastDial string `json:",omitempty"`
		Latency  string
	}{plain(s), text(s.LastDial), s.Latency.String()})
}

// text is the text of an error, empty for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Stats returns the state of the pool. It looks at every connection, under
// each endpoint's lock in turn; it is not meant for the call path.
func (p *Pool[C]) Stats() Stats {
	pool := p.of()
	v, set := pool.view.Load(), pool.settings()
	st := Stats{
		State: v.state, Since: v.since, Rejected: uint64(pool.rejected.Load()),
		Waiting: pool.queue.len(), Waits: uint64(pool.waits.Load()), WaitTime: time.Duration(pool.waited.Load()),
		Limit: set.maxActive * set.share, Endpoints: make([]EndpointStats, len(v.subs)),
	}
	if err := pool.lastWatch.Load(); err != nil {
		st.LastWatch = *err
	}
	if err := pool.warning.Load(); err != nil {
		st.Warning = *err
	}
	if s := pool.stalled.Load(); s != nil {
		st.State, st.Since, st.LastWatch = StateStale, s.since, errStalled
	}
	m := pool.measured.Load()
	for i, s := range v.subs {
		e := &st.Endpoints[i]
		*e = s.stats()
		e.Calls = s.calls()
		if m != nil {
			t := s.readTally()
			c := t.read()
			c.Answers, c.AnswerTime = t.latency.totals()
			e.Metrics = &c
		}
	}
	if m != nil {
		st.Metrics = pool.metrics(m)
	}
	return st
}

// counts adds up the endpoints of the newest snapshot and those that drain.
func (p *pool) counts() (sum EndpointStats) {
	subs, _ := p.living()
	for _, s := range subs {
		c := s.stats()
		sum.Open += c.Open
		sum.Idle += c.Idle
		sum.InUse += c.InUse
		sum.Dialing += c.Dialing
		sum.Closing += c.Closing
		if c.LastDial != nil {
			sum.LastDial = c.LastDial
		}
	}
	return sum
}

// recentCounts returns what counts does, in a large pool that of the last few
// milliseconds: calls fail by the thousand when they do.
func (p *pool) recentCounts(endpoints int) EndpointStats {
	const large, recent = 64, 10 * time.Millisecond
	if endpoints <= large {
		return p.counts()
	}
	last, now := p.counted.Load(), p.now()
	if last == nil || now-last.at > recent {
		last = &counted{p.counts(), now}
		p.counted.Store(last)
	}
	return last.sum
}

// counted is what counts returned at a time.
type counted struct {
	sum EndpointStats
	at  time.Duration
}

// fail makes the error of a Get that is still in the queue, or never waited.
func (p *pool) fail(r *request, kind, cause error, begun time.Duration) (*slots.Slot, uint64, error) {
	p.unserved.count(kind)
	v := p.view.Load()
	c := p.recentCounts(len(v.subs))
	if r.only != nil {
		c.LastDial = r.only.lastDialError()
	}
	e := &Error{
		Kind: kind, Cause: cause, LastDial: c.LastDial, Endpoint: r.endpoint, State: v.state,
	}
	n := &e.counts
	n.endpoints, n.open, n.idle, n.dialing, n.waiting = len(v.subs), c.Open, c.Idle, c.Dialing, p.queue.len()
	if len(v.subs) == 0 {
		e.place, e.since = p.place, time.Since(v.since)
		if err := p.warning.Load(); err != nil {
			e.warning = *err
		}
	}
	if begun != didNotWait {
		e.Waited = p.now() - begun
	}
	if err := p.lastWatch.Load(); err != nil {
		e.LastWatch = *err
	}
	return nil, 0, e
}
