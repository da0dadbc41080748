package core

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// excludes are the endpoints that a waiter excludes.
type excludes = [maxExcluded]*subpool

// wakeup is what a waiter finds when it looks without waiting.
type wakeup struct {
	woken bool // to look around, without a slot
	slot  *slots.Slot
	gen   uint64
}

// poll returns the wake-up of w, if there is one. A waiter that was delivered to
// must not be used afterwards.
func poll(q *waitQueue, w *waiter) wakeup {
	over, end := context.WithCancel(context.Background())
	end()
	if w.wait(over) != signaled {
		return wakeup{}
	}
	sl, gen := q.delivered(w)
	return wakeup{woken: sl == nil, slot: sl, gen: gen}
}

func enter(q *waitQueue, only *subpool, exclude excludes) *waiter {
	w, _ := q.enter(only, exclude)
	return w
}

// expect fails the test unless want was delivered to w at generation 7.
func expect(t *testing.T, q *waitQueue, w *waiter, want *slots.Slot) {
	t.Helper()
	if n := poll(q, w); n.slot != want || n.gen != 7 {
		t.Errorf("delivered %p at generation %d, want %p at 7", n.slot, n.gen, want)
	}
}

func TestFirstWaiterIsServedFirst(t *testing.T) {
	var q waitQueue
	var s subpool
	var ws []*waiter
	for range 5 {
		ws = append(ws, enter(&q, nil, excludes{}))
	}
	if sl, _ := q.leave(ws[1]); sl != nil {
		t.Error("one that left was delivered to")
	}
	for _, k := range []int{0, 2, 3, 4} {
		sl := new(slots.Slot)
		if !q.deliver(&s, sl, 7) {
			t.Fatalf("nobody took the slot for waiter %d", k)
		}
		expect(t, &q, ws[k], sl)
	}
	if q.deliver(&s, new(slots.Slot), 7) {
		t.Error("a slot was delivered to an empty queue")
	}
}

func TestWaiterIsServedOnlyByEndpointsThatItAccepts(t *testing.T) {
	var q waitQueue
	var a, b, c subpool
	onlyA := enter(&q, &a, excludes{})
	notAB := enter(&q, nil, excludes{&a, &b})
	anything := enter(&q, nil, excludes{})
	for _, step := range []struct {
		set *subpool
		to  *waiter
	}{{&b, anything}, {&c, notAB}, {&a, onlyA}} {
		if !q.wants(step.set) {
			t.Error("the queue wants no slot that a waiter accepts")
		}
		sl := new(slots.Slot)
		if !q.deliver(step.set, sl, 7) {
			t.Error("nobody took a slot that a waiter accepts")
		}
		expect(t, &q, step.to, sl)
		if step.set == &b && (q.wants(&b) || q.deliver(&b, new(slots.Slot), 7)) {
			t.Error("a slot of b was delivered although no waiter accepts it")
		}
	}
}

func TestRestrictChangesWhatAWaiterAcceptsAndNotItsTurn(t *testing.T) {
	var q waitQueue
	var a, b subpool
	first, second := enter(&q, &a, excludes{}), enter(&q, nil, excludes{})
	q.restrict(first, nil, excludes{&a})
	q.restrict(second, &b, excludes{})
	if q.wants(&a) || !q.wants(&b) {
		t.Error("the queue still goes by what the waiters accepted before")
	}
	q.restrict(second, nil, excludes{})
	sl := new(slots.Slot)
	q.deliver(&b, sl, 7)
	expect(t, &q, first, sl)
	q.leave(second)
	if q.awaited.Load() != 0 {
		t.Error("an empty queue counts as awaited")
	}
}

func TestRestrictAfterADeliveryChangesNothing(t *testing.T) {
	var q waitQueue
	var a, b subpool
	w, sl := enter(&q, nil, excludes{}), new(slots.Slot)
	q.deliver(&a, sl, 7)
	q.restrict(w, &b, excludes{})
	expect(t, &q, w, sl)
	if _, futile := q.enter(nil, excludes{}); futile {
		t.Error("a look is futile although nobody waits")
	}
}

