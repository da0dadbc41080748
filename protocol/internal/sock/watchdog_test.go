package sock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// counted returns a guard and the count of its aborts.
func counted() (*Guard, *int) {
	n := new(int)
	return NewWatchdog().Guard(func() { *n++ }), n
}

func TestACancelledCallIsAbortedWithinAPatrol(t *testing.T) {
	for _, age := range []time.Duration{0, patrol / 2, patrol, 3 * patrol, young * patrol, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			g, aborts := counted()
			ctx, cancel := context.WithCancel(t.Context())
			g.Begin(ctx)
			time.Sleep(age)
			if *aborts != 0 {
				t.Errorf("aborted at the age of %v", age)
			}
			cancel()
			time.Sleep(patrol)
			synctest.Wait()
			if *aborts != 1 || !g.End() {
				t.Errorf("cancelled at the age of %v: %d aborts", age, *aborts)
			}
		})
	}
}

func TestACancellationAfterTheCallAbortsNothing(t *testing.T) {
	for _, age := range []time.Duration{0, patrol / 2, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			g, aborts := counted()
			ctx, cancel := context.WithCancel(t.Context())
			g.Begin(ctx)
			time.Sleep(age)
			if g.End() {
				t.Error("ended before it was cancelled")
			}
			other := context.WithValue(t.Context(), g, "other")
			g.Begin(other)
			cancel()
			time.Sleep(time.Minute)
			if *aborts != 0 || g.End() {
				t.Errorf("the next call was aborted %d times", *aborts)
			}
		})
	}
}

// A callback that was already on its way when its call ended finds another.
func TestALateCallbackAbortsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, aborts := counted()
		g.Begin(t.Context())
		first := g.call
		g.End()
		g.cancelled(first)
		g.Begin(t.Context())
		g.cancelled(first)
		if *aborts != 0 {
			t.Errorf("%d aborts", *aborts)
		}
		g.cancelled(g.call)
		g.cancelled(g.call)
		if *aborts != 1 || !g.End() {
			t.Errorf("%d aborts, want one", *aborts)
		}
		time.Sleep(2 * patrol)
	})
}

func TestTheWatchdogRestsWithoutYoungCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := counted()
		listed := func() int {
			g.dog.mu.Lock()
			defer g.dog.mu.Unlock()
			return len(g.dog.list)
		}
		for range 100 {
			g.Begin(t.Context())
			g.End()
		}
		if n := listed(); n != 1 {
			t.Errorf("listed %d times for calls of one round", n)
		}
		time.Sleep(2 * patrol)
		if n := listed(); n != 0 || g.dog.timer.Stop() {
			t.Errorf("%d in the list, or the timer is set, without a call in flight", n)
		}
		g.Begin(t.Context())
		time.Sleep((young + 1) * patrol)
		if n := listed(); n != 0 || g.dog.timer.Stop() {
			t.Errorf("%d in the list, or the timer is set, with an old call in flight", n)
		}
		g.End()
	})
}
