package core_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

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
		p := pool(core.ValidateAfterIdle(10*time.Second), core.HealthCheckInterval(0), core.IdleTimeout(0))
		time.Sleep(time.Second / 2) // between two sweeps
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
		p := pool(core.ValidateAfterIdle(0), core.MaxActive(1))
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
		p := pool(core.ValidateAfterIdle(-1), core.HealthCheckInterval(0), core.IdleTimeout(0))
		time.Sleep(time.Second / 2) // between two sweeps
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
				p := pool(core.ValidateAfterIdle(0), core.MaxActive(2))
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

// TestCallWhoseConnectionFailedItsCheckKeepsItsTurn many times: the next call has
// but an instant to overtake.
func TestCallWhoseConnectionFailedItsCheckKeepsItsTurn(t *testing.T) {
	for range 500 {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1")
			p := f.peekPool(core.ValidateAfterIdle(0), core.MaxActive(1))
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
		if t.Failed() {
			return
		}
	}
}

func TestCheckBeforeALeaseLastsAsLongAsTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.ValidateAfterIdle(0), core.MaxActive(1), core.HealthCheckInterval(0), core.DialTimeout(2*time.Second))
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
		// And no longer than a dial may take.
		f.conns()[1].fails(hang)
		begun = time.Now()
		release(t, get(t, p))
		if d := time.Since(begun); d != 2*time.Second {
			t.Errorf("the call took %v, want 2s", d)
		}
		synctest.Wait()
		f.wantCounts(3, 2)
	})
}

func TestIdleConnectionsAreCheckedInTheBackground(t *testing.T) {
	for name, outcome := range map[string]func(context.Context) error{
		"an error": func(context.Context) error { return errors.New("the peer has closed") },
		"a panic":  func(context.Context) error { panic("in the check") },
	} {
		t.Run(name, func(t *testing.T) {
			checked(t, func(t *testing.T, f *fleet, pool func(...core.Option) checkedPool) {
				p := pool(core.HealthCheckInterval(10*time.Second), core.IdleTimeout(0))
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
		p := f.healthPool(core.HealthCheckInterval(0), core.IdleTimeout(0))
		warm(t, p, 1)
		time.Sleep(time.Hour)
		if n := f.conns()[0].checks.Load(); n != 0 {
			t.Errorf("%d checks", n)
		}
	})
}

func TestSlowHealthChecksHoldOneConnectionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.MaxActive(4), core.ValidateAfterIdle(-1), core.HealthCheckInterval(10*time.Second), core.DialTimeout(2*time.Second))
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
		p := pool(core.HealthCheckInterval(time.Second), core.ValidateAfterIdle(-1), core.IdleTimeout(time.Minute), core.MaxActive(2))
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

func TestCheckThatEndsItsGoroutineLosesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.healthPool(core.HealthCheckInterval(time.Second), core.ValidateAfterIdle(-1), core.MaxActive(1))
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