func TestWaiterThatLeavesReturnsWhatWasDeliveredToIt(t *testing.T) {
	var q waitQueue
	var s subpool
	w, sl := enter(&q, nil, excludes{}), new(slots.Slot)
	q.deliver(&s, sl, 7)
	if got, gen := q.leave(w); got != sl || gen != 7 {
		t.Errorf("left with %p at generation %d, want %p at 7", got, gen, sl)
	}
	if n := q.awaited.Load(); n != 0 {
		t.Errorf("awaited %d in an empty queue", n)
	}
}

func TestAwaitedWhileThereAreWaiters(t *testing.T) {
	var q waitQueue
	var s subpool
	check := func(want int) {
		t.Helper()
		if n := q.awaited.Load(); n != int64(min(want, 1)) || q.len() != want {
			t.Errorf("awaited %d, length %d, want %d", n, q.len(), want)
		}
	}
	check(0)
	a, b := enter(&q, nil, excludes{}), enter(&q, &s, excludes{})
	check(2)
	q.wakeAll()
	check(2)
	q.deliver(&s, new(slots.Slot), 7)
	check(1)
	q.leave(b)
	check(0)
	q.leave(a)
	check(0)
}

func TestWakeAllMakesEveryWaiterLookOnce(t *testing.T) {
	var q waitQueue
	var a subpool
	ws := []*waiter{enter(&q, nil, excludes{}), enter(&q, &a, excludes{}), enter(&q, nil, excludes{&a})}
	q.wakeAll()
	q.wakeAll()
	for k, w := range ws {
		if !poll(&q, w).woken {
			t.Errorf("waiter %d is not woken", k)
		}
		if poll(&q, w).woken {
			t.Errorf("waiter %d is woken twice", k)
		}
	}
}

func TestDeliveryComesBeforeAWakeUpThatWasNotSeen(t *testing.T) {
	var q waitQueue
	var s subpool
	w, sl := enter(&q, nil, excludes{}), new(slots.Slot)
	q.wakeAll()
	q.deliver(&s, sl, 7)
	expect(t, &q, w, sl)
}

func TestRoomWakesTheFirstThatAcceptsIt(t *testing.T) {
	var q waitQueue
	var a, b subpool
	other, first, second := enter(&q, &b, excludes{}), enter(&q, &a, excludes{}), enter(&q, nil, excludes{})
	q.wakeFirst(&a)
	if poll(&q, other).woken || !poll(&q, first).woken || poll(&q, second).woken {
		t.Error("room woke another waiter than the first that accepts it")
	}
}

func TestRoomForTwoWakesTwo(t *testing.T) {
	var q waitQueue
	var a, b subpool
	first, second := enter(&q, nil, excludes{}), enter(&q, nil, excludes{})
	q.wakeFirst(&a)
	q.wakeFirst(&b)
	if !poll(&q, first).woken || !poll(&q, second).woken {
		t.Error("two rooms became one: the second waiter sleeps beside it")
	}
}

func TestRoomForTwoWakesTwoThoughTheFirstIsLooking(t *testing.T) {
	for _, same := range []bool{true, false} {
		var q waitQueue
		var a, b subpool
		first, second, third := enter(&q, nil, excludes{}), enter(&q, nil, excludes{}), enter(&q, nil, excludes{})
		q.wakeFirst(&a)
		poll(&q, first) // it begins to look
		dial := &b
		if same {
			dial = &a
		}
		q.wakeFirst(dial)
		q.await(first, dial, false) // what it found
		q.begun(first)
		if !poll(&q, second).woken || poll(&q, third).woken {
			t.Errorf("same endpoint %v: not the second waiter was woken, and it alone", same)
		}
	}
}

