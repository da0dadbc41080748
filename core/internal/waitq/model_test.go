package waitq_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/waitq"
)

// oracle is a queue as a list, beside the real one.
type oracle struct {
	t    *testing.T
	q    waitq.Queue
	sets [5]slots.Set
	// dials are what waiters ask for.
	dials [3]dial
	// waiting are queued; served were delivered to and have not taken it.
	waiting, served []*waiter
}

// waiter is a waiter as the oracle sees it.
type waiter struct {
	real *waitq.Waiter
	only int   // index of a set; -1 is any
	shun []int // indices of sets
	look bool
	room int // the last set whose room it was told of; -1 is none
	// settled: it looked in vain, or came when that was known.
	settled bool
	// dial is what it asked to be dialed; late: and would rather have another;
	// left is the set of the dial that it asked for before, -1 is none.
	dial *dial
	late bool
	left int
	slot *slots.Slot
	gen  uint64
}

// dial counts the waiters that ask for it.
type dial struct {
	demand int
	set    *slots.Set
}

func (d *dial) Slots() *slots.Set { return d.set }
func (d *dial) Undemand()         { d.demand-- }

func (w *waiter) free() bool { return w.only < 0 && len(w.shun) == 0 }

func (w *waiter) kick(room int) { w.look, w.room, w.settled = true, room, false }

func (w *waiter) accepts(set int) bool {
	if w.only >= 0 {
		return w.only == set
	}
	return !slices.Contains(w.shun, set)
}

// FuzzQueueBehavesAsAList does what the bytes say to a queue and to a list of
// waiters, and compares the two after each step.
func FuzzQueueBehavesAsAList(f *testing.F) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		steps := make([]byte, 600)
		for i := range steps {
			steps[i] = byte(r.Uint32())
		}
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		o := &oracle{t: t}
		for i := range o.dials {
			o.dials[i].set = &o.sets[i]
		}
		next := func() int {
			if len(steps) == 0 {
				return 0
			}
			b := steps[0]
			steps = steps[1:]
			return int(b)
		}
		for len(steps) > 0 {
			what := o.step(next)
			if o.check(); t.Failed() {
				t.Fatalf("after %s", what)
			}
		}
		for len(o.waiting) > 0 {
			o.leave(o.waiting[0])
		}
		for len(o.served) > 0 {
			o.leave(o.served[0])
		}
		o.check()
	})
}

func (o *oracle) step(next func() int) string {
	switch next() % 13 {
	case 10:
		only, shun := o.restriction(next)
		w := &waiter{only: only, shun: shun, room: -1, left: -1}
		w.real = o.q.Return(o.set(only), o.avoid(shun))
		o.waiting = slices.Insert(o.waiting, 0, w)
		return "Return"
	case 11:
		if all := slices.Concat(o.waiting, o.served); len(all) > 0 {
			o.await(all[next()%len(all)], next)
		}
		return "Await"
	case 12:
		if len(o.waiting) > 0 {
			o.begun(o.waiting[next()%len(o.waiting)])
		}
		return "Begun"
	case 0, 1, 2:
		only, shun := o.restriction(next)
		w := &waiter{only: only, shun: shun, room: -1, left: -1}
		w.settled = slices.ContainsFunc(o.waiting, func(w *waiter) bool { return w.settled && w.free() })
		var hopeless bool
		if w.real, hopeless = o.q.Enter(o.set(only), o.avoid(shun)); hopeless != w.settled {
			o.t.Errorf("hopeless: %v, want %v", hopeless, w.settled)
		}
		o.waiting = append(o.waiting, w)
		return "Enter"
	case 3, 4:
		o.deliver(next() % len(o.sets))
		return "Deliver"
	case 5:
		if all := slices.Concat(o.waiting, o.served); len(all) > 0 {
			o.leave(all[next()%len(all)])
		}
		return "Leave"
	case 6:
		if len(o.served) > 0 {
			o.take(o.served[next()%len(o.served)])
		}
		return "Delivered"
	case 7:
		if next()%2 == 0 {
			o.q.KickAll()
			for _, w := range o.waiting {
				w.kick(w.room)
			}
			return "KickAll"
		}
		set := next() % len(o.sets)
		o.q.KickFirst(&o.sets[set])
		o.kickFirst(set)
		return "KickFirst"
	case 8:
		if len(o.waiting) > 0 {
			w := o.waiting[next()%len(o.waiting)]
			w.only, w.shun = o.restriction(next)
			w.settled = false
			o.q.Restrict(w.real, o.set(w.only), o.avoid(w.shun))
		}
		return "Restrict"
	default:
		if len(o.waiting) > 0 {
			o.look(o.waiting[next()%len(o.waiting)], next()%2 == 0)
		}
		return "a look"
	}
}

// look asks a queued waiter for news; it then finds something to dial, or not.
func (o *oracle) look(w *waiter, vain bool) {
	if n := ask(&o.q, w.real); n.kicked != w.look || n.slot != nil {
		o.t.Errorf("news of a queued waiter: %+v, want kicked: %v", n, w.look)
	}
	w.look = false
	if vain {
		o.q.Settle(w.real)
		w.settled, w.room = true, -1
	}
}

