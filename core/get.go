package core

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
	"github.com/minicaptain/multi_connection_pool/core/internal/waitq"
)

const (
	flagged = slots.Doomed | slots.Rested

	// picks is how often a call asks the picker before it looks at every
	// endpoint for itself.
	picks = 3

	// dialHedge is how long a call waits for one dial before it asks for one at
	// another endpoint as well: the Connection Attempt Delay of RFC 8305,
	// section 5.
	dialHedge = 250 * time.Millisecond

	// never is the time at which a call began to wait that did not.
	never = -1
)

// get leases a connection: quickly, or by looking around.
func (p *pool) get(ctx context.Context, opts []CallOption) (*slots.Slot, uint64, error) {
	// The whole way of a call that finds a connection idle at the endpoint that
	// the picker chose: no lock, no allocation, no clock.
	if len(opts) == 0 && ctx.Err() == nil {
		v := p.view.Load()
		var i int
		if v.fast != nil && (v.ejector == nil || !v.ejector.Probing()) {
			i = v.fast.Pick()
		} else {
			i = v.pick(Hint{})
		}
		if uint(i) < uint(len(v.subs)) {
			s := v.subs[i]
			sl := s.TryAcquire()
			if sl == nil {
				sl, _ = s.Acquire()
			}
			if sl != nil {
				gen, ok := sl.Gen(), true
				if gen&flagged != 0 || p.careful {
					gen, ok = p.accept(ctx, s, sl, gen)
				}
				if ok {
					p.count(gen)
					return sl, gen, nil
				}
			} else if s.Ejected() {
				warm(s)
			}
		}
	}
	sl, gen, err := p.getSlow(ctx, opts)
	if err == nil {
		p.count(gen)
	}
	return sl, gen, err
}

// accept makes an acquired slot fit for use, or closes its connection.
func (p *pool) accept(ctx context.Context, s *subpool.Sub, sl *slots.Slot, gen uint64) (uint64, bool) {
	gen, ok, cause := p.fit(ctx, s, sl, gen)
	if !ok {
		s.Reject(sl, cause)
	}
	return gen, ok
}

// fit does what flags and options ask for beyond the bare lease. If the slot is
// not fit for use, it says why; the caller must Reject it.
func (p *pool) fit(ctx context.Context, s *subpool.Sub, sl *slots.Slot, gen uint64) (_ uint64, ok bool, cause error) {
	if p.cfg.sub.CheckAfter == 0 {
		gen |= slots.Rested
	}
	if gen&flagged != 0 {
		if gen, ok, cause = s.Vet(ctx, sl, gen); !ok {
			return 0, false, cause
		}
	}
	if p.cfg.sub.MinIdle > 0 && s.Idle() < p.cfg.sub.MinIdle*p.cfg.sub.Share {
		s.Refill()
	}
	if p.cfg.sub.LeakAfter > 0 {
		srv, _ := s.Tag.(*server)
		record(srv, sl, gen)
	}
	return gen, true, nil
}

// request is what a call asks for, resolved against one view.
type request struct {
	hint  Hint
	on    string
	avoid [waitq.MaxAvoid]string
	n     int

	only  *subpool.Sub
	shunt [waitq.MaxAvoid]*slots.Set
	// want is the endpoint whose dial this call waits for, and late one whose
	// dial it has waited for long enough; nil for none.
	want, late *subpool.Sub
}

// simple reports whether the call takes any connection.
func (r *request) simple() bool { return r.on == "" && r.n == 0 && !r.hint.Keyed }

func newRequest(opts []CallOption) request {
	var r request
	for _, o := range opts {
		switch o.kind {
		case byKey:
			r.hint.Key, r.hint.Keyed = policy.Hash(o.s), true
		case on:
			r.on = o.s
		case avoid:
			r.avoid[r.n%len(r.avoid)] = o.s
			r.n++
			r.hint.Again = true
		case retry: // is for Do
		}
	}
	return r
}

// resolve finds the endpoints that r names in v.
func (r *request) resolve(v *view) {
	r.only, r.shunt = nil, [waitq.MaxAvoid]*slots.Set{}
	if r.on != "" {
		r.only = v.byAddr.get(r.on)
		return
	}
	r.shun(v)
	if !r.hint.Keyed {
		return
	}
	if i := v.pick(r.hint); uint(i) < uint(len(v.subs)) && r.accepts(v.subs[i]) && !v.subs[i].Out() {
		r.only = v.subs[i] // while it is up
	}
}