// A lost wake-up looks like this: the waiter that was woken is gone before it
// looked, and the next sleeps on.
func TestRoomIsNotForgottenWithTheWaiterThatItWoke(t *testing.T) {
	for _, c := range []struct {
		name string
		gone func(q *waitQueue, w *waiter)
	}{
		{"it gave up", func(q *waitQueue, w *waiter) { q.leave(w) }},
		{"it was served", func(q *waitQueue, _ *waiter) { q.deliver(new(subpool), new(slots.Slot), 7) }},
		{"it looked, and gave up", func(q *waitQueue, w *waiter) {
			poll(q, w)
			q.leave(w)
		}},
		{"it waits for a dial elsewhere", func(q *waitQueue, w *waiter) {
			poll(q, w)
			q.await(w, new(subpool), false)
			q.begun(w)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitQueue
			var a, b subpool
			woken, other, next := enter(&q, nil, excludes{}), enter(&q, &b, excludes{}), enter(&q, &a, excludes{})
			q.wakeFirst(&a)
			c.gone(&q, woken)
			if poll(&q, other).woken {
				t.Error("a waiter is woken that does not accept the room")
			}
			if !poll(&q, next).woken {
				t.Error("the next is not woken")
			}
		})
	}
}

func TestRoomThatIsGoneWakesNobodyElse(t *testing.T) {
	var q waitQueue
	var a subpool
	first, next := enter(&q, nil, excludes{}), enter(&q, nil, excludes{})
	q.wakeFirst(&a)
	poll(&q, first)
	q.settle(first) // it looked in vain
	q.leave(first)
	if poll(&q, next).woken {
		t.Error("the next is woken")
	}
}

func TestDialThatIsNoLongerNeededWakesTheNext(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(q *waitQueue, w *waiter)
		wake bool
	}{
		{"its caller waits on", func(q *waitQueue, w *waiter) { q.begun(w) }, false},
		{"its caller gave up", func(q *waitQueue, w *waiter) { q.leave(w) }, true},
		{"its caller waits for another", func(q *waitQueue, w *waiter) {
			q.await(w, new(subpool), false)
			q.begun(w)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitQueue
			var a subpool
			w, next := enter(&q, nil, excludes{}), enter(&q, nil, excludes{})
			q.await(w, &a, false)
			q.begun(w)
			c.do(&q, w)
			if got := poll(&q, next).woken; got != c.wake {
				t.Errorf("the next is woken: %v, want %v", got, c.wake)
			}
		})
	}
}

func TestLookIsFutileWhileAWaiterForAnyEndpointHasLookedInVain(t *testing.T) {
	var a subpool
	for _, c := range []struct {
		name string
		do   func(q *waitQueue, w *waiter)
		want bool
	}{
		{"it looked in vain", func(*waitQueue, *waiter) {}, true},
		{"another came for one endpoint only", func(q *waitQueue, _ *waiter) { enter(q, &a, excludes{}) }, true},
		{"it was woken", func(q *waitQueue, _ *waiter) { q.wakeAll() }, false},
		{"there is room for a dial", func(q *waitQueue, _ *waiter) { q.wakeFirst(&a) }, false},
		{"it accepts other endpoints now", func(q *waitQueue, w *waiter) { q.restrict(w, nil, excludes{}) }, false},
		{"it was served", func(q *waitQueue, _ *waiter) { q.deliver(&a, new(slots.Slot), 7) }, false},
		{"it gave up", func(q *waitQueue, w *waiter) { q.leave(w) }, false},
		{"it gave up, and one whose look was futile is left", func(q *waitQueue, w *waiter) {
			enter(q, nil, excludes{})
			q.leave(w)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitQueue
			w, futile := q.enter(nil, excludes{})
			if futile {
				t.Fatal("the look of the first waiter is futile")
			}
			q.settle(w)
			c.do(&q, w)
			if _, futile := q.enter(nil, excludes{}); futile != c.want {
				t.Errorf("futile: %v, want %v", futile, c.want)
			}
		})
	}
	t.Run("it waits for one endpoint only", func(t *testing.T) {
		var q waitQueue
		q.settle(enter(&q, &a, excludes{}))
		if _, futile := q.enter(nil, excludes{}); futile {
			t.Error("a look is futile although nobody has looked at other endpoints")
		}
	})
	t.Run("it was woken while it looked", func(t *testing.T) {
		var q waitQueue
		w := enter(&q, nil, excludes{})
		q.wakeAll()
		q.settle(w)
		if _, futile := q.enter(nil, excludes{}); futile {
			t.Error("a look is futile although something changed since the last one began")
		}
	})
}

