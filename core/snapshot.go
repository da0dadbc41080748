package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// snapshot is the set of endpoints that calls choose from. It is immutable: a
// change of the set makes a new one.
type snapshot struct {
	// What a call reads is on one cache line.

	// subs are the sub-pools by the picker's index.
	subs   []*subpool
	picker balance.Picker
	// detector is outlier detection; nil without it.
	detector *outlier.Detector
	// special is not 0 when the picker alone does not decide: a probe is due, or a
	// panic of the picker must be recovered.
	special *atomic.Int64
	// guarded means that a panic of the picker is recovered, which costs a few
	// nanoseconds: it is of a balancer that the user has given.
	guarded bool

	state State
	since time.Time
	// members are what the picker knows of subs.
	members []balance.Member
	byAddr  index
	// closed marks the last snapshot of all.
	closed bool
}

// apply takes over a set: new sub-pools for endpoints that came, the same ones
// for those that stayed; then the new snapshot, and only then the drain of those
// that left. Follow calls it from one goroutine.
func (p *pool) apply(c discovery.Change) {
	old := p.view.Load()
	if old.closed {
		return
	}
	next := *old
	switch {
	case c.Lost: // no news from the registry: a grace is over
	case len(c.Set) == 0:
		next.state = StateEmpty
	default:
		next.state = StateReady
	}
	if !c.Lost {
		p.lastWatch.Store(nil)
		p.failing = ""
	}
	var added, left []*subpool
	set := p.settings() // of those that are made now
	changed := old.picker == nil || len(c.Added)+len(c.Updated)+len(c.Removed) > 0
	if changed {
		added, left = next.edit(p, c)
		next.picker, next.guarded = p.build(old.picker, next.members)
		if p.cfg.outliers != nil {
			next.detector = outlier.New(*p.cfg.outliers, old.detector, next.members, p.ejected)
		}
		switch {
		case next.guarded:
			next.special = &p.always
		case next.detector != nil:
			next.special = next.detector.Due()
		default:
			next.special = &p.never
		}
	}
	if !p.publish(old, &next, left) {
		for _, s := range added {
			p.drain(s, 0)
		}
		return
	}
	missed := p.settings() != set // Set may not have seen those that came
	for _, s := range added {
		p.event(Event{Kind: EventEndpointAdded, Endpoint: s.addr()})
		if missed || set.minIdle > 0 {
			s.retireAll(s.resize(nil), nil)
		}
	}
	for _, s := range left {
		p.event(Event{Kind: EventEndpointRemoved, Endpoint: s.addr()})
		p.drain(s, max(p.settings().drainTimeout, 1))
	}
	if changed {
		p.queue.wakeAll()
		p.announce()
	}
}

// build asks the balancer for a picker, and says whether its panics must be
// recovered. A balancer that panics or returns nil leaves the choice to the
// default.
func (p *pool) build(previous balance.Picker, members []balance.Member) (picker balance.Picker, guarded bool) {
	if p.cfg.balancer == nil {
		return defaultBalancer().Build(previous, members), false
	}
	panicked := apart(func() { picker = p.cfg.balancer.Build(previous, members) })
	err := errors.New("core: the balancer failed: Build returned nil")
	if panicked != nil {
		err = fmt.Errorf("core: the balancer failed: Build panicked: %v", panicked)
	} else if !isNil(picker) {
		return picker, true
	}
	p.event(Event{Kind: EventBalancerFailed, Err: err})
	return defaultBalancer().Build(nil, members), false
}

func defaultBalancer() balance.Balancer { return balance.LeastLatency(balance.LeastLatencyConfig{}) }

// publish replaces old by next, which has not what left, unless the pool was closed
// meanwhile.
func (p *pool) publish(old, next *snapshot, left []*subpool) bool {
	if next.state != old.state {
		next.since = time.Now()
	}
	p.mu.Lock()
	ok := !p.closing
	if ok {
		p.view.Store(next)
		p.leaveLocked(left)
	}
	p.mu.Unlock()
	if ok && next.state != old.state {
		p.event(Event{Kind: EventStateChanged, State: next.state})
	}
	return ok
}

// closeView publishes the last snapshot, which has no endpoint, and returns the
// one before. closing is set: no other is published after it.
func (p *pool) closeView() *snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.view.Load()
	p.view.Store(&snapshot{closed: true, state: last.state, since: last.since})
	p.leaveLocked(last.subs)
	return last
}

// leaveLocked notes which sub-pools the newest snapshot has no more. They drain.
func (p *pool) leaveLocked(left []*subpool) {
	if p.draining == nil && len(left) > 0 {
		p.draining = make(map[*subpool]struct{}, len(left))
	}
	for _, s := range left {
		p.draining[s] = struct{}{}
	}
}

// watchLost notes that the watch ended.
func (p *pool) watchLost(err error, _ time.Duration) {
	p.lastWatch.Store(&err)
	ev := Event{Kind: EventWatchLost, Err: err}
	if s := interface{ Stack() string }(nil); errors.As(err, &s) {
		ev.Stack = s.Stack()
	}
	p.event(ev)
	old := p.view.Load()
	if next := *old; old.state != StatePending && old.state != StateStale && !old.closed {
		next.state = StateStale
		p.publish(old, &next, nil)
	}
}

