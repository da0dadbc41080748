package core

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// queueModel is a queue as a list, beside the real one.
type queueModel struct {
	t    *testing.T
	q    waitQueue
	subs [5]subpool
	// waiting are queued; served were delivered to and have not taken it.
	waiting, served []*modelWaiter
}

// dialable is how many of the endpoints waiters ask to be dialed.
const dialable = 3

// modelWaiter is a waiter as the model sees it. Endpoints are indices; -1 is none.
type modelWaiter struct {
	real    *waiter
	only    int // -1 is any
	exclude []int
	woken   bool
	room    int // the last endpoint whose room it was woken for
	// settled: it looked in vain, or entered when that was known.
	settled bool
	// dial is where it asked for a dial; late: and would rather have another;
	// left is where it asked for one before.
	dial int
	late bool
	left int
	slot *slots.Slot
	gen  uint64
}

func newModelWaiter(only int, exclude []int) *modelWaiter {
	return &modelWaiter{only: only, exclude: exclude, room: -1, dial: -1, left: -1}
}

// simple reports whether w accepts every endpoint.
func (w *modelWaiter) simple() bool { return w.only < 0 && len(w.exclude) == 0 }

func (w *modelWaiter) wake(room int) { w.woken, w.room, w.settled = true, room, false }

func (w *modelWaiter) accepts(sub int) bool {
	if w.only >= 0 {
		return w.only == sub
	}
	return !slices.Contains(w.exclude, sub)
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
		m := &queueModel{t: t}
		next := func() int {
			if len(steps) == 0 {
				return 0
			}
			b := steps[0]
			steps = steps[1:]
			return int(b)
		}
		for len(steps) > 0 {
			what := m.step(next)
			if m.check(); t.Failed() {
				t.Fatalf("after %s", what)
			}
		}
		for len(m.waiting) > 0 {
			m.leave(m.waiting[0])
		}
		for len(m.served) > 0 {
			m.leave(m.served[0])
		}
		m.check()
	})
}

func (m *queueModel) step(next func() int) string {
	switch next() % 13 {
	case 10:
		w := newModelWaiter(m.restriction(next))
		w.real = m.q.reenter(m.sub(w.only), m.excludes(w.exclude))
		m.waiting = slices.Insert(m.waiting, 0, w)
		return "reenter"
	case 11:
		if all := slices.Concat(m.waiting, m.served); len(all) > 0 {
			m.await(all[next()%len(all)], next)
		}
		return "await"
	case 12:
		if len(m.waiting) > 0 {
			m.begun(m.waiting[next()%len(m.waiting)])
		}
		return "begun"
	case 0, 1, 2:
		w := newModelWaiter(m.restriction(next))
		w.settled = slices.ContainsFunc(m.waiting, func(w *modelWaiter) bool { return w.settled && w.simple() })
		var futile bool
		if w.real, futile = m.q.enter(m.sub(w.only), m.excludes(w.exclude)); futile != w.settled {
			m.t.Errorf("futile: %v, want %v", futile, w.settled)
		}
		m.waiting = append(m.waiting, w)
		return "enter"
	case 3, 4:
		m.deliver(next() % len(m.subs))
		return "deliver"
	case 5:
		if all := slices.Concat(m.waiting, m.served); len(all) > 0 {
			m.leave(all[next()%len(all)])
		}
		return "leave"
	case 6:
		if len(m.served) > 0 {
			m.take(m.served[next()%len(m.served)])
		}
		return "delivered"
	case 7:
		if next()%2 == 0 {
			m.q.wakeAll()
			for _, w := range m.waiting {
				w.wake(w.room)
			}
			return "wakeAll"
		}
		sub := next() % len(m.subs)
		m.q.wakeFirst(&m.subs[sub])
		m.wakeFirst(sub)
		return "wakeFirst"
	case 8:
		if len(m.waiting) > 0 {
			w := m.waiting[next()%len(m.waiting)]
			w.only, w.exclude = m.restriction(next)
			w.settled = false
			m.q.restrict(w.real, m.sub(w.only), m.excludes(w.exclude))
		}
		return "restrict"
	default:
		if len(m.waiting) > 0 {
			m.look(m.waiting[next()%len(m.waiting)], next()%2 == 0)
		}
		return "a look"
	}
}

// look polls a queued waiter, which then looks around, in vain or not.
func (m *queueModel) look(w *modelWaiter, vain bool) {
	if n := poll(&m.q, w.real); n.woken != w.woken || n.slot != nil {
		m.t.Errorf("wake-up of a queued waiter: %+v, want woken: %v", n, w.woken)
	}
	w.woken = false
	if vain {
		m.q.settle(w.real)
		w.settled, w.room = true, -1
	}
}

