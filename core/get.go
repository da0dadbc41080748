package core

import (
	"context"
	"math/rand/v2"
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

	// hedge is how long a call waits for one dial before it asks for one at
	// another endpoint as well: the Connection Attempt Delay of RFC 8305,
	// section 5.
	hedge = 250 * time.Millisecond
)

// quick is the whole way of a call that finds a connection idle at the
// endpoint that the picker chose: no lock, no allocation, no clock. It returns
// nil when there is more to do than that.
func (p *pool) quick(ctx context.Context) (*slots.Slot, uint64) {
	if ctx.Err() != nil {
		return nil, 0
	}
	v := p.view.Load()
	var i int
	if v.fast != nil {
		i = v.fast.Pick()
	} else {
		i = v.pick(Hint{})
	}
	if uint(i) >= uint(len(v.subs)) {
		return nil, 0
	}
	sl, gen := v.subs[i].Acquire()
	if sl != nil && (gen&flagged != 0 || p.careful) {
		if gen, ok := p.accept(ctx, v.subs[i], sl, gen); ok {
			return sl, gen
		}
		return nil, 0
	}
	return sl, gen
}

// accept makes an acquired slot fit for use: it does what flags and options
// ask for beyond the bare lease.
func (p *pool) accept(ctx context.Context, s *subpool.Sub, sl *slots.Slot, gen uint64) (uint64, bool) {
	if p.cfg.sub.CheckAfter == 0 {
		gen |= slots.Rested
	}
	if gen&flagged != 0 {
		var ok bool
		if gen, ok = s.Vet(ctx, sl, gen); !ok {
			return 0, false
		}
	}
	if p.cfg.sub.MinIdle > 0 && s.Idle() < p.cfg.sub.MinIdle*p.cfg.sub.Share {
		s.Refill()
	}
	if p.cfg.sub.LeakAfter > 0 {
		srv, _ := s.Tag.(*server)
		record(srv, sl, gen)
	}
	return gen, true
}

// request is what a call asks for, resolved against one view.
type request struct {
	hint  Hint
	on    string
	avoid [waitq.MaxAvoid]string
	n     int

	only  *subpool.Sub
	shunt [waitq.MaxAvoid]*slots.Set
	// late is an endpoint whose dial this call has waited for long enough.
	late *subpool.Sub
}

func newRequest(opts []CallOption) request {
	var r request
	for _, o := range opts {
		switch o.kind {
		case byKey:
			r.hint = Hint{Key: policy.Hash(o.s), Keyed: true}
		case on:
			r.on = o.s
		case avoid:
			r.avoid[r.n%len(r.avoid)] = o.s
			r.n++
		}
	}
	return r
}

// resolve finds the endpoints that r names in v. It returns false if the one
// that the call is for is not there.
func (r *request) resolve(v *view) bool {
	r.only, r.shunt = nil, [waitq.MaxAvoid]*slots.Set{}
	if r.on != "" {
		r.only = v.byAddr[r.on]
		return r.only != nil
	}
	k := 0
	for _, a := range r.avoid[:min(r.n, len(r.avoid))] {
		if s := v.byAddr[a]; s != nil {
			r.shunt[k] = &s.Set
			k++
		}
	}
	if k >= len(v.subs) {
		r.shunt = [waitq.MaxAvoid]*slots.Set{} // there is no other
	}
	return true
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
	if err := ctx.Err(); err != nil {
		return p.fail(&r, ErrExhausted, err, 0)
	}
	v := p.view.Load()
	// What may be had at once, without the cost of the queue.
	if r.resolve(v) && len(opts) > 0 && len(v.subs) > 0 {
		if o := p.choose(ctx, v, &r); o.slot != nil {
			return o.slot, o.gen, nil
		}
	}

	begun := p.Now()
	w, hopeless := p.queue.Enter(setOf(r.only), r.shunt)
	var want *subpool.Sub
	// done leaves the queue; a connection that was delivered in the same
	// instant goes back.
	done := func() {
		if want != nil {
			want.Undemand()
		}
		if w != nil {
			if sl, _ := p.queue.Leave(w); sl != nil {
				subpool.Of(sl).GiveBack(sl)
			}
		}
	}
	for {
		if now := p.view.Load(); now != v {
			v, hopeless = now, false
			r.resolve(v)
			p.queue.Restrict(w, setOf(r.only), r.shunt)
		}
		switch {
		case v.closed:
			done()
			return p.fail(&r, ErrClosed, nil, begun)
		case hopeless:
			// Whoever waits already has looked: no more than wait is left.
		case v.state == Pending:
		case len(v.subs) == 0 || r.on != "" && r.only == nil:
			done()
			return p.fail(&r, ErrNoEndpoint, nil, begun)
		default:
			o := p.look(ctx, v, &r, w, &want)
			if o.slot != nil {
				done()
				p.noteWait(begun)
				return o.slot, o.gen, nil
			}
			if !o.busy {
				done()
				p.queue.KickAll() // the others have as little to wait for
				return p.fail(&r, ErrUnavailable, nil, begun)
			}
		}
		switch w.Wait(ctx) {
		case waitq.Signalled:
			hopeless = false
			sl, gen := p.queue.Delivered(w)
			if sl == nil {
				continue // something changed
			}
			w = nil
			if gen&flagged != 0 || p.careful {
				var ok bool
				if gen, ok = p.accept(ctx, subpool.Of(sl), sl, gen); !ok {
					w, hopeless = p.queue.Enter(setOf(r.only), r.shunt)
					continue
				}
			}
			done()
			p.noteWait(begun)
			return sl, gen, nil
		case waitq.TimedOut:
			r.late, hopeless = want, false
		case waitq.Done:
			done()
			kind := ErrExhausted
			switch {
			case v.state == Pending:
				kind = ErrNoEndpoint
			case want != nil:
				kind = ErrUnavailable
			}
			return p.fail(&r, kind, ctx.Err(), begun)
		}
	}
}

