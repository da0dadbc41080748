package waitq_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/waitq"
)

type avoid = [waitq.MaxAvoid]*slots.Set

// news is what a waiter finds when it asks without waiting.
type news struct {
	kicked bool
	slot   *slots.Slot
	gen    uint64
}

// ask returns the news of w, which is used up if that is a slot.
func ask(q *waitq.Queue, w *waitq.Waiter) news {
	over, end := context.WithCancel(context.Background())
	end()
	if w.Wait(over) != waitq.Signalled {
		return news{}
	}
	sl, gen := q.Delivered(w)
	return news{kicked: sl == nil, slot: sl, gen: gen}
}

func enter(q *waitq.Queue, only *slots.Set, not avoid) *waitq.Waiter {
	w, _ := q.Enter(only, not)
	return w
}

func expect(t *testing.T, q *waitq.Queue, w *waitq.Waiter, want *slots.Slot) {
	t.Helper()
	if n := ask(q, w); n.slot != want || n.gen != 7 {
		t.Errorf("delivered %p at generation %d, want %p at 7", n.slot, n.gen, want)
	}
}

func TestFirstInIsFirstOut(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	var ws []*waitq.Waiter
	for range 5 {
		ws = append(ws, enter(&q, nil, avoid{}))
	}
	if sl, _ := q.Leave(ws[1]); sl != nil {
		t.Error("one that left was delivered to")
	}
	for _, k := range []int{0, 2, 3, 4} {
		sl := new(slots.Slot)
		if !q.Deliver(&s, sl, 7) {
			t.Fatalf("nobody took the slot for waiter %d", k)
		}
		expect(t, &q, ws[k], sl)
	}
	if q.Deliver(&s, new(slots.Slot), 7) {
		t.Error("a slot was delivered to an empty queue")
	}
}

func TestRestrictedWaiterTakesNoOtherEndpoint(t *testing.T) {
	var q waitq.Queue
	var a, b, c slots.Set
	onlyA := enter(&q, &a, avoid{})
	notAB := enter(&q, nil, avoid{&a, &b})
	anything := enter(&q, nil, avoid{})
	for _, step := range []struct {
		set *slots.Set
		to  *waitq.Waiter
	}{{&b, anything}, {&c, notAB}, {&a, onlyA}} {
		if !q.Wants(step.set) {
			t.Error("the queue does not want what a waiter accepts")
		}
		sl := new(slots.Slot)
		if !q.Deliver(step.set, sl, 7) {
			t.Error("nobody took a slot that a waiter accepts")
		}
		expect(t, &q, step.to, sl)
		if step.set == &b && (q.Wants(&b) || q.Deliver(&b, new(slots.Slot), 7)) {
			t.Error("a slot of b was delivered although no waiter accepts it")
		}
	}
}

func TestRestrictChangesWhatAWaiterAcceptsAndNotItsPlace(t *testing.T) {
	var q waitq.Queue
	var a, b slots.Set
	first, second := enter(&q, &a, avoid{}), enter(&q, nil, avoid{})
	q.Restrict(first, nil, avoid{&a})
	q.Restrict(second, &b, avoid{})
	if q.Wants(&a) || !q.Wants(&b) {
		t.Error("the queue goes by the old restrictions")
	}
	q.Restrict(second, nil, avoid{})
	sl := new(slots.Slot)
	q.Deliver(&b, sl, 7)
	expect(t, &q, first, sl)
	q.Leave(second)
	if q.Attention.Load() != 0 {
		t.Error("an empty queue calls for attention")
	}
}

func TestRestrictAfterADeliveryChangesNothing(t *testing.T) {
	var q waitq.Queue
	var a, b slots.Set
	w, sl := enter(&q, nil, avoid{}), new(slots.Slot)
	q.Deliver(&a, sl, 7)
	q.Restrict(w, &b, avoid{})
	expect(t, &q, w, sl)
	if _, hopeless := q.Enter(nil, avoid{}); hopeless {
		t.Error("an empty queue is hopeless")
	}
}