// shun finds the endpoints to avoid, unless there is no other that is up.
func (r *request) shun(v *view) {
	k := 0
	for _, a := range r.avoid[:min(r.n, len(r.avoid))] {
		if s := v.byAddr.get(a); s != nil && !slices.Contains(r.shunt[:k], &s.Set) {
			r.shunt[k] = &s.Set
			k++
		}
	}
	if k > 0 && !slices.ContainsFunc(v.subs, func(s *subpool.Sub) bool { return r.accepts(s) && !s.Out() }) {
		r.shunt = [waitq.MaxAvoid]*slots.Set{}
	}
}

func (r *request) accepts(s *subpool.Sub) bool {
	if r.only != nil {
		return r.only == s
	}
	for _, a := range r.shunt {
		if a == nil {
			break
		}
		if a == &s.Set {
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
	dial *subpool.Sub
	// busy: something may come back without our doing.
	busy bool
}

// getSlow leases a connection when the first choice had none, or when the call
// has wishes: it looks around, then waits its turn.
//
// No wake-up is lost: the call enters the queue before it looks for the last
// time, and whoever returns a connection, ends a dial, makes room or changes
// the set does so before it looks at the queue.
func (p *pool) getSlow(ctx context.Context, opts []CallOption) (*slots.Slot, uint64, error) {
	r := newRequest(opts)
	v := p.view.Load()
	if v.closed {
		return p.fail(&r, ErrClosed, nil, never)
	}
	if err := ctx.Err(); err != nil {
		return p.fail(&r, err, nil, never)
	}
	r.resolve(v)
	// What may be had at once, without the cost of the queue.
	if len(opts) > 0 && len(v.subs) > 0 && (r.on == "" || r.only != nil) {
		if o := p.choose(ctx, v, &r); o.slot != nil {
			return o.slot, o.gen, nil
		}
	}

	begun, waited := p.Now(), false
	w, hopeless := p.queue.Enter(setOf(r.only), r.shunt)
	// However the call ends, by a panic of the picker too, it leaves the
	// queue; a connection that was delivered in that instant goes back.
	defer func() {
		if w != nil {
			if sl, _ := p.queue.Leave(w); sl != nil {
				subpool.Of(sl).GiveBack(sl)
			}
		}
	}()
	for {
		now := p.view.Load()
		if now != v || !r.simple() {
			v, hopeless = now, false
			r.resolve(v)
			p.queue.Restrict(w, setOf(r.only), r.shunt)
		}
		switch {
		case v.closed:
			return p.fail(&r, ErrClosed, nil, begun)
		case v.state == Pending:
		case len(v.subs) == 0 || r.on != "" && r.only == nil:
			return p.fail(&r, ErrNoEndpoint, nil, begun)
		case hopeless && r.simple():
			// Whoever waits already has looked: no more than wait is left.
		default:
			o := p.look(ctx, v, &r, w)
			if o.slot == nil && !o.busy && r.hint.Keyed && r.only != nil {
				// The key's own endpoint has nothing to wait for.
				r.only = nil
				p.queue.Restrict(w, nil, r.shunt)
				o = p.look(ctx, v, &r, w)
			}
			if o.slot != nil {
				p.noteWait(begun, waited)
				return o.slot, o.gen, nil
			}
			if !o.busy {
				return p.fail(&r, ErrUnavailable, nil, begun)
			}
		}
		why := w.Wait(ctx)
		waited, hopeless = true, false
		switch why {
		case waitq.Signalled:
			sl, gen := p.queue.Delivered(w)
			if sl == nil {
				continue // something changed
			}
			w, r.want, r.late = nil, nil, nil
			s := subpool.Of(sl)
			if p.unwanted(&r, s) {
				s.GiveBack(sl)
				w = p.queue.Return(setOf(r.only), r.shunt)
				continue
			}
			gen, ok, cause := p.fit(ctx, s, sl, gen)
			if ok {
				p.noteWait(begun, waited)
				return sl, gen, nil
			}
			// First its turn, then the room: else that is told to the next.
			w = p.queue.Return(setOf(r.only), r.shunt)
			s.Reject(sl, cause)
		case waitq.TimedOut:
			r.late = r.want
		case waitq.Done:
			kind := ErrExhausted
			switch {
			case v.state == Pending:
				kind = ErrNoEndpoint
			case r.want != nil:
				kind = ErrUnavailable
			}
			return p.fail(&r, kind, ctx.Err(), begun)
		}
	}
}

// unwanted reports whether the call does not want what was delivered to it: the
// queue knew no more than the call did, not of an endpoint that came only now.
func (p *pool) unwanted(r *request, s *subpool.Sub) bool {
	if r.simple() {
		return false
	}
	r.resolve(p.view.Load())
	return r.on != "" && r.only != s || !r.accepts(s)
}

// look is one look around by a call in the queue: it takes a slot, or settles
// whose dial the call waits for.
func (p *pool) look(ctx context.Context, v *view, r *request, w *waitq.Waiter) offer {
	if r.want != nil && !r.want.Awaited() {
		r.want = nil // it is full, or failed, or left
		p.queue.Await(w, nil, false)
		w.Disarm()
	}
	o := p.search(ctx, v, r)
	if o.slot == nil && o.dial == nil && r.want == nil && r.late != nil {
		r.late = nil // slow as it was, it is the only one left
		o = p.search(ctx, v, r)
	}
	if o.slot == nil && o.dial != nil && (r.want == nil || r.want == r.late) {
		if !p.queue.Await(w, o.dial, false) { // first: what it asks for may be there at once
			return offer{busy: true} // served meanwhile
		}
		r.want = o.dial
		if r.want.Demand() {
			p.queue.Begun(w)
			w.Arm(dialHedge)
		} else {
			// The total is used up, or things changed since the look.
			r.want, o.busy = nil, true
			w.Disarm()
			if found := p.spare(ctx, v, r, o.dial); found.slot != nil {
				o = found
			}
		}
	}
	if o.slot != nil {
		return o
	}
	if r.want != nil {
		p.queue.Await(w, r.want, r.want == r.late)
		o.busy = true
	} else {
		p.queue.Await(w, nil, false)
		if o.busy {
			p.queue.Settle(w)
		}
	}
	return o
}

// search asks the picker and then looks at every endpoint.
func (p *pool) search(ctx context.Context, v *view, r *request) offer {
	o := p.choose(ctx, v, r)
	if o.slot == nil && o.dial == nil {
		o = p.scan(ctx, v, r)
	}
	return o
}

// choose asks the picker, a few times, since its choices are random.
func (p *pool) choose(ctx context.Context, v *view, r *request) offer {
	if r.only != nil {
		return p.try(ctx, r.only, r)
	}
	n := picks
	if r.hint.Keyed {
		n = 1
	}
	for range n {
		i := v.pick(r.hint)
		if uint(i) >= uint(len(v.subs)) {
			i = rand.IntN(len(v.subs))
		}
		s := v.subs[i]
		if s.Ejected() && s.Idle() == 0 {
			warm(s)
		} else if r.accepts(s) {
			if o := p.try(ctx, s, r); o.slot != nil || o.dial != nil {
				return o
			}
		}
	}
	return offer{}
}

// warm opens a connection to an ejected endpoint that is to be tried: no call
// waits for that.
func warm(s *subpool.Sub) {
	s.Demand()
	s.Undemand()
}

// scan looks at every endpoint: for one that is idle, else for one to dial.
// Those that are ejected come last.
func (p *pool) scan(ctx context.Context, v *view, r *request) offer {
	if r.only != nil {
		return p.try(ctx, r.only, r)
	}
	o := p.pass(ctx, v, r, false)
	if o.slot == nil && o.dial == nil && !o.busy {
		o = p.pass(ctx, v, r, true)
	}
	return o
}

// pass looks at every endpoint that is ejected, or at every one that is not.
func (p *pool) pass(ctx context.Context, v *view, r *request, ejected bool) offer {
	var best offer
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
func (p *pool) try(ctx context.Context, s *subpool.Sub, r *request) offer {
	for {
		sl, gen := s.Acquire()
		if sl == nil {
			break
		}
		if gen, ok := p.accept(ctx, s, sl, gen); ok {
			return offer{slot: sl, gen: gen}
		}
	}
	grows, busy := s.Outlook()
	if grows && s != r.late {
		return offer{dial: s, busy: true}
	}
	return offer{busy: busy}
}

// spare is for a call that may not dial s since the total is used up: it takes
// an idle connection to another endpoint or, if the call is for s, closes one
// to make room.
func (p *pool) spare(ctx context.Context, v *view, r *request, s *subpool.Sub) offer {
	if p.cfg.maxTotal == 0 || p.total.Load() < int64(p.cfg.maxTotal) {
		return offer{}
	}
	if r.only == nil {
		if o := p.scan(ctx, v, r); o.slot != nil {
			return o
		}
	}
	for _, other := range v.subs {
		if other != s && other.Evict() {
			break
		}
	}
	return offer{}
}

func setOf(s *subpool.Sub) *slots.Set {
	if s == nil {
		return nil
	}
	return &s.Set
}

func (p *pool) noteWait(begun time.Duration, waited bool) {
	if waited {
		p.waits.Add(1)
		p.waited.Add(int64(p.Now() - begun))
	}
}
