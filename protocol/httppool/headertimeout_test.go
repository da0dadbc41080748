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
