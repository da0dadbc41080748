package core_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestIdleConnectionsAreClosedAfterTheIdleTimeoutAndNotBefore(t *testing.T) {
	for _, timeout := range []time.Duration{100 * time.Millisecond, 5 * time.Second, time.Minute} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.IdleTimeout(timeout), core.HealthCheckInterval(0))
				time.Sleep(37 * time.Millisecond)
				warm(t, p, 4)
				time.Sleep(timeout / 2)
				l := get(t, p) // one is used again
				used := l.Conn()
				release(t, l)
				begun := time.Now()
				time.Sleep(timeout/2 - 1)
				synctest.Wait()
				f.wantCounts(4, 0)
				time.Sleep(min(timeout/4, time.Second) + 2)
				synctest.Wait()
				f.wantCounts(4, 3)
				time.Sleep(time.Until(begun.Add(timeout)) - 1)
				if used.closed.Load() {
					t.Errorf("closed after less than %v of idling", timeout)
				}
				// The sweep finds it used at its next turn, and old at a later one.
				time.Sleep(2*min(timeout/4, time.Second) + 2)
				synctest.Wait()
				f.wantCounts(4, 4)
			})
		})
	}
}

func TestLeasedConnectionIsNeverIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.IdleTimeout(time.Second))
		l := get(t, p)
		time.Sleep(time.Hour)
		f.wantCounts(1, 0)
		release(t, l)
		time.Sleep(time.Second - 1)
		f.wantCounts(1, 0)
	})
}

func TestIdleTimeoutOfZeroIsNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.IdleTimeout(0))
		warm(t, p, 3)
		time.Sleep(time.Hour)
		f.wantCounts(3, 0)
	})
}

func TestIdleTimeoutLeavesMinIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.IdleTimeout(time.Minute), core.MinIdle(2))
		warm(t, p, 6, core.WithEndpoint("a:1"))
		synctest.Wait()
		opened, _ := f.counts() // at least 6 for the calls and 2; more if refills and calls crossed
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, a := range []string{"a:1", "b:1"} {
			if st := endpointStats(t, p, a); st.Idle != 2 || st.Open != 2 {
				t.Errorf("%+v, want 2 idle", st)
			}
		}
		f.wantCounts(opened, opened-4) // none was closed only to be opened again
	})
}

func TestConnectionIsClosedAtTheEndOfItsLifetimeAndNotWhileItIsLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = time.Minute
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxLifetime(life), core.IdleTimeout(0), core.MaxActive(200))
		var ends []time.Duration
		leases := getMany(t, p, 200)
		for _, l := range leases {
			born := time.Now()
			l.Conn().onClose = func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				ends = append(ends, time.Since(born))
			}
		}
		release(t, leases[:150]...)
		time.Sleep(2 * time.Minute)
		f.wantCounts(200, 150)
		release(t, leases[150:]...)
		synctest.Wait()
		f.wantCounts(200, 200)
		distinct := map[time.Duration]bool{}
		for i, d := range ends {
			switch {
			case i >= 150 && d != 2*time.Minute:
				t.Errorf("a leased connection was closed after %v, its lease ended after 2m0s", d)
			case i < 150 && (d < life*9/10 || d > life+time.Second):
				t.Errorf("closed after %v, want from 54s to 1m1s", d)
			}
			distinct[d] = true
		}
		// Seven sweeps see them end: they do not end together.
		if len(distinct) < 5 {
			t.Errorf("connections that were opened together are closed together: %v", distinct)
		}
	})
}

func TestMaxLifetimeOfZeroIsNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxLifetime(0), core.IdleTimeout(0))
		for range 4 {
			release(t, get(t, p))
			time.Sleep(time.Hour)
		}
		f.wantCounts(1, 0)
	})
}

