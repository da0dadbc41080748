package core_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
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
				p := f.pool(core.IdleTimeout(timeout), core.HealthInterval(0))
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
		warm(t, p, 6, core.On("a:1"))
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, a := range []string{"a:1", "b:1"} {
			if st := endpointStats(t, p, a); st.Idle != 2 || st.Open != 2 {
				t.Errorf("%+v, want 2 idle", st)
			}
		}
		f.wantCounts(10, 6) // not one for the other either: 6 and 2 for the calls, 2
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
		l := getMany(t, p, 1, core.On("a:1"))
		idle(2) // at once
		l[0].Conn().unuse()
		_ = l[0].Discard(nil)
		idle(2)
		l = getMany(t, p, 2, core.On("a:1"))
		idle(2)
		l = append(l, get(t, p, core.On("a:1")))
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
		f.healthPool(core.MinIdle(3), core.IdleTimeout(0), core.HealthInterval(time.Second))
		synctest.Wait()
		for _, l := range f.conns() {
			l.fails(func(ctx context.Context) error { return sleep(ctx, 3*time.Second) })
		}
		time.Sleep(time.Minute)
		f.wantCounts(3, 0)
	})
}

func TestMinIdleGivesWayToTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		f.mostTotal = 4
		p := f.pool(core.MinIdle(2), core.MaxTotal(4))
		time.Sleep(time.Minute)
		f.wantCounts(4, 0)
		release(t, getMany(t, p, 2, core.On("a:1"))...)
		release(t, getMany(t, p, 2, core.On("b:1"))...)
		release(t, getMany(t, p, 2, core.On("c:1"))...)
	})
}

func TestConnectionReleasedBeyondMaxIdleIsClosed(t *testing.T) {
	for _, share := range []int{1, 30} { // one word of slots, and several
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxIdle(2), core.MaxActive(6), core.Share(share))
				var all []core.Lease[*link]
				for range 6 * share {
					l, err := p.Get(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, l)
				}
				for _, l := range all {
					if err := l.Release(); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				f.wantCounts(6, 4)
				if st := endpointStats(t, p, "a:1"); st.Open != 2 || st.Idle != 2*share {
					t.Errorf("%+v, want 2 open and idle", st)
				}
			})
		})
	}
}

// checkedPool is a pool whose connections can be checked, by either method.
type checkedPool struct {
	get   func(ctx context.Context) (*link, func() error, error)
	stats func() core.EndpointStats
}

func newChecked[C user](t *testing.T, p *core.Pool[C], base func(C) *link) checkedPool {
	t.Helper()
	return checkedPool{
		get: func(ctx context.Context) (*link, func() error, error) {
			l, err := p.Get(ctx)
			if err != nil {
				return nil, nil, err
			}
			return base(l.Conn()), l.Release, nil
		},
		stats: func() core.EndpointStats { return endpointStats(t, p, "a:1") },
	}
}

// checked runs a test with pools of Peekers and of HealthCheckers.
func checked(t *testing.T, test func(t *testing.T, f *fleet, p func(...core.Option) checkedPool)) {
	t.Helper()
	t.Run("Peek", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1")
			test(t, f, func(o ...core.Option) checkedPool {
				return newChecked(t, f.peekPool(o...), func(l peekLink) *link { return l.link })
			})
		})
	})
	t.Run("Health", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1")
			test(t, f, func(o ...core.Option) checkedPool {
				return newChecked(t, f.healthPool(o...), func(l healthLink) *link { return l.link })
			})
		})
	})
}

// lease leases and releases, and returns the connection and how often it was
// checked for that.
func (p checkedPool) lease(t *testing.T) (*link, int32) {
	t.Helper()
	var before int32
	l, release, err := p.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before = l.checks.Load()
	if err := release(); err != nil {
		t.Error(err)
	}
	return l, before
}