func TestWaiterThatLeavesReturnsWhatWasDeliveredToIt(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	w, sl := enter(&q, nil, avoid{}), new(slots.Slot)
	q.Deliver(&s, sl, 7)
	if got, gen := q.Leave(w); got != sl || gen != 7 {
		t.Errorf("left with %p at generation %d, want %p at 7", got, gen, sl)
	}
	if n := q.Attention.Load(); n != 0 {
		t.Errorf("attention %d in an empty queue", n)
	}
}

func TestAttentionCountsTheWaiters(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	check := func(want int) {
		t.Helper()
		if n := q.Attention.Load(); n != int64(want) || q.Len() != want {
			t.Errorf("attention %d, length %d, want %d", n, q.Len(), want)
		}
	}
	check(0)
	a, b := enter(&q, nil, avoid{}), enter(&q, &s, avoid{})
	check(2)
	q.KickAll()
	check(2)
	q.Deliver(&s, new(slots.Slot), 7)
	check(1)
	q.Leave(b)
	check(0)
	q.Leave(a)
	check(0)
}

func TestKickAllMakesEveryWaiterLookOnce(t *testing.T) {
	var q waitq.Queue
	var a slots.Set
	ws := []*waitq.Waiter{enter(&q, nil, avoid{}), enter(&q, &a, avoid{}), enter(&q, nil, avoid{&a})}
	q.KickAll()
	q.KickAll()
	for k, w := range ws {
		if !ask(&q, w).kicked {
			t.Errorf("waiter %d is not told to look", k)
		}
		if ask(&q, w).kicked {
			t.Errorf("waiter %d is told to look again", k)
		}
	}
}

func TestDeliveryComesBeforeAKickThatWasNotSeen(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	w, sl := enter(&q, nil, avoid{}), new(slots.Slot)
	q.KickAll()
	q.Deliver(&s, sl, 7)
	expect(t, &q, w, sl)
}

func TestRoomIsToldToTheFirstThatAcceptsIt(t *testing.T) {
	var q waitq.Queue
	var a, b slots.Set
	other, first, second := enter(&q, &b, avoid{}), enter(&q, &a, avoid{}), enter(&q, nil, avoid{})
	q.KickFirst(&a)
	if ask(&q, other).kicked || !ask(&q, first).kicked || ask(&q, second).kicked {
		t.Error("room was told to another than the first that accepts it")
	}
}

func TestRoomForTwoIsToldToTwo(t *testing.T) {
	var q waitq.Queue
	var a, b slots.Set
	first, second := enter(&q, nil, avoid{}), enter(&q, nil, avoid{})
	q.KickFirst(&a)
	q.KickFirst(&b)
	if !ask(&q, first).kicked || !ask(&q, second).kicked {
		t.Error("two rooms became one: the second waiter sleeps beside it")
	}
}

// TestRoomIsNotForgottenWithTheWaiterThatWasTold is what a wake-up lost looks
// like: the one who was told is gone before it looked, the next sleeps on.
func TestRoomIsNotForgottenWithTheWaiterThatWasTold(t *testing.T) {
	for _, c := range []struct {
		name string
		gone func(q *waitq.Queue, w *waitq.Waiter)
	}{
		{"it gave up", func(q *waitq.Queue, w *waitq.Waiter) { q.Leave(w) }},
		{"it was served", func(q *waitq.Queue, _ *waitq.Waiter) { q.Deliver(new(slots.Set), new(slots.Slot), 7) }},
		{"it looked, and gave up", func(q *waitq.Queue, w *waitq.Waiter) {
			ask(q, w)
			q.Leave(w)
		}},
		{"it waits for a dial elsewhere", func(q *waitq.Queue, w *waitq.Waiter) {
			ask(q, w)
			q.Await(w, &dial{set: new(slots.Set)}, false)
			q.Begun(w)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitq.Queue
			var a, b slots.Set
			told, other, next := enter(&q, nil, avoid{}), enter(&q, &b, avoid{}), enter(&q, &a, avoid{})
			q.KickFirst(&a)
			c.gone(&q, told)
			if ask(&q, other).kicked {
				t.Error("one that does not accept the room is told to look")
			}
			if !ask(&q, next).kicked {
				t.Error("the next is not told to look")
			}
		})
	}
}

