package core

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
)

const (
	// picks is how often a call asks the picker before it looks at every
	// endpoint for itself.
	picks = 3

	// dialHedge is how long a call waits for one dial before it asks for one at
	// another endpoint as well: the Connection Attempt Delay of RFC 8305,
	// section 5.
	dialHedge = 250 * time.Millisecond

	// didNotWait marks a call that never entered the queue.
	didNotWait = -1
)

// request is what a call asks for, resolved against one snapshot.
type request struct {
	info     balance.PickInfo
	endpoint string
	named    bool // endpoint is given, if only as ""
	excluded [maxExcluded]string
	n        int // of excluded, all in all
	picked   int // by the picker, an index in the snapshot; none if it was not asked

	only *subpool
	shun [maxExcluded]*subpool
	// want is the endpoint whose dial this call waits for, and late one whose
	// dial it has waited for long enough; nil for none.
	want, late *subpool
}

// simple reports whether the call takes any connection.
func (r *request) simple() bool { return !r.named && r.n == 0 && !r.info.Keyed }

// resolve finds the endpoints that r names in v.
func (r *request) resolve(v *snapshot) {
	r.only, r.shun = nil, [maxExcluded]*subpool{}
	if r.named {
		r.only = v.byAddr.get(r.endpoint)
		return
	}
	r.exclude(v)
	if !r.info.Keyed {
		return
	}
	if i := v.pick(r.info); uint(i) < uint(len(v.subs)) && r.accepts(v.subs[i]) && !v.subs[i].Unavailable() {
		r.only = v.subs[i] // while it is available
	}
}

// exclude finds the endpoints to exclude, unless there is no other available.
func (r *request) exclude(v *snapshot) {
	k := 0
	for _, a := range r.excluded[:min(r.n, len(r.excluded))] {
		if s := v.byAddr.get(a); s != nil && !slices.Contains(r.shun[:k], s) {
			r.shun[k] = s
			k++
		}
	}
	if k > 0 && !slices.ContainsFunc(v.subs, func(s *subpool) bool { return r.accepts(s) && !s.Unavailable() }) {
		r.shun = [maxExcluded]*subpool{}
	}
}

func (r *request) accepts(s *subpool) bool {
	if r.only != nil {
		return r.only == s
	}
	for _, x := range r.shun {
		if x == nil {
			break
		}
		if x == s {
			return false
		}
	}
	return true
}

// offer is what a look found: a slot, or an endpoint whose dial can be waited
// for, or neither.
type offer struct {
	slot *slots.Slot
	gen  uint64
	dial *subpool
	// busy: something may come back without our doing.
	busy bool
}

// getSlow leases a connection when the first choice had none, or when the call
// has wishes: it looks around, then waits its turn. queue.go has the states of a
// call that waits.
func (p *pool) getSlow(ctx context.Context, opts []CallOption, picked int) (*slots.Slot, uint64, error) {
	r := newRequest(opts)
	if p == nil {
		return closedPool().getSlow(ctx, opts, none)
	}
	v := p.view.Load()
	if r.picked = picked; picked >= len(v.subs) {
		r.picked = none // the set has changed
	}
	if v.closed {
		return p.fail(&r, ErrClosed, nil, didNotWait)
	}
	if ctx.Err() != nil {
		return p.fail(&r, ctxerr.Of(ctx), nil, didNotWait)
	}
	r.resolve(v)
	// What may be had at once, without the cost of the queue.
	if len(opts) > 0 && len(v.subs) > 0 && (!r.named || r.only != nil) {
		if o := p.choose(ctx, v, &r); o.slot != nil {
			p.count(o.gen)
			return o.slot, o.gen, nil
		}
	}

	begun, waited := p.now(), false
	w, futile := p.queue.enter(r.only, r.shun)
	// However the call ends, by a panic of the picker too, it leaves the
	// queue; a connection that was delivered in that instant goes back.
	defer func() {
		if w != nil {
			if sl, _ := p.queue.leave(w); sl != nil {
				subpoolOf(sl).giveBack(sl)
			}
		}
	}()
	for {
		now := p.view.Load()
		if now != v {
			r.picked = none
		}
		if now != v || !r.simple() {
			v, futile = now, false
			r.resolve(v)
			p.queue.restrict(w, r.only, r.shun)
		}
		switch {
		case v.closed:
			return p.fail(&r, ErrClosed, nil, begun)
		case v.state == StatePending:
		case len(v.subs) == 0 || r.named && r.only == nil:
			return p.fail(&r, ErrNoEndpoint, nil, begun)
		case futile && r.simple():
			// Whoever waits already has looked: no more than wait is left.
		default:
			o := p.look(ctx, v, &r, w)
			if o.slot == nil && !o.busy && r.info.Keyed && r.only != nil {
				// The key's own endpoint has nothing to wait for.
				r.only = nil
				p.queue.restrict(w, nil, r.shun)
				o = p.look(ctx, v, &r, w)
			}
			if o.slot != nil {
				p.count(o.gen)
				p.noteWait(begun, waited)
				return o.slot, o.gen, nil
			}
			if !o.busy {
				return p.fail(&r, ErrUnavailable, nil, begun)
			}
		}
		why := w.wait(ctx)
		waited, futile = true, false
		switch why {
		case signaled:
			sl, gen := p.queue.delivered(w)
			if sl == nil {
				continue // something changed
			}
			w, r.want, r.late = nil, nil, nil
			s := subpoolOf(sl)
			if p.unwanted(&r, s) {
				s.giveBack(sl)
				w = p.queue.reenter(r.only, r.shun)
				continue
			}
			gen, ok, cause := p.prepare(ctx, s, sl, gen)
			if ok {
				p.count(gen)
				p.noteWait(begun, waited)
				return sl, gen, nil
			}
			// First its turn, then the room: or the next call would get it.
			w = p.queue.reenter(r.only, r.shun)
			s.reject(sl, cause)
		case timedOut:
			r.late = r.want
		case contextDone:
			kind := ErrExhausted
			switch {
			case v.state == StatePending:
				kind = ErrNoEndpoint
			case r.want != nil:
				kind = ErrUnavailable
			}
			return p.fail(&r, kind, ctxerr.Of(ctx), begun)
		}
	}
}