// watchFailing says what fails while the watch goes on, and notes why there is no
// set yet, or why it may be empty.
func (p *pool) watchFailing(err error) {
	if text := err.Error(); text != p.failing {
		p.failing = text
		p.event(Event{Kind: EventWatchFailing, Err: err})
	}
	if s := p.view.Load().state; s == StatePending || s == StateEmpty {
		p.lastWatch.Store(&err)
	}
}

// watchWarned notes what is odd about the registry's content, nil for nothing.
func (p *pool) watchWarned(err error) {
	if err == nil {
		p.warning.Store(nil)
		return
	}
	p.warning.Store(&err)
	p.event(Event{Kind: EventWatchWarning, Err: err})
	p.announce() // who waits for a server has an error from before
}

// reject notes a bad entry of a report.
func (p *pool) reject(e Endpoint, err error) {
	p.rejected.Add(1)
	p.event(Event{Kind: EventEndpointRejected, Endpoint: e.Addr, Err: err})
}

// report tells outlier detection and the picker of the newest snapshot; a server
// that left is forgotten.
func (p *pool) report(s *subpool, r balance.Report) {
	if r.Outcome != balance.OutcomeDialFailure && !p.reported.Load() { // read by all, hence written once a tick
		p.reported.Store(true)
	}
	if m := p.measured.Load(); m != nil {
		m.record(s, r)
	}
	v := p.view.Load()
	i := int(s.index.Load())
	if i >= len(v.subs) || v.subs[i] != s {
		return
	}
	if r.Outcome == balance.OutcomeOK && s.hangUps.Load() != 0 {
		s.answered()
	}
	if r.Outcome == balance.OutcomeOK && r.Latency > 0 {
		s.tally().latency.record(r.Latency)
	}
	if v.detector != nil {
		v.detector.Report(i, r.Outcome, r.At)
	}
	if v.guarded {
		defer func() { _ = recover() }() // as the contract of Picker says
	}
	v.picker.Report(i, r)
}

// ejected takes note of a change in outlier detection.
func (p *pool) ejected(n outlier.Notice) {
	kinds := [...]EventKind{outlier.Ejected: EventEndpointEjected, outlier.Readmitted: EventEndpointReadmitted, outlier.Suppressed: EventEjectionSuppressed}
	if s := p.view.Load().byAddr.get(n.Addr); s != nil && n.Change == outlier.Readmitted && s.drained.Swap(false) {
		s.refill()
	}
	if n.Change == outlier.Ejected {
		p.countersOf(n.Addr).ejections.Add(1)
	}
	if s := p.view.Load().byAddr.get(n.Addr); s != nil && n.Change != outlier.Readmitted && n.Evidence.Failures > 0 {
		if last := s.lastFailure.Load(); last != nil {
			n.Cause = fmt.Errorf("%w; the last: %w", n.Cause, brief.Error(*last))
		}
	}
	p.event(Event{Kind: kinds[n.Change], Endpoint: n.Addr, Err: n.Cause, Duration: n.Duration, Evidence: &n.Evidence})
	p.queue.wakeAll() // what calls wait for may be elsewhere now
	if n.Change == outlier.Readmitted {
		p.announce()
	}
}

// fit returns s without what is behind its end, which would keep what has left.
func fit[T any](s []T) []T {
	if 2*len(s) < cap(s) {
		return slices.Clone(s)
	}
	clear(s[len(s):cap(s)])
	return s
}

// edit makes the lists of v those of a set that differs from it by c, and
// returns the sub-pools that came and those that left.
//
// A registry of thousands of servers changes by one or two at a time, over and
// over, so the lists are edited in copies of what there is. The order is random,
// and another in each process, so that pickers which go by index do not make a
// fleet of clients march in step. The first set is shuffled before its sub-pools
// are made, which leaves neighbors in the index neighbors in memory; later the
// last one fills the gap of one that left, and one that came changes places with
// any.
func (v *snapshot) edit(p *pool, c discovery.Change) (added, left []*subpool) {
	first := len(v.subs) == 0
	came := append([]Endpoint(nil), c.Added...)
	rand.Shuffle(len(came), func(i, j int) { came[i], came[j] = came[j], came[i] })
	subs := append(make([]*subpool, 0, len(v.subs)+len(came)), v.subs...)
	members := append(make([]balance.Member, 0, cap(subs)), v.members...)
	var moved []int
	set := func(i int, s *subpool) {
		subs[i], members[i] = s, balance.NewMember(*s.endpoint.Load(), &s.Load)
		s.at = int32(i)
		moved = append(moved, i)
	}
	for _, e := range c.Updated {
		s := v.byAddr.get(e.Addr)
		s.endpoint.Store(&e)
		set(int(s.at), s)
	}
	for _, e := range c.Removed {
		s := v.byAddr.get(e.Addr)
		left = append(left, s)
		last := len(subs) - 1
		set(int(s.at), subs[last])
		subs, members = subs[:last], members[:last]
	}
	for _, e := range came {
		s := p.newSubpool(e)
		added = append(added, s)
		last := len(subs)
		subs, members = append(subs, s), append(members, balance.Member{})
		if i := last; !first {
			i = rand.IntN(last + 1)
			set(last, subs[i])
			set(i, s)
		} else {
			set(i, s)
		}
	}
	for _, i := range moved {
		if i < len(subs) {
			subs[i].index.Store(int32(i))
		}
	}
	v.subs, v.members = fit(subs), fit(members)
	v.byAddr = v.byAddr.with(added, left, subs)
	return added, left
}
