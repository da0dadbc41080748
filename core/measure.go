package core

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/metrics"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// Measure makes the pool count the outcomes of its calls and record how long they
// take and wait, from now on: Stats has Metrics then. That costs about ten
// nanoseconds per reported outcome, nothing per lease, and 20 kB. Calling Measure
// again changes nothing.
func (p *Pool[C]) Measure() { p.of().measured.CompareAndSwap(nil, new(meters)) }

// meters are the histograms of a pool.
type meters struct {
	// answers are spread, so that processors which record at the same time seldom
	// meet.
	answers         [8]metrics.Recorder
	failures, waits metrics.Recorder
}

// record takes in a report.
func (m *meters) record(s *subpool, r balance.Report) {
	if t := s.tally(); int(r.Outcome) < len(t.outcomes) {
		t.outcomes[r.Outcome].Add(1)
	}
	switch {
	case r.Latency <= 0 || r.Outcome == balance.OutcomeDialFailure:
	case r.Outcome == balance.OutcomeOK:
		m.answers[uint(s.index.Load())%uint(len(m.answers))].Record(r.Latency)
	default:
		m.failures.Record(r.Latency)
	}
}

// tally is what is counted and averaged of the calls to an endpoint.
type tally struct {
	counters

	latency latency
}

// untallied is the tally of an endpoint that nothing was ever counted of.
var untallied tally //nolint:gochecknoglobals // never changed

// tally returns the tally of s, to count in. It is made for the first call that counts:
// few endpoints of a large fleet get any.
func (s *subpool) tally() *tally {
	if t := s.tallied.Load(); t != nil {
		return t
	}
	return s.makeTally() // by itself, so that tally is inlined
}

func (s *subpool) makeTally() *tally {
	s.tallied.CompareAndSwap(nil, new(tally))
	return s.tallied.Load()
}

// readTally returns the tally of s, to read.
func (s *subpool) readTally() *tally {
	if t := s.tallied.Load(); t != nil {
		return t
	}
	return &untallied
}

// counters are what is counted of the calls to an endpoint.
type counters struct {
	outcomes                                                    [balance.OutcomeCanceled + 1]atomic.Uint64
	retries, hedges, hedgesWon, hedgesFailed, ejections, probes atomic.Uint64
}

func (c *counters) read() metrics.Calls {
	return metrics.Calls{
		OK: c.outcomes[balance.OutcomeOK].Load(), Failed: c.outcomes[balance.OutcomeFailure].Load(),
		Overloaded: c.outcomes[balance.OutcomeOverload].Load(), Neutral: c.outcomes[balance.OutcomeNeutral].Load(),
		Canceled: c.outcomes[balance.OutcomeCanceled].Load(), Retries: c.retries.Load(), Hedges: c.hedges.Load(),
		HedgesWon: c.hedgesWon.Load(), HedgesFailed: c.hedgesFailed.Load(), Ejections: c.ejections.Load(), Probes: c.probes.Load(),
	}
}

// countersOf returns the counters of an endpoint; if it has left, those of all that
// have.
func (p *pool) countersOf(addr string) *counters {
	if s := p.view.Load().byAddr.get(addr); s != nil {
		return &s.tally().counters
	}
	return &p.strays
}

// Repeated implements [retry.Pool].
func (v retryView) Repeated(addr string) { v.p.countersOf(addr).retries.Add(1) }

// Hedged implements [retry.Pool].
func (v retryView) Hedged(addr string, end retry.HedgeEnd) {
	c := v.p.countersOf(addr)
	c.hedges.Add(1)
	switch end {
	case retry.HedgeWon:
		c.hedgesWon.Add(1)
	case retry.HedgeFailed:
		c.hedgesFailed.Add(1)
	case retry.HedgeLost:
	}
}

// living returns the sub-pools that are in the set or drain, and what those counted
// that are gone: no sub-pool is in both, or in neither.
func (p *pool) living() ([]*subpool, totals) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.AppendSeq(slices.Clone(p.view.Load().subs), maps.Keys(p.draining)), p.gone
}

// forget drops a sub-pool that has nothing left, and keeps what it has counted.
func (p *pool) forget(s *subpool) {
	st, calls := s.stats(), s.calls()
	p.mu.Lock()
	p.gone.add(s, st, calls)
	if delete(p.draining, s); len(p.draining) == 0 {
		p.draining = nil // it is as large as the largest mass
	}
	p.mu.Unlock()
}

// totals is what several sub-pools have counted.
type totals struct {
	calls                           metrics.Calls
	leases, dials, failures, closed uint64
}

// add adds what s has counted.
func (t *totals) add(s *subpool, st EndpointStats, leases uint64) {
	t.calls.Add(s.readTally().read())
	t.leases += leases
	t.dials += st.Dials
	t.failures += st.DialFailures
	t.closed += st.Closed
}

// metrics returns the numbers of the pool.
func (p *pool) metrics(m *meters) *metrics.Pool {
	subs, all := p.living()
	for _, s := range subs {
		all.add(s, s.stats(), s.calls())
	}
	all.calls.Add(p.strays.read())
	all.calls.Answers, all.calls.AnswerTime = p.latency.totals()
	sum := &metrics.Pool{
		Calls: all.calls, Leases: all.leases, Dials: all.dials, DialFailures: all.failures, Closed: all.closed,
		NoEndpoint: p.unserved.noEndpoint.Load(), Unavailable: p.unserved.unavailable.Load(), Exhausted: p.unserved.exhausted.Load(),
	}
	for i := range m.answers {
		m.answers[i].AddTo(&sum.Latency)
	}
	m.failures.AddTo(&sum.FailureLatency)
	m.waits.AddTo(&sum.Wait)
	return sum
}

// unserved counts the calls that got no connection.
type unserved struct{ noEndpoint, unavailable, exhausted atomic.Uint64 }

func (u *unserved) count(kind error) {
	switch {
	case errors.Is(kind, ErrNoEndpoint):
		u.noEndpoint.Add(1)
	case errors.Is(kind, ErrUnavailable):
		u.unavailable.Add(1)
	case errors.Is(kind, ErrExhausted):
		u.exhausted.Add(1)
	default: // the caller had given up before, or closed the pool
	}
}

// noteWait notes that a call got its connection, and if it waited, how long.
func (p *pool) noteWait(begun time.Duration, waited bool) {
	if !waited {
		return
	}
	took := p.now() - begun
	p.waits.Add(1)
	p.waited.Add(int64(took))
	if m := p.measured.Load(); m != nil {
		m.waits.Record(took)
	}
}