func TestConnectionIsCheckedBeforeALeaseOnceItHasRested(t *testing.T) {
	checked(t, func(t *testing.T, _ *fleet, pool func(...core.Option) checkedPool) {
		p := pool(core.CheckAfter(10*time.Second), core.HealthInterval(0), core.IdleTimeout(0))
		l, n := p.lease(t)
		if n != 0 {
			t.Error("a new connection was checked")
		}
		time.Sleep(9 * time.Second)
		background := l.checks.Load() // a Peeker is peeked at once a second
		if _, n := p.lease(t); n != background {
			t.Error("a connection was checked before it had rested for 10s")
		}
		time.Sleep(13 * time.Second) // a sweep finds it idle, a later one rested
		background = l.checks.Load()
		if _, n := p.lease(t); n != background+1 {
			t.Errorf("a connection that had rested was checked %d times, want once", n-background)
		}
		if _, n := p.lease(t); n != background+1 {
			t.Error("a connection was checked again at once")
		}
	})
}

func TestCheckAfterZeroChecksEveryTimeAndNegativeNever(t *testing.T) {
	checked(t, func(t *testing.T, _ *fleet, pool func(...core.Option) checkedPool) {
		p := pool(core.CheckAfter(0), core.MaxActive(1))
		for want := int32(1); want < 5; want++ {
			if _, n := p.lease(t); n != want {
				t.Errorf("%d checks before lease %d", n, want)
			}
		}
		// Handed from call to call, too.
		l, release, err := p.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := l.checks.Load()
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.lease(t)
		}()
		synctest.Wait()
		_ = release()
		<-done
		if n := l.checks.Load(); n != before+1 {
			t.Errorf("%d checks of a connection that was handed over, want 1", n-before)
		}
	})
	checked(t, func(t *testing.T, _ *fleet, pool func(...core.Option) checkedPool) {
		p := pool(core.CheckAfter(-1), core.HealthInterval(0), core.IdleTimeout(0))
		l, _ := p.lease(t)
		time.Sleep(time.Hour)
		background := l.checks.Load()
		if _, n := p.lease(t); n != background {
			t.Errorf("%d checks before a lease", n-background)
		}
	})
}

func TestConnectionThatFailsItsCheckIsReplacedBeforeTheCallerSeesIt(t *testing.T) {
	for name, outcome := range map[string]func(context.Context) error{
		"an error": func(context.Context) error { return errors.New("the peer has closed") },
		"a panic":  func(context.Context) error { panic("in the check") },
	} {
		t.Run(name, func(t *testing.T) {
			checked(t, func(t *testing.T, f *fleet, pool func(...core.Option) checkedPool) {
				p := pool(core.CheckAfter(0), core.MaxActive(2))
				old, _ := p.lease(t)
				old.fails(outcome)
				l, _ := p.lease(t)
				if l == old {
					t.Error("a connection that failed its check was leased")
				}
				synctest.Wait()
				f.wantCounts(2, 1)
				if st := p.stats(); st.Open != 1 || st.InUse != 0 {
					t.Errorf("%+v, want 1 open and none in use", st)
				}
			})
		})
	}
}

func TestCallWhoseConnectionFailedItsCheckKeepsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.peekPool(core.CheckAfter(0), core.MaxActive(1))
		l := get(t, p)
		first := background(t.Context(), p)
		synctest.Wait()
		second := background(t.Context(), p)
		synctest.Wait()
		l.Conn().fails(func(context.Context) error { return errors.New("the peer has closed") })
		release(t, l)
		synctest.Wait()
		waits(t, second)
		release(t, served(t, first))
		synctest.Wait()
		release(t, served(t, second))
	})
}

func TestCheckBeforeALeaseLastsAsLongAsTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.CheckAfter(0), core.MaxActive(1), core.HealthInterval(0))
		warm(t, p, 1)
		f.conns()[0].fails(hang)
		begun := time.Now()
		_, err := p.Get(within(t, time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("error %v after %v, want the context's after 1s", err, time.Since(begun))
		}
		synctest.Wait()
		f.wantCounts(1, 1) // who knows what it waits for
		release(t, get(t, p))
	})
}