func TestRoomThatWasGoneIsNotToldAgain(t *testing.T) {
	var q waitq.Queue
	var a slots.Set
	told, next := enter(&q, nil, avoid{}), enter(&q, nil, avoid{})
	q.KickFirst(&a)
	ask(&q, told)
	q.Settle(told) // it looked in vain
	q.Leave(told)
	if ask(&q, next).kicked {
		t.Error("the next is told to look")
	}
}

func TestDialThatIsNeededNoMoreIsToldToTheNext(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(q *waitq.Queue, w *waitq.Waiter)
		told bool
	}{
		{"its caller waits on", func(q *waitq.Queue, w *waitq.Waiter) { q.Begun(w) }, false},
		{"its caller gave up", func(q *waitq.Queue, w *waitq.Waiter) { q.Leave(w) }, true},
		{"its caller waits for another", func(q *waitq.Queue, w *waitq.Waiter) {
			q.Await(w, &dial{set: new(slots.Set)}, false)
			q.Begun(w)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitq.Queue
			var a slots.Set
			w, next := enter(&q, nil, avoid{}), enter(&q, nil, avoid{})
			q.Await(w, &dial{set: &a}, false)
			q.Begun(w)
			c.do(&q, w)
			if got := ask(&q, next).kicked; got != c.told {
				t.Errorf("the next is told: %v, want %v", got, c.told)
			}
		})
	}
}

func TestQueueIsHopelessWhileAWaiterThatLookedInVainWaitsForAnything(t *testing.T) {
	var a slots.Set
	for _, c := range []struct {
		name string
		do   func(q *waitq.Queue, w *waitq.Waiter)
		want bool
	}{
		{"it looked in vain", func(*waitq.Queue, *waitq.Waiter) {}, true},
		{"another came for one endpoint only", func(q *waitq.Queue, _ *waitq.Waiter) { enter(q, &a, avoid{}) }, true},
		{"it is to look again", func(q *waitq.Queue, _ *waitq.Waiter) { q.KickAll() }, false},
		{"it was told of room", func(q *waitq.Queue, _ *waitq.Waiter) { q.KickFirst(&a) }, false},
		{"it is to look elsewhere", func(q *waitq.Queue, w *waitq.Waiter) { q.Restrict(w, nil, avoid{}) }, false},
		{"it was served", func(q *waitq.Queue, _ *waitq.Waiter) { q.Deliver(&a, new(slots.Slot), 7) }, false},
		{"it gave up", func(q *waitq.Queue, w *waitq.Waiter) { q.Leave(w) }, false},
		{"it gave up, and one that came in vain is left", func(q *waitq.Queue, w *waitq.Waiter) {
			enter(q, nil, avoid{})
			q.Leave(w)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitq.Queue
			w, hopeless := q.Enter(nil, avoid{})
			if hopeless {
				t.Fatal("the first to come is not to look")
			}
			q.Settle(w)
			c.do(&q, w)
			if _, hopeless := q.Enter(nil, avoid{}); hopeless != c.want {
				t.Errorf("hopeless: %v, want %v", hopeless, c.want)
			}
		})
	}
	t.Run("it waits for one endpoint only", func(t *testing.T) {
		var q waitq.Queue
		q.Settle(enter(&q, &a, avoid{}))
		if _, hopeless := q.Enter(nil, avoid{}); hopeless {
			t.Error("hopeless although nobody looked at other endpoints")
		}
	})
	t.Run("it was kicked while it looked", func(t *testing.T) {
		var q waitq.Queue
		w := enter(&q, nil, avoid{})
		q.KickAll()
		q.Settle(w)
		if _, hopeless := q.Enter(nil, avoid{}); hopeless {
			t.Error("hopeless although something changed since the look began")
		}
	})
}