// unwanted reports whether the call does not want what was delivered to it: the
// queue knew no more than the call did, not of an endpoint that came only now.
func (p *pool) unwanted(r *request, s *subpool) bool {
	if r.simple() {
		return false
	}
	r.resolve(p.view.Load())
	return r.named && r.only != s || !r.accepts(s)
}

// look is one look around by a call in the queue: it takes a slot, or settles
// whose dial the call waits for.
func (p *pool) look(ctx context.Context, v *snapshot, r *request, w *waiter) offer {
	if r.want != nil && !r.want.dialAwaited() {
		p.abandon(r, w) // it is full, or failed, or left
	}
	o := p.search(ctx, v, r)
	if o.slot == nil && o.dial == nil && r.want == nil && r.late != nil {
		r.late = nil // slow as it was, it is the only one left
		o = p.search(ctx, v, r)
	}
	if o.slot == nil && o.dial != nil && (r.want == nil || r.want == r.late) {
		if !p.queue.await(w, o.dial, false) { // first: what it asks for may be there at once
			return offer{busy: true} // served meanwhile
		}
		r.want = o.dial
		if r.want.dialAwaited() {
			p.queue.begun(w)
			w.arm(dialHedge)
		} else {
			p.abandon(r, w)
			if !p.usedUp() {
				// Others were faster at that endpoint, where this look may have
				// ended: nobody wakes the call for room at those behind it.
				return p.look(ctx, v, r, w)
			}
			o.busy = true
			if found := p.spare(ctx, v, r, o.dial); found.slot != nil {
				o = found
			}
		}
	}
	switch {
	case o.slot != nil:
	case r.want != nil:
		p.queue.await(w, r.want, r.want == r.late)
		o.busy = true
	case o.busy:
		p.queue.settle(w)
	}
	return o
}

// abandon ends that the call waits for a dial: there is none to come.
func (p *pool) abandon(r *request, w *waiter) {
	r.want = nil
	p.queue.await(w, nil, false)
	w.disarm()
}

// search asks the picker and then looks at every endpoint.
func (p *pool) search(ctx context.Context, v *snapshot, r *request) offer {
	o := p.choose(ctx, v, r)
	if o.slot == nil && o.dial == nil && r.only == nil {
		o = p.scan(ctx, v, r)
	}
	return o
}

// choose follows the picker: its first choice, which stands while it can be
// dialed, and others, a few times, if it cannot be.
func (p *pool) choose(ctx context.Context, v *snapshot, r *request) offer {
	if r.only != nil {
		return p.try(ctx, r.only, r)
	}
	n := picks
	if r.info.Keyed {
		n = 1
	}
	for range n {
		if r.picked == none {
			i := v.pick(r.info)
			if uint(i) >= uint(len(v.subs)) {
				i = rand.IntN(len(v.subs))
			}
			r.picked = i
		}
		s := v.subs[r.picked]
		if s.Ejected() && s.Idle() == 0 {
			s.prewarm()
		} else if r.accepts(s) {
			if o := p.try(ctx, s, r); o.slot != nil || o.dial != nil {
				return o
			}
		}
		r.picked = none
	}
	return offer{}
}