func TestIdleConnectionsAreCheckedInTheBackground(t *testing.T) {
	for name, outcome := range map[string]func(context.Context) error{
		"an error": func(context.Context) error { return errors.New("the peer has closed") },
		"a panic":  func(context.Context) error { panic("in the check") },
	} {
		t.Run(name, func(t *testing.T) {
			checked(t, func(t *testing.T, f *fleet, pool func(...core.Option) checkedPool) {
				p := pool(core.HealthInterval(10*time.Second), core.IdleTimeout(0))
				l, _ := p.lease(t)
				time.Sleep(9500 * time.Millisecond)
				every := int32(0)
				if strings.HasSuffix(t.Name(), "Peek") {
					every = 9 // once a second
				}
				if n := l.checks.Load(); n != every {
					t.Errorf("%d checks in 9s, want %d", n, every)
				}
				l.fails(outcome)
				time.Sleep(3 * time.Second)
				f.wantCounts(1, 1)
			})
		})
	}
}

func TestHealthIntervalOfZeroIsNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.HealthInterval(0), core.IdleTimeout(0))
		warm(t, p, 1)
		time.Sleep(time.Hour)
		if n := f.conns()[0].checks.Load(); n != 0 {
			t.Errorf("%d checks", n)
		}
	})
}

// In another pool the background refreshed what was idle, one by one, and
// callers waited for the last of it.
func TestSlowHealthChecksHoldOneConnectionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.MaxActive(4), core.CheckAfter(-1), core.HealthInterval(10*time.Second), core.DialTimeout(2*time.Second))
		warm(t, p, 4)
		for _, l := range f.conns() {
			l.fails(hang)
		}
		time.Sleep(11500 * time.Millisecond) // the checks are due, and the first runs
		begun := time.Now()
		three := getMany(t, p, 3)
		if d := time.Since(begun); d != 0 {
			t.Errorf("callers waited %v for connections that are idle", d)
		}
		release(t, three...)
		time.Sleep(time.Minute)
		if opened, closed := f.counts(); closed != opened {
			t.Errorf("of %d connections that do not answer %d were closed", opened, closed)
		}
	})
}

func TestCheckThatNeverReturnsHoldsUpNothingElse(t *testing.T) {
	checked(t, func(t *testing.T, f *fleet, pool func(...core.Option) checkedPool) {
		p := pool(core.HealthInterval(time.Second), core.CheckAfter(-1), core.IdleTimeout(time.Minute), core.MaxActive(2))
		l, _ := p.lease(t)
		over := make(chan struct{})
		l.fails(stuck(over))
		time.Sleep(3 * time.Second)
		other, _ := p.lease(t)
		if other == l {
			t.Error("a connection was leased during its check")
		}
		time.Sleep(2 * time.Minute)
		f.wantCounts(2, 1) // the other grew old
		close(over)
		synctest.Wait()
		f.wantCounts(2, 2)
	})
}

func TestForgottenLeaseIsReportedOnceWithWhereItWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		j := new(journal)
		p := f.pool(core.LeakAfter(time.Minute), core.WithObserver(j), core.MaxActive(1))
		for range 3 { // not forgotten
			l := get(t, p)
			time.Sleep(50 * time.Second)
			release(t, l)
		}
		if n := len(j.of(core.LeaseLeaked)); n != 0 {
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
			if n := len(j.of(core.LeaseLeaked)); n != i {
				t.Errorf("%d leaks reported too early", n-i)
			}
			time.Sleep(time.Hour)
			leaks := j.of(core.LeaseLeaked)
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
		p := f.pool(core.WithObserver(j))
		l := get(t, p)
		time.Sleep(time.Hour)
		if leaks := j.of(core.LeaseLeaked); len(leaks) != 0 {
			t.Errorf("leaks %+v", leaks)
		}
		release(t, l)
	})
}

func TestCheckThatEndsItsGoroutineLosesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.HealthInterval(time.Second), core.CheckAfter(-1), core.MaxActive(1))
		warm(t, p, 1)
		var ended atomic.Bool
		f.conns()[0].fails(func(context.Context) error {
			ended.Store(true)
			runtime.Goexit()
			return nil
		})
		time.Sleep(5 * time.Second)
		if !ended.Load() {
			t.Fatal("the check did not run; the test shows nothing")
		}
		f.wantCounts(1, 1)
		release(t, get(t, p))
	})
}
