package core

import (
	"maps"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
)

// Stats is the state of a pool at about one moment. Counters count since the
// pool was made.
type Stats struct {
	// State is what is known of the set of endpoints, since Since.
	State State
	Since time.Time
	// LastWatch is why the watch was lost; nil while it lives.
	LastWatch error
	// Rejected counts entries of the registry that were dropped.
	Rejected uint64
	// Waiting is the number of calls that wait for a connection now; Waits
	// counts those that waited and got one, WaitTime is how long in all.
	Waiting  int
	Waits    uint64
	WaitTime time.Duration
	// Endpoints are those in the set, in no order.
	Endpoints []EndpointStats
}

// EndpointStats is the state of one endpoint.
type EndpointStats struct {
	Endpoint Endpoint
	// Open connections are InUse or idle; with [Share] above 1, InUse and Idle
	// count callers, not connections.
	Open, InUse, Idle int
	// Dialing and Closing connections count against the limits too.
	Dialing, Closing int
	// Down: there is no connection, and the last dial failed with LastDial.
	// Ejected: its calls fail, and it gets none for a while.
	Down     bool
	Ejected  bool
	LastDial error
	// Calls counts ended leases.
	Calls uint64
	// Dials counts connections opened, DialFailures failed attempts, Closed
	// connections closed.
	Dials, DialFailures, Closed uint64
	// Latency is the average by which the default balancer chooses, loads that
	// servers report included; zero if nothing was reported, or with another
	// balancer.
	Latency time.Duration
}

// Stats returns the state of the pool. It looks at every connection, under
// each endpoint's lock in turn; it is not meant for the call path.
func (p *Pool[C]) Stats() Stats {
	v := p.p.view.Load()
	st := Stats{
		State: v.state, Since: v.since, Rejected: uint64(p.p.rejected.Load()),
		Waiting: p.p.queue.Len(), Waits: uint64(p.p.waits.Load()), WaitTime: time.Duration(p.p.waited.Load()),
		Endpoints: make([]EndpointStats, len(v.subs)),
	}
	if err := p.p.lastWatch.Load(); err != nil {
		st.LastWatch = *err
	}
	for i, s := range v.subs {
		c := s.Counts()
		srv, _ := s.Tag.(*server)
		st.Endpoints[i] = EndpointStats{
			Endpoint: *srv.endpoint.Load(), Open: c.Open, InUse: c.InUse, Idle: c.Idle, Dialing: c.Dialing, Closing: c.Closing,
			Down: c.Down, Ejected: s.Ejected(), LastDial: c.LastDial, Calls: s.Uses(), Dials: c.Dials, DialFailures: c.Failures, Closed: c.Closed,
		}
		if v.fast != nil {
			st.Endpoints[i].Latency = v.fast.Latency(i)
		}
	}
	return st
}

// counts adds up the endpoints of the newest view and those that drain.
func (p *pool) counts() (sum subpool.Counts) {
	subs := slices.Clone(p.view.Load().subs)
	p.mu.Lock()
	subs = slices.AppendSeq(subs, maps.Keys(p.leaving))
	p.mu.Unlock()
	for _, s := range subs {
		c := s.Counts()
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

// fail makes the error of a Get that is still in the queue, or never waited.
func (p *pool) fail(r *request, kind, cause error, begun time.Duration) (*slots.Slot, uint64, error) {
	v := p.view.Load()
	c := p.counts()
	if r.only != nil {
		c.LastDial = r.only.LastDial()
	}
	e := &Error{
		Kind: kind, Cause: cause, LastDial: c.LastDial, Endpoint: r.on, State: v.state,
		Endpoints: len(v.subs), Open: c.Open, Idle: c.Idle, Dialing: c.Dialing, Waiting: p.queue.Len(),
	}
	if begun != never {
		e.Waited = p.Now() - begun
	}
	if err := p.lastWatch.Load(); err != nil {
		e.LastWatch = *err
	}
	return nil, 0, e
}