func TestWaiterThatReturnsStandsBeforeAllOthers(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	w := q.Return(nil, avoid{}) // to an empty queue
	second := enter(&q, nil, avoid{})
	first := q.Return(nil, avoid{})
	if q.Attention.Load() != 3 || q.Len() != 3 {
		t.Errorf("attention %d, length %d, want 3", q.Attention.Load(), q.Len())
	}
	for _, w := range []*waitq.Waiter{first, w, second} {
		sl := new(slots.Slot)
		q.Deliver(&s, sl, 7)
		expect(t, &q, w, sl)
	}
}

func TestDialIsTakenBackOnceWhenItsWaiterNeedsItNoMore(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(q *waitq.Queue, w *waitq.Waiter)
		want int
	}{
		{"it waits on", func(q *waitq.Queue, _ *waitq.Waiter) { q.KickAll() }, 1},
		{"it asks again", func(q *waitq.Queue, w *waitq.Waiter) { q.Await(w, nil, true) }, 0},
		{"it asks elsewhere", func(q *waitq.Queue, w *waitq.Waiter) { q.Await(w, new(dial), false) }, 0},
		{"it gave up", func(q *waitq.Queue, w *waitq.Waiter) { q.Leave(w) }, 0},
		{"it was served", func(q *waitq.Queue, w *waitq.Waiter) {
			q.Deliver(new(slots.Set), new(slots.Slot), 7)
			if q.Await(w, new(dial), false) {
				t.Error("a waiter that was served may ask for a dial")
			}
			q.Leave(w)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q waitq.Queue
			w, d := enter(&q, nil, avoid{}), &dial{demand: 1}
			if !q.Await(w, d, false) || !q.Await(w, d, true) {
				t.Error("a waiter may not ask for a dial")
			}
			c.do(&q, w)
			if d.demand != c.want {
				t.Errorf("the dial is asked for by %d, want %d", d.demand, c.want)
			}
		})
	}
}

func TestRoomIsNotToldToAWaiterThatHasADialUnderWay(t *testing.T) {
	var q waitq.Queue
	var a slots.Set
	dialing, late := enter(&q, nil, avoid{}), enter(&q, nil, avoid{})
	here, next := enter(&q, nil, avoid{}), enter(&q, nil, avoid{})
	q.Await(dialing, new(dial), false)
	q.Await(late, new(dial), true)
	q.Await(here, &dial{set: &a}, true) // another dial there is nothing it has not
	q.KickFirst(&a)
	q.KickFirst(&a)
	if ask(&q, dialing).kicked || ask(&q, here).kicked || !ask(&q, late).kicked || !ask(&q, next).kicked {
		t.Error("room was told to a waiter that needs none, or kept from one that does")
	}
}

func TestRecycledWaiterIsAsGoodAsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q waitq.Queue
		var a, b slots.Set
		for range 100 {
			w := enter(&q, &a, avoid{&b})
			w.Arm(time.Millisecond)
			q.Await(w, new(dial), false)
			q.KickFirst(&a)
			q.Deliver(&a, new(slots.Slot), 7)
			if sl, _ := q.Leave(w); sl == nil {
				t.Fatal("the delivery was lost")
			}
			w, hopeless := q.Enter(nil, avoid{})
			if hopeless {
				t.Fatal("a new waiter is as settled as an old one")
			}
			if !q.Wants(&b) {
				t.Fatal("a new waiter has an old one's restrictions")
			}
			if q.KickFirst(&b); !ask(&q, w).kicked {
				t.Fatal("a new waiter has an old one's dial")
			}
			// Nor has it an old one's timer, kick, room or slot.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if why := w.Wait(ctx); why != waitq.Done {
				t.Fatalf("a new waiter is woken: %d", why)
			}
			cancel()
			if sl, gen := q.Leave(w); sl != nil || gen != 0 {
				t.Fatal("a new waiter has an old one's slot")
			}
		}
	})
}

func TestWaitEndsWithWhateverComesFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin func(q *waitq.Queue, w *waitq.Waiter)
		want  waitq.Why
		after time.Duration
	}{
		{"a kick before", func(q *waitq.Queue, _ *waitq.Waiter) { q.KickAll() }, waitq.Signalled, 0},
		{"a delivery before", func(q *waitq.Queue, _ *waitq.Waiter) { q.Deliver(new(slots.Set), new(slots.Slot), 7) }, waitq.Signalled, 0},
		{"a kick", func(q *waitq.Queue, _ *waitq.Waiter) { time.AfterFunc(time.Second, q.KickAll) }, waitq.Signalled, time.Second},
		{"a delivery", func(q *waitq.Queue, _ *waitq.Waiter) {
			time.AfterFunc(time.Second, func() { q.Deliver(new(slots.Set), new(slots.Slot), 7) })
		}, waitq.Signalled, time.Second},
		{"a delivery to an armed one", func(q *waitq.Queue, w *waitq.Waiter) {
			w.Arm(time.Minute)
			time.AfterFunc(time.Second, func() { q.Deliver(new(slots.Set), new(slots.Slot), 7) })
		}, waitq.Signalled, time.Second},
		{"the timer", func(_ *waitq.Queue, w *waitq.Waiter) { w.Arm(time.Second) }, waitq.TimedOut, time.Second},
		{"the last timer counts", func(_ *waitq.Queue, w *waitq.Waiter) {
			w.Arm(time.Second)
			w.Arm(time.Minute)
		}, waitq.TimedOut, time.Minute},
		{"the end of the context", func(*waitq.Queue, *waitq.Waiter) {}, waitq.Done, time.Hour},
		{"a timer that was disarmed", func(_ *waitq.Queue, w *waitq.Waiter) {
			w.Arm(time.Second)
			w.Disarm()
		}, waitq.Done, time.Hour},
		{"a timer that fired unseen and was disarmed", func(_ *waitq.Queue, w *waitq.Waiter) {
			w.Arm(time.Nanosecond)
			time.Sleep(time.Microsecond)
			w.Disarm()
			w.Arm(2 * time.Hour)
		}, waitq.Done, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var q waitq.Queue
				w := enter(&q, nil, avoid{})
				c.begin(&q, w)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begun := time.Now()
				if why := w.Wait(ctx); why != c.want || time.Since(begun) != c.after {
					t.Errorf("ended with %d after %v, want %d after %v", why, time.Since(begun), c.want, c.after)
				}
				if c.want == waitq.TimedOut && w.Wait(ctx) != waitq.Done {
					t.Error("the timer woke the waiter twice")
				}
				q.Leave(w)
			})
		})
	}
}

// TestQueuesOfDifferentBubblesShareNothing fails by a panic of the runtime: a
// channel made in one bubble must not be used in another.
func TestQueuesOfDifferentBubblesShareNothing(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var q waitq.Queue
			q.Leave(enter(&q, nil, avoid{}))
			w := enter(&q, nil, avoid{})
			time.AfterFunc(time.Second, q.KickAll)
			w.Wait(t.Context())
			q.Leave(w)
		})
	}
}

func TestEjectedEndpointServesOnlyThoseThatNameIt(t *testing.T) {
	var q waitq.Queue
	var a slots.Set
	a.SetEjected(true)
	free := enter(&q, nil, avoid{})
	if q.Wants(&a) || q.Deliver(&a, new(slots.Slot), 7) {
		t.Error("a waiter for anything was served")
	}
	if q.KickFirst(&a); ask(&q, free).kicked {
		t.Error("a waiter for anything was told of room")
	}
	named := enter(&q, &a, avoid{})
	if sl := new(slots.Slot); q.Deliver(&a, sl, 7) {
		expect(t, &q, named, sl)
	} else {
		t.Error("one that names it was not served")
	}
	a.SetEjected(false)
	if sl := new(slots.Slot); q.Deliver(&a, sl, 7) {
		expect(t, &q, free, sl)
	} else {
		t.Error("one that waits for anything was not served when it was back")
	}
}
