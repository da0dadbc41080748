package waitq_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/waitq"
)

// oracle is a queue as a list, beside the real one.
type oracle struct {
	t    *testing.T
	q    waitq.Queue
	sets [5]slots.Set
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
	slot    *slots.Slot
	gen     uint64
}

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
	switch next() % 10 {
	case 0, 1, 2:
		only, shun := o.restriction(next)
		w := &waiter{only: only, shun: shun, room: -1}
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
		w.settled = true
	}
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

// passOn tells others of the room that w was told of and did not look at.
func (o *oracle) passOn(w *waiter) {
	if w.look && w.room >= 0 {
		o.kickFirst(w.room)
	}
}

func (o *oracle) kickFirst(set int) {
	for _, w := range o.waiting {
		if w.accepts(set) && !w.look {
			w.kick(set)
			return
		}
	}
}

func (o *oracle) check() {
	if n := len(o.waiting); o.q.Len() != n || o.q.Attention.Load() != int64(n) {
		o.t.Errorf("length %d, attention %d, want %d", o.q.Len(), o.q.Attention.Load(), n)
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

// TestConcurrentUseLosesNothing has goroutines wait, give up and deliver at
// will: every slot that was delivered was received, once, by a waiter that
// accepts it, and none by one that had given up.
func TestConcurrentUseLosesNothing(t *testing.T) {
	var q waitq.Queue
	var sets [3]slots.Set
	owners := map[*slots.Slot]*slots.Set{}
	var mu sync.Mutex // guards owners: slots delivered and not received
	var delivered, received atomic.Int64
	var waiters, feeders sync.WaitGroup
	var over atomic.Bool
	for me := range 8 {
		waiters.Go(func() {
			r := rand.New(rand.NewPCG(uint64(me), 1))
			for range 800 {
				var only *slots.Set
				if r.IntN(2) == 0 {
					only = &sets[r.IntN(len(sets))]
				}
				w := enter(&q, only, avoid{})
				var sl *slots.Slot
				for patience := r.IntN(4); patience >= 0; patience-- {
					w.Wait(t.Context())
					if sl, _ = q.Delivered(w); sl != nil {
						w = nil
						break
					}
				}
				if w != nil {
					sl, _ = q.Leave(w)
				}
				if sl == nil {
					continue
				}
				received.Add(1)
				mu.Lock()
				from := owners[sl]
				delete(owners, sl)
				mu.Unlock()
				if from == nil || (only != nil && from != only) {
					t.Error("a slot was received twice, or by a waiter that does not accept it")
				}
			}
		})
	}
	for me := range 3 {
		feeders.Go(func() {
			r := rand.New(rand.NewPCG(uint64(me), 2))
			for !over.Load() {
				set := &sets[r.IntN(len(sets))]
				switch r.IntN(4) {
				case 0:
					q.KickAll()
				case 1:
					q.KickFirst(set)
				default:
					sl := new(slots.Slot)
					mu.Lock()
					owners[sl] = set
					mu.Unlock()
					if q.Deliver(set, sl, 0) {
						delivered.Add(1)
						continue
					}
					mu.Lock()
					delete(owners, sl)
					mu.Unlock()
				}
			}
		})
	}
	waiters.Wait()
	over.Store(true)
	feeders.Wait()
	if delivered.Load() != received.Load() || len(owners) != 0 {
		t.Errorf("%d slots delivered, %d received", delivered.Load(), received.Load())
	}
	if received.Load() == 0 {
		t.Error("nothing was received; the test shows nothing")
	}
	if q.Len() != 0 || q.Attention.Load() != 0 {
		t.Errorf("after the last waiter: length %d, attention %d", q.Len(), q.Attention.Load())
	}
}