// await has a waiter ask for a dial, or for none.
func (m *queueModel) await(w *modelWaiter, next func() int) {
	dial := next() % (dialable + 1)
	if dial == dialable {
		dial = -1
	}
	late := next()%2 == 0
	if got := m.q.await(w.real, m.sub(dial), late); got != (w.slot == nil) {
		m.t.Errorf("await = %v for a waiter that is queued: %v", got, w.slot == nil)
	} else if got {
		if dial != w.dial {
			w.left = w.dial
		}
		w.dial, w.late = dial, late
	}
}

// begun notes that the dial that w waits for is under way.
func (m *queueModel) begun(w *modelWaiter) {
	m.q.begun(w.real)
	if w.dial < 0 {
		return
	}
	room, left := w.room, w.left
	w.room, w.left = -1, -1
	if room != w.dial {
		m.wakeFirst(room)
	}
	if left != room {
		m.wakeFirst(left)
	}
}

func (m *queueModel) deliver(sub int) {
	sl, gen := new(slots.Slot), uint64(len(m.waiting))
	k := slices.IndexFunc(m.waiting, func(w *modelWaiter) bool { return w.accepts(sub) })
	if got := m.q.deliver(&m.subs[sub], sl, gen); got != (k >= 0) {
		m.t.Errorf("deliver = %v, waiter %d accepts", got, k)
	}
	if k < 0 {
		return
	}
	w := m.waiting[k]
	m.waiting = slices.Delete(m.waiting, k, k+1)
	m.served = append(m.served, w)
	w.slot, w.gen = sl, gen
	m.passOn(w)
}

// take has a waiter take what was delivered to it.
func (m *queueModel) take(w *modelWaiter) {
	m.served = slices.DeleteFunc(m.served, func(x *modelWaiter) bool { return x == w })
	if n := poll(&m.q, w.real); n.slot != w.slot || n.gen != w.gen {
		m.t.Errorf("delivered %p at %d, received %p at %d", w.slot, w.gen, n.slot, n.gen)
	}
}

func (m *queueModel) leave(w *modelWaiter) {
	m.waiting = slices.DeleteFunc(m.waiting, func(x *modelWaiter) bool { return x == w })
	m.served = slices.DeleteFunc(m.served, func(x *modelWaiter) bool { return x == w })
	if sl, gen := m.q.leave(w.real); sl != w.slot || gen != w.gen {
		m.t.Errorf("left with %p at %d, want %p at %d", sl, gen, w.slot, w.gen)
	}
	if w.slot == nil {
		m.passOn(w)
	}
}

// passOn wakes others for the room that w was woken for and did not use, and for
// the dials that it no longer waits for.
func (m *queueModel) passOn(w *modelWaiter) {
	dial := w.dial
	w.dial = -1
	m.wakeFirst(w.room)
	if w.left != w.room {
		m.wakeFirst(w.left)
	}
	if dial != w.room && dial != w.left {
		m.wakeFirst(dial)
	}
}

func (m *queueModel) wakeFirst(sub int) {
	if sub < 0 {
		return
	}
	for _, w := range m.waiting {
		if w.accepts(sub) && !w.woken && (w.dial < 0 || w.late && w.dial != sub) {
			old := w.room
			w.wake(sub)
			m.wakeFirst(old)
			return
		}
	}
}

// check compares everything that can be seen.
func (m *queueModel) check() {
	if n := len(m.waiting); m.q.len() != n || m.q.awaited.Load() != int64(min(n, 1)) {
		m.t.Errorf("length %d, awaited %d, want %d", m.q.len(), m.q.awaited.Load(), n)
	}
	named := map[int]bool{}
	for _, w := range m.waiting {
		if w.only >= 0 {
			named[w.only] = true
		}
	}
	if len(m.q.named) != len(named) { // an endpoint that has left must be forgotten
		m.t.Errorf("the queue knows %d endpoints by name, want %d", len(m.q.named), len(named))
	}
	for i := range m.subs {
		demand := int64(0)
		for _, w := range m.waiting {
			if w.dial == i {
				demand++
			}
		}
		if got := m.subs[i].demand.Load(); got != demand {
			m.t.Errorf("endpoint %d is asked for by %d, want %d", i, got, demand)
		}
		wanted := slices.ContainsFunc(m.waiting, func(w *modelWaiter) bool { return w.accepts(i) })
		if m.q.wants(&m.subs[i]) != wanted {
			m.t.Errorf("wants endpoint %d: %v, want %v", i, m.q.wants(&m.subs[i]), wanted)
		}
	}
}

// restriction draws what a waiter accepts.
func (m *queueModel) restriction(next func() int) (only int, exclude []int) {
	switch next() % 3 {
	case 0:
		return next() % len(m.subs), nil
	case 1:
		for i := range m.subs {
			if next()%2 == 0 && len(exclude) < maxExcluded {
				exclude = append(exclude, i)
			}
		}
	}
	return -1, exclude
}

// sub returns endpoint i, nil for none.
func (m *queueModel) sub(i int) *subpool {
	if i < 0 {
		return nil
	}
	return &m.subs[i]
}

func (m *queueModel) excludes(all []int) (e excludes) {
	for k, i := range all {
		e[k] = &m.subs[i]
	}
	return e
}