func TestWaiterThatReentersComesBeforeAllOthers(t *testing.T) {
	var q waitQueue
	var s subpool
	w := q.reenter(nil, excludes{}) // to an empty queue
	second := enter(&q, nil, excludes{})
	first := q.reenter(nil, excludes{})
	if q.awaited.Load() != 1 || q.len() != 3 {
		t.Errorf("awaited %d, length %d, want 3", q.awaited.Load(), q.len())
	}
	for _, w := range []*waiter{first, w, second} {
		sl := new(slots.Slot)
		q.deliver(&s, sl, 7)
		expect(t, &q, w, sl)
	}
}

func TestDemandIsTakenBackOnceWhenItsWaiterNoLongerNeedsIt(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(q *waitQueue, w *waiter)
		want int64
	}{
		{"it waits on", func(q *waitQueue, _ *waiter) { q.wakeAll() }, 1},
		{"it asks for none", func(q *waitQueue, w *waiter) { q.await(w, nil, true) }, 0},
		{"it asks elsewhere", func(q *waitQueue, w *waiter) { q.await(w, new(subpool), false) }, 0},
		{"it gave up", func(q *waitQueue, w *waiter) { q.leave(w) }, 0},
		{"it was served", func(q *waitQueue, w *waiter) {
			q.deliver(new(subpool), new(slots.Slot), 7)
			if q.await(w, new(subpool), false) {
				t.Error("a waiter that was served may ask for a dial")
			}
			q.leave(w)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitQueue
			w, d := enter(&q, nil, excludes{}), new(subpool)
			if !q.await(w, d, false) || !q.await(w, d, true) {
				t.Error("a waiter may not ask for a dial")
			}
			c.do(&q, w)
			if d.demand.Load() != c.want {
				t.Errorf("the dial is demanded by %d, want %d", d.demand.Load(), c.want)
			}
		})
	}
}

// TestCallThatIsServedBeforeItsDialBeginsTakesNoDemandFromTheNext: else no dial
// begins for the next, and it waits beside room to dial.
func TestCallThatIsServedBeforeItsDialBeginsTakesNoDemandFromTheNext(t *testing.T) {
	var q waitQueue
	var s subpool
	first := enter(&q, nil, excludes{})
	if !q.await(first, &s, false) || !q.deliver(&s, new(slots.Slot), 7) {
		t.Fatal("the first call was not served")
	}
	second := enter(&q, nil, excludes{})
	if !q.await(second, &s, false) {
		t.Fatal("the second call may not ask for a dial")
	}
	if n := s.demand.Load(); n != 1 {
		t.Errorf("the dial is demanded by %d, want 1", n)
	}
	q.leave(first)
	q.leave(second)
	if n := s.demand.Load(); n != 0 {
		t.Errorf("the dial is demanded by %d in the end, want 0", n)
	}
}

func TestRoomWakesNoWaiterThatHasADialUnderWay(t *testing.T) {
	var q waitQueue
	var a subpool
	dialing, late := enter(&q, nil, excludes{}), enter(&q, nil, excludes{})
	here, next := enter(&q, nil, excludes{}), enter(&q, nil, excludes{})
	q.await(dialing, new(subpool), false)
	q.await(late, new(subpool), true)
	q.await(here, &a, true) // a second dial there would be of no use to it
	q.wakeFirst(&a)
	q.wakeFirst(&a)
	if poll(&q, dialing).woken || poll(&q, here).woken || !poll(&q, late).woken || !poll(&q, next).woken {
		t.Error("room woke a waiter that needs none, or not one that does")
	}
}

func TestRecycledWaiterIsAsGoodAsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q waitQueue
		var a, b subpool
		for range 100 {
			w := enter(&q, &a, excludes{&b})
			w.arm(time.Millisecond)
			q.await(w, new(subpool), false)
			q.wakeFirst(&a)
			q.deliver(&a, new(slots.Slot), 7)
			if sl, _ := q.leave(w); sl == nil {
				t.Fatal("the delivery was lost")
			}
			w, futile := q.enter(nil, excludes{})
			if futile {
				t.Fatal("a new waiter is as settled as an old one")
			}
			if !q.wants(&b) {
				t.Fatal("a new waiter excludes what an old one did")
			}
			if q.wakeFirst(&b); !poll(&q, w).woken {
				t.Fatal("a new waiter has an old one's dial")
			}
			// Nor has it an old one's timer, wake-up, room or slot.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if why := w.wait(ctx); why != contextDone {
				t.Fatalf("a new waiter is woken: %d", why)
			}
			cancel()
			if sl, gen := q.leave(w); sl != nil || gen != 0 {
				t.Fatal("a new waiter has an old one's slot")
			}
		}
	})
}

func TestWaitEndsWithWhateverComesFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin func(q *waitQueue, w *waiter)
		want  wakeReason
		after time.Duration
	}{
		{"a wake-up before", func(q *waitQueue, _ *waiter) { q.wakeAll() }, signaled, 0},
		{"a delivery before", func(q *waitQueue, _ *waiter) { q.deliver(new(subpool), new(slots.Slot), 7) }, signaled, 0},
		{"a wake-up", func(q *waitQueue, _ *waiter) { time.AfterFunc(time.Second, q.wakeAll) }, signaled, time.Second},
		{"a delivery", func(q *waitQueue, _ *waiter) {
			time.AfterFunc(time.Second, func() { q.deliver(new(subpool), new(slots.Slot), 7) })
		}, signaled, time.Second},
		{"a delivery to an armed one", func(q *waitQueue, w *waiter) {
			w.arm(time.Minute)
			time.AfterFunc(time.Second, func() { q.deliver(new(subpool), new(slots.Slot), 7) })
		}, signaled, time.Second},
		{"the timer", func(_ *waitQueue, w *waiter) { w.arm(time.Second) }, timedOut, time.Second},
		{"the last timer counts", func(_ *waitQueue, w *waiter) {
			w.arm(time.Second)
			w.arm(time.Minute)
		}, timedOut, time.Minute},
		{"the end of the context", func(*waitQueue, *waiter) {}, contextDone, time.Hour},
		{"a timer that was disarmed", func(_ *waitQueue, w *waiter) {
			w.arm(time.Second)
			w.disarm()
		}, contextDone, time.Hour},
		{"a timer that fired unseen and was disarmed", func(_ *waitQueue, w *waiter) {
			w.arm(time.Nanosecond)
			time.Sleep(time.Microsecond)
			w.disarm()
			w.arm(2 * time.Hour)
		}, contextDone, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var q waitQueue
				w := enter(&q, nil, excludes{})
				c.begin(&q, w)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begun := time.Now()
				if why := w.wait(ctx); why != c.want || time.Since(begun) != c.after {
					t.Errorf("ended with %d after %v, want %d after %v", why, time.Since(begun), c.want, c.after)
				}
				if c.want == timedOut && w.wait(ctx) != contextDone {
					t.Error("the timer woke the waiter twice")
				}
				q.leave(w)
			})
		})
	}
}

// This fails by a panic of the runtime: a channel made in one bubble must not be
// used in another.
func TestQueuesOfDifferentBubblesShareNothing(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var q waitQueue
			q.leave(enter(&q, nil, excludes{}))
			w := enter(&q, nil, excludes{})
			time.AfterFunc(time.Second, q.wakeAll)
			w.wait(t.Context())
			q.leave(w)
		})
	}
}

func TestEjectedEndpointServesOnlyWaitersThatNameIt(t *testing.T) {
	var q waitQueue
	var a subpool
	a.SetEjected(true)
	free := enter(&q, nil, excludes{})
	if q.wants(&a) || q.deliver(&a, new(slots.Slot), 7) {
		t.Error("a waiter for any endpoint was served")
	}
	if q.wakeFirst(&a); poll(&q, free).woken {
		t.Error("a waiter for any endpoint was woken for room")
	}
	named := enter(&q, &a, excludes{})
	if sl := new(slots.Slot); q.deliver(&a, sl, 7) {
		expect(t, &q, named, sl)
	} else {
		t.Error("a waiter that names it was not served")
	}
	a.SetEjected(false)
	if sl := new(slots.Slot); q.deliver(&a, sl, 7) {
		expect(t, &q, free, sl)
	} else {
		t.Error("a waiter for any endpoint was not served after the readmission")
	}
}