// await has a waiter ask for a dial, or for none.
func (o *oracle) await(w *waiter, next func() int) {
	var d *dial
	var asked waitq.Dial // not a nil dial as a Dial
	if k := next() % 4; k < len(o.dials) {
		d = &o.dials[k]
		asked = d
	}
	late := next()%2 == 0
	if got := o.q.Await(w.real, asked, late); got != (w.slot == nil) {
		o.t.Errorf("Await = %v for a waiter that is queued: %v", got, w.slot == nil)
	} else if got {
		if d != nil && d != w.dial {
			d.demand++ // only now the caller asks
		}
		if d != w.dial {
			w.left = o.setOf(w.dial)
		}
		w.dial, w.late = d, late
	}
}

// begun says that the dial that w waits for is under way.
func (o *oracle) begun(w *waiter) {
	o.q.Begun(w.real)
	if w.dial == nil {
		return
	}
	room, left := w.room, w.left
	w.room, w.left = -1, -1
	if room != o.setOf(w.dial) {
		o.kickFirst(room)
	}
	if left != room {
		o.kickFirst(left)
	}
}

func (o *oracle) setOf(d *dial) int {
	return slices.IndexFunc(o.dials[:], func(x dial) bool { return d != nil && x.set == d.set })
}

func (o *oracle) deliver(set int) {
	sl, gen := new(slots.Slot), uint64(len(o.waiting))
	k := slices.IndexFunc(o.waiting, func(w *waiter) bool { return w.accepts(set) })
	if got := o.q.Deliver(&o.sets[set], sl, gen); got != (k >= 0) {
		o.t.Errorf("Deliver = %v, waiter %d accepts", got, k)
	}
	if k < 0 {
		return
	}
	w := o.waiting[k]
	o.waiting = slices.Delete(o.waiting, k, k+1)
	o.served = append(o.served, w)
	w.slot, w.gen = sl, gen
	o.passOn(w)
}

func (o *oracle) take(w *waiter) {
	o.served = slices.DeleteFunc(o.served, func(x *waiter) bool { return x == w })
	if n := ask(&o.q, w.real); n.slot != w.slot || n.gen != w.gen {
		o.t.Errorf("delivered %p at %d, received %p at %d", w.slot, w.gen, n.slot, n.gen)
	}
}

func (o *oracle) leave(w *waiter) {
	o.waiting = slices.DeleteFunc(o.waiting, func(x *waiter) bool { return x == w })
	o.served = slices.DeleteFunc(o.served, func(x *waiter) bool { return x == w })
	if sl, gen := o.q.Leave(w.real); sl != w.slot || gen != w.gen {
		o.t.Errorf("left with %p at %d, want %p at %d", sl, gen, w.slot, w.gen)
	}
	if w.slot == nil {
		o.passOn(w)
	}
}

// passOn tells others of the room that w was told of and did not use, and of
// the dials that it waits for no more.
func (o *oracle) passOn(w *waiter) {
	asked := o.setOf(w.dial)
	w.dial = nil
	o.kickFirst(w.room)
	if w.left != w.room {
		o.kickFirst(w.left)
	}
	if asked != w.room && asked != w.left {
		o.kickFirst(asked)
	}
}

func (o *oracle) kickFirst(set int) {
	if set < 0 {
		return
	}
	for _, w := range o.waiting {
		if w.accepts(set) && !w.look && (w.dial == nil || w.late && o.setOf(w.dial) != set) {
			w.kick(set)
			return
		}
	}
}

func (o *oracle) check() {
	if n := len(o.waiting); o.q.Len() != n || o.q.Attention.Load() != int64(n) {
		o.t.Errorf("length %d, attention %d, want %d", o.q.Len(), o.q.Attention.Load(), n)
	}
	for i := range o.dials {
		demand := 0
		for _, w := range o.waiting {
			if w.dial == &o.dials[i] {
				demand++
			}
		}
		if o.dials[i].demand != demand {
			o.t.Errorf("dial %d is asked for by %d, want %d", i, o.dials[i].demand, demand)
		}
	}
	for i := range o.sets {
		wanted := slices.ContainsFunc(o.waiting, func(w *waiter) bool { return w.accepts(i) })
		if o.q.Wants(&o.sets[i]) != wanted {
			o.t.Errorf("wants set %d: %v, want %v", i, o.q.Wants(&o.sets[i]), wanted)
		}
	}
}

// restriction draws what a waiter accepts.
func (o *oracle) restriction(next func() int) (only int, shun []int) {
	switch next() % 3 {
	case 0:
		return next() % len(o.sets), nil
	case 1:
		for i := range o.sets {
			if next()%2 == 0 && len(shun) < waitq.MaxAvoid {
				shun = append(shun, i)
			}
		}
	}
	return -1, shun
}

func (o *oracle) set(i int) *slots.Set {
	if i < 0 {
		return nil
	}
	return &o.sets[i]
}

func (o *oracle) avoid(shun []int) (a avoid) {
	for k, i := range shun {
		a[k] = &o.sets[i]
	}
	return a
}
