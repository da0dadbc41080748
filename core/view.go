package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/eject"
	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
	"github.com/minicaptain/multi_connection_pool/core/internal/watch"
)

// view is the set of endpoints that calls choose from. It is immutable: a
// change of the set makes a new one.
type view struct {
	state State
	since time.Time
	set   []Endpoint // as it was reported
	// subs are the sub-pools by the picker's index, members what it knows of them.
	subs    []*subpool.Sub
	members []Member
	byAddr  index
	picker  Picker
	// fast is the default policy's picker, if that is the one, to spare the
	// call path two indirections, and ejector what ejects.
	fast    *policy.Picker
	ejector *eject.Ejector
	// closed is the last view of all.
	closed bool
}

// pick asks the picker, unless there is nothing to choose from.
func (v *view) pick(h Hint) (i int) {
	if len(v.subs) == 0 {
		return -1
	}
	defer func() {
		if recover() != nil {
			i = -1 // as the contract of Picker says
		}
	}()
	return v.picker.Pick(h)
}

// server is the pool's record of an endpoint; it lives as long as its sub-pool.
type server struct {
	pool     *pool
	endpoint atomic.Pointer[Endpoint]
	index    atomic.Int32 // in the newest view that has it
	at       int          // likewise, for edit alone
}

func recordOf(s *subpool.Sub) *server {
	srv, _ := s.Tag.(*server)
	return srv
}

func serverOf(sl *slots.Slot) *server { return recordOf(subpool.Of(sl)) }

// apply takes over a set: new sub-pools for endpoints that came, the same ones
// for those that stayed; then the new view, and only then the drain of those
// that left. The watch loop calls it from one goroutine, with a set that nobody
// changes any more.
func (p *pool) apply(set []Endpoint) {
	old := p.view.Load()
	if old.closed {
		return
	}
	next := *old
	next.state, next.set = Ready, set
	switch {
	case old.state == Stale:
		next.state = Stale // until the watch is known to live
	case len(set) == 0:
		next.state = Empty
	}
	c := old.difference(set)
	same := c.none() && old.state != Pending
	var added []*subpool.Sub
	if !same {
		rand.Shuffle(len(c.came), func(i, j int) { c.came[i], c.came[j] = c.came[j], c.came[i] })
		for _, e := range c.came {
			added = append(added, p.newSub(e))
		}
		next.edit(&c, added)
		next.picker = p.build(old.picker, next.members)
		next.fast, next.ejector = nil, nil
		switch p := next.picker.(type) {
		case latencyPicker:
			next.fast = p.policy
		case *ejectingPicker:
			next.fast, next.ejector = p.fast, p.ejector
		}
	}
	if !p.publish(old, &next) {
		for _, s := range added {
			p.drain(s, 0)
		}
		return
	}
	for _, s := range added {
		p.event(Event{Kind: EndpointAdded, Endpoint: addr(s)})
		if p.cfg.sub.MinIdle > 0 {
			s.Refill()
		}
	}
	for _, s := range c.left {
		p.event(Event{Kind: EndpointRemoved, Endpoint: addr(s)})
		p.drain(s, max(p.cfg.drainTimeout, 1))
	}
	if !same {
		p.queue.KickAll()
		p.announce()
	}
}

func (p *pool) newSub(e Endpoint) *subpool.Sub {
	srv := &server{pool: p}
	srv.endpoint.Store(&e)
	return subpool.New(p, &p.cfg.sub, &p.queue.Attention, e.Addr, srv, func(ctx context.Context) (io.Closer, error) {
		return p.dial(ctx, *srv.endpoint.Load())
	})
}

// build asks the balancer for a picker. One that panics or returns nil leaves
// the choice to the default.
func (p *pool) build(previous Picker, members []Member) (picker Picker) {
	defer func() {
		err := errors.New("core: the balancer failed: Build returned nil")
		if v := recover(); v != nil {
			err = fmt.Errorf("core: the balancer failed: Build panicked: %v", v)
		} else if picker != nil {
			return
		}
		p.event(Event{Kind: BalancerFailed, Err: err})
		picker = LeastLatency(Latency{}).Build(nil, Snapshot{members})
	}()
	return p.cfg.balancer.Build(previous, Snapshot{members})
}

// publish replaces old by next, unless the pool was closed meanwhile.
func (p *pool) publish(old, next *view) bool {
	if next.state != old.state {
		next.since = time.Now()
	}
	p.mu.Lock()
	ok := !p.closing
	if ok {
		p.view.Store(next)
	}
	p.mu.Unlock()
	if ok && next.state != old.state {
		p.event(Event{Kind: StateChanged, State: next.state})
	}
	return ok
}

// closeView publishes the last view, which has no endpoint, and returns the
// one before. closing is set: no other is published after it.
func (p *pool) closeView() *view {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.view.Load()
	p.view.Store(&view{closed: true, state: last.state, since: last.since})
	return last
}

// watchChanged notes that the watch is lost or lives.
func (p *pool) watchChanged(s watch.Status, err error) {
	old := p.view.Load()
	next := *old
	if s == watch.Lost {
		p.lastWatch.Store(&err)
		p.event(Event{Kind: WatchLost, Err: err})
		if old.state == Pending {
			return
		}
		next.state = Stale
	} else {
		p.lastWatch.Store(nil)
		next.state = Ready
		if len(old.subs) == 0 {
			next.state = Empty
		}
	}
	if old.state != next.state && !old.closed {
		p.publish(old, &next)
	}
}

// reject notes a bad entry of a report.
func (p *pool) reject(e Endpoint, err error) {
	p.rejected.Add(1)
	p.event(Event{Kind: EndpointRejected, Endpoint: e.Addr, Err: err})
}

// tick lets the picker and the hedge see time pass, and keeps a connection ready
// to each server that is ejected: when it is tried, a call finds out how it is
// now, and not that a connection has ended meanwhile. It runs in the janitor.
func (p *pool) tick() {
	v := p.view.Load()
	n := 0
	for _, s := range v.subs {
		calls := s.InFlight()
		n += calls
		if s.Ejected() {
			s.Sweep(p.Now())
			if calls == 0 && s.Idle() == 0 {
				warm(s)
			}
		}
	}
	p.hedge.Tick(n)
	if t, ok := v.picker.(Ticker); ok {
		defer func() { _ = recover() }() // as the contract of Picker says
		t.Tick(p.Now())
	}
}

// report tells the picker of the newest view; a server that left is forgotten.
func (p *pool) report(s *server, r Report) {
	v := p.view.Load()
	i := int(s.index.Load())
	if i >= len(v.subs) || v.subs[i].Tag != any(s) {
		return
	}
	defer func() { _ = recover() }() // as the contract of Picker says
	v.picker.Report(i, r)
}

func addr(s *subpool.Sub) string {
	return recordOf(s).endpoint.Load().Addr
}