// look is one look around by a call in the queue: it takes a slot, or settles
// whose dial the call waits for.
func (p *pool) look(ctx context.Context, v *view, r *request, w *waitq.Waiter, want **subpool.Sub) offer {
	o := p.choose(ctx, v, r)
	if o.slot == nil && o.dial == nil {
		o = p.scan(ctx, v, r)
	}
	switch {
	case o.slot != nil:
		return o
	case o.dial != nil && o.dial != *want:
		if !o.dial.Demand() {
			// The total is used up, or things changed since the look.
			p.evict(o.dial)
			o.busy = true
			break
		}
		if *want != nil {
			(*want).Undemand()
		}
		*want = o.dial
		w.Arm(hedge)
	case o.dial == nil && *want != nil && (*want).Growth() != subpool.Grows:
		// Nothing more to ask for there: it is full, or failed, or left.
		(*want).Undemand()
		*want = nil
		w.Disarm()
	}
	o.busy = o.busy || *want != nil
	if *want == nil && o.busy {
		p.queue.Settle(w)
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
		if s := v.subs[i]; r.accepts(s) {
			if o := p.try(ctx, s, r); o.slot != nil || o.dial != nil {
				return o
			}
		}
	}
	return offer{}
}

// scan looks at every endpoint: for one that is idle, then for one to dial, and
// for one that the call wanted to avoid only when all others are out of reach.
func (p *pool) scan(ctx context.Context, v *view, r *request) offer {
	if r.only != nil {
		return offer{busy: r.only.Busy()}
	}
	var best offer
	first := rand.IntN(len(v.subs))
	for _, accepted := range []bool{true, false} {
		for k := range v.subs {
			s := v.subs[(first+k)%len(v.subs)]
			if r.accepts(s) != accepted {
				continue
			}
			o := p.try(ctx, s, r)
			if o.slot != nil {
				return o
			}
			if best.dial == nil {
				best.dial = o.dial
			}
			best.busy = best.busy || s.Busy()
		}
		if best.dial != nil || best.busy {
			return best
		}
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
	if s != r.late && s.Growth() == subpool.Grows {
		return offer{dial: s, busy: true}
	}
	return offer{busy: s.Busy()}
}

// evict closes one idle connection elsewhere, so that s may dial although the
// total is used up.
func (p *pool) evict(s *subpool.Sub) {
	if p.cfg.maxTotal == 0 {
		return
	}
	for _, other := range p.view.Load().subs {
		if other != s && other.Evict() {
			return
		}
	}
}

func setOf(s *subpool.Sub) *slots.Set {
	if s == nil {
		return nil
	}
	return &s.Set
}

func (p *pool) noteWait(begun time.Duration) {
	p.waits.Add(1)
	p.waited.Add(int64(p.Now() - begun))
}