// scan looks at every endpoint: for one that is idle, else for one to dial.
// Those that are ejected come last.
func (p *pool) scan(ctx context.Context, v *snapshot, r *request) offer {
	o := p.pass(ctx, v, r, false)
	if o.slot == nil && o.dial == nil && !o.busy {
		o = p.pass(ctx, v, r, true)
	}
	return o
}

// pass looks at the endpoints that are ejected, or at those that are not, from a
// random one on.
func (p *pool) pass(ctx context.Context, v *snapshot, r *request, ejected bool) (best offer) {
	first := rand.IntN(len(v.subs))
	for k := range v.subs {
		s := v.subs[(first+k)%len(v.subs)]
		if !r.accepts(s) || s.Ejected() != ejected {
			continue
		}
		o := p.try(ctx, s, r)
		if o.slot != nil {
			return o
		}
		if best.dial == nil {
			best.dial = o.dial
		}
		best.busy = best.busy || o.busy
	}
	return best
}

// try looks at one endpoint.
func (p *pool) try(ctx context.Context, s *subpool, r *request) offer {
	for {
		sl, gen := s.Acquire()
		if sl == nil {
			break
		}
		if gen, ok := p.accept(ctx, s, sl, gen); ok {
			return offer{slot: sl, gen: gen}
		}
	}
	grows, busy := s.capacity()
	if grows && s != r.late {
		return offer{dial: s, busy: true}
	}
	return offer{busy: busy}
}

// spare is for a call that may not dial s since the total is used up: it takes
// an idle connection to another endpoint or, if the call is for s, closes one
// to make room.
func (p *pool) spare(ctx context.Context, v *snapshot, r *request, s *subpool) offer {
	if r.only == nil {
		if o := p.scan(ctx, v, r); o.slot != nil {
			return o
		}
	}
	for _, other := range v.subs {
		if other != s && other.shed(1, false) > 0 {
			break
		}
	}
	return offer{}
}

// What follows is how sub-pools wake the calls that wait. None of it is called
// under a sub-pool's lock, except takeTotal and giveTotal.

// takeTotal takes one connection off MaxTotal. One that is not for a call is
// not taken from under the calls that wait.
func (p *pool) takeTotal(call bool) bool {
	most := int64(p.settings().maxTotal)
	if most != 0 && !call && p.queue.awaited.Load() != 0 {
		return false
	}
	for {
		n := p.total.Load()
		if most != 0 && n >= most {
			return false
		}
		if p.total.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// usedUp reports whether there are as many connections as MaxTotal allows.
func (p *pool) usedUp() bool {
	most := int64(p.settings().maxTotal)
	return most != 0 && p.total.Load() >= most
}

// overTotal reports whether there are more connections than a lowered MaxTotal
// allows.
func (p *pool) overTotal() bool {
	most := int64(p.settings().maxTotal)
	return most != 0 && p.total.Load() > most
}

// giveTotal gives it back.
func (p *pool) giveTotal() { p.total.Add(-1) }

// offer offers the idle slots of s to the calls that wait. Where the total is
// bounded, those that may not use them may have their place.
func (p *pool) offer(s *subpool) {
	for p.queue.wants(s) {
		sl, gen := s.Acquire()
		if sl == nil {
			return
		}
		if gen&slots.Retired != 0 {
			s.retire(sl, nil)
		} else if !p.queue.deliver(s, sl, gen) {
			s.giveBack(sl)
			return
		}
	}
	if p.settings().maxTotal != 0 {
		p.queue.wakeAll()
	}
}

// canDial wakes a call that may dial now at s. When the pool's total is bounded,
// room at one endpoint is room at any.
func (p *pool) canDial(s *subpool) {
	if p.queue.awaited.Load() == 0 {
		return
	}
	if p.settings().maxTotal != 0 {
		p.queue.wakeAll()
		return
	}
	p.queue.wakeFirst(s)
}

// dialFailed makes the calls that wait look again: for some there may be nothing
// left to wait for.
func (p *pool) dialFailed(s *subpool) {
	p.report(s, balance.Report{Outcome: balance.OutcomeDialFailure, At: p.now()})
	p.queue.wakeAll()
}