func TestMinIdleIsOpenedAheadOfDemandAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MinIdle(2), core.MaxActive(4))
		synctest.Wait()
		f.wantCounts(4, 0)
		idle := func(want int) {
			t.Helper()
			synctest.Wait()
			if st := endpointStats(t, p, "a:1"); st.Idle != want {
				t.Errorf("%d idle, want %d", st.Idle, want)
			}
		}
		l := getMany(t, p, 1, core.WithEndpoint("a:1"))
		idle(2) // at once
		l[0].Conn().unuse()
		_ = l[0].Discard(nil)
		idle(2)
		l = getMany(t, p, 2, core.WithEndpoint("a:1"))
		idle(2)
		l = append(l, get(t, p, core.WithEndpoint("a:1")))
		idle(1) // MaxActive is 4
		release(t, l...)
		idle(4)
		p.Reset()
		idle(2)
		f.reports <- endpoints("a:1", "b:1", "new:1")
		time.Sleep(time.Second)
		if st := endpointStats(t, p, "new:1"); st.Idle != 2 {
			t.Errorf("%d idle at a server that is new, want 2", st.Idle)
		}
	})
}

// Connections that the pool checks are not leased; that is no reason to open
// more of them.
func TestMinIdleOpensNothingForConnectionsThatAreBeingChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.peekPool(core.MinIdle(3), core.IdleTimeout(0))
		time.Sleep(time.Minute)
		f.wantCounts(3, 0)
		f = newFleet(t, "a:1")
		f.healthPool(core.MinIdle(3), core.IdleTimeout(0), core.HealthCheckInterval(time.Second))
		synctest.Wait()
		for _, l := range f.conns() {
			l.fails(func(ctx context.Context) error { return sleep(ctx, 3*time.Second) })
		}
		time.Sleep(time.Minute)
		f.wantCounts(3, 0)
	})
}

// checkedPool is a pool whose connections can be checked, by either method.
// checked runs a test with pools of Peekers and of HealthCheckers.
// lease leases and releases, and returns the connection and how often it was
// checked for that.
// In another pool the background refreshed what was idle, one by one, and
// callers waited for the last of it.
func TestForgottenLeaseIsReportedOnceWithWhereItWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		j := new(journal)
		p := f.pool(core.LeakDetectionThreshold(time.Minute), core.WithObserver(j.Observe), core.MaxActive(1))
		for range 3 { // not forgotten
			l := get(t, p)
			time.Sleep(50 * time.Second)
			release(t, l)
		}
		if n := len(j.of(core.EventLeaseLeaked)); n != 0 {
			t.Errorf("%d leaks reported", n)
		}
		for i, take := range []func() core.Lease[*link]{
			func() core.Lease[*link] { return get(t, p) },
			func() core.Lease[*link] { // handed over from another caller
				l := get(t, p)
				waiting := background(t.Context(), p)
				synctest.Wait()
				release(t, l)
				synctest.Wait()
				return served(t, waiting)
			},
		} {
			l := take()
			time.Sleep(time.Minute - 1)
			if n := len(j.of(core.EventLeaseLeaked)); n != i {
				t.Errorf("%d leaks reported too early", n-i)
			}
			time.Sleep(time.Hour)
			leaks := j.of(core.EventLeaseLeaked)
			if len(leaks) != i+1 {
				t.Fatalf("%d leaks reported, want %d", len(leaks), i+1)
			}
			ev := leaks[i]
			if ev.Endpoint != "a:1" || ev.Duration < time.Minute || ev.Duration > 61*time.Second {
				t.Errorf("event %+v, want a:1 after 1m0s to 1m1s", ev)
			}
			if !strings.HasPrefix(ev.Stack, "github.com/minicaptain/multi_connection_pool/core.(*Pool[") || !strings.Contains(ev.Stack, "helpers_test.go") {
				t.Errorf("the stack does not begin with Get and lead to its caller:\n%s", ev.Stack)
			}
			release(t, l)
		}
	})
}

func TestLeakDetectionIsOffByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe))
		l := get(t, p)
		time.Sleep(time.Hour)
		if leaks := j.of(core.EventLeaseLeaked); len(leaks) != 0 {
			t.Errorf("leaks %+v", leaks)
		}
		release(t, l)
	})
}

func TestConnectionThatIsCheckedDuringASweepCountsAsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.IdleTimeout(20*time.Second), core.HealthCheckInterval(4*time.Second), core.ValidateAfterIdle(-1))
		warm(t, p, 1)
		f.conns()[0].fails(slow(1500 * time.Millisecond)) // and succeeds
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if n := f.conns()[0].checks.Load(); n < 2 {
			t.Errorf("%d checks; the test shows nothing", n)
		}
		f.wantCounts(1, 1)
	})
}
