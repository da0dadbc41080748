//go:build go1.26

package httppool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheHeaderTimeoutCountsTheTimeOfTheServerOnly(t *testing.T) {
	const limit = time.Second
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var aborts atomic.Int32
		var clock headerTimeout
		clock.init(limit, func() time.Duration { return time.Since(begun) }, func() { aborts.Add(1) })
		for range 3 { // in time
			clock.start(0)
			time.Sleep(limit - 1)
			if clock.stop() {
				t.Fatal("aborted too early")
			}
			time.Sleep(2 * limit) // nobody waits
		}
		clock.start(0)
		for range 3 { // a body that is read late and taken late
			clock.pause()
			time.Sleep(5 * limit)
			clock.resume()
			time.Sleep(limit - 1)
		}
		if clock.stop() {
			t.Fatal("the reader's time counts")
		}
		clock.resume() // by a body that outlives the wait
		clock.start(0)
		clock.fire() // late, for the request before
		time.Sleep(limit - 1)
		if aborts.Load() != 0 {
			t.Fatal("aborted too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if aborts.Load() == 0 || !clock.stop() {
			t.Error("not aborted when it was overdue")
		}
		clock.start(0)
		time.Sleep(2 * limit)
	})
}

// TestAHeaderTimeoutHoldsForTheRequestThatWaits is about a timer that was set for another
// request, or for more time.
func TestAHeaderTimeoutHoldsForTheRequestThatWaits(t *testing.T) {
	const limit = time.Second
	for name, c := range map[string]struct {
		before func(clock *headerTimeout)
		within time.Duration
	}{
		"after one that was answered":             {func(clock *headerTimeout) { clock.start(0) }, 0},
		"with less time than the one before":      {func(clock *headerTimeout) { clock.start(0) }, limit / 10},
		"with more time than the one before":      {func(clock *headerTimeout) { clock.start(limit / 10) }, 0},
		"after one that was answered long before": {func(clock *headerTimeout) { clock.start(0); clock.stop(); time.Sleep(2 * limit) }, 0},
		"after one whose body took long":          {func(clock *headerTimeout) { clock.start(0); clock.pause(); time.Sleep(2 * limit); clock.resume() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				aborted := make(chan time.Time, 1)
				var clock headerTimeout
				clock.init(limit, func() time.Duration { return time.Since(begun) }, func() { aborted <- time.Now() })
				c.before(&clock)
				time.Sleep(limit / 20)
				clock.stop()
				start := time.Now()
				clock.start(c.within)
				want := limit
				if c.within > 0 {
					want = c.within
				}
				if got := (<-aborted).Sub(start); got != want {
					t.Errorf("aborted after %v, want %v", got, want)
				}
			})
		})
	}
}

func TestAHeaderTimeoutThatHasEndedLeavesNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var clock headerTimeout
		clock.init(time.Second, func() time.Duration { return time.Since(begun) }, func() {})
		clock.start(0)
		clock.stop()
		clock.end()
		if clock.timer.Stop() {
			t.Error("the timer was left running")
		}
	})
}
