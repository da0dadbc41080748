package core_test

import (
	"context"
	"errors"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestCloseWakesThoseWhoWaitAndWaitsForLeasesAndDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(1))
		l := get(t, p, core.WithEndpoint("a:1"))
		f.server("b:1").dialed(func(context.Context) error { // slow to notice
			time.Sleep(3 * time.Second)
			return nil
		})
		waiting := []<-chan result[*link]{background(t.Context(), p), background(t.Context(), p, core.WithEndpoint("a:1")), background(t.Context(), p)}
		synctest.Wait()

		closed := make(chan error, 1)
		begun := time.Now()
		go func() { closed <- p.Close(context.Background()) }()
		synctest.Wait()
		for _, w := range waiting {
			if e := failed(t, w); !errors.Is(e, core.ErrClosed) {
				t.Errorf("error %v, want ErrClosed", e)
			}
		}
		for _, opts := range [][]core.CallOption{nil, {core.WithEndpoint("a:1")}, {core.WithEndpoint("nowhere:1")}, {core.WithKey("k")}} {
			if _, err := p.Get(t.Context(), opts...); !errors.Is(err, core.ErrClosed) {
				t.Errorf("error %v, want ErrClosed", err)
			}
		}
		time.Sleep(2 * time.Second)
		if l.Conn().closed.Load() {
			t.Error("a leased connection was closed")
		}
		release(t, l)
		synctest.Wait()
		f.wantCounts(1, 1)
		select {
		case err := <-closed:
			t.Errorf("closed with %v before the dial ended", err)
		default:
		}
		if err := <-closed; err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("closed with %v after %v, want nil after 3s", err, time.Since(begun))
		}
		f.wantCounts(2, 2)
	})
}

func TestCloseMayBeCalledAgainAndAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		l := get(t, p)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := p.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		release(t, l)
		wg.Wait()
		for range 3 {
			if err := p.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Close(over); err != nil {
			t.Errorf("close of a closed pool: %v", err)
		}
		f.wantCounts(1, 1)
	})
}

func TestCloseBoundedByItsContextCutsWhatIsStillLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxConcurrentCalls(2))
		two := make([]core.Lease[*link], 2)
		for i := range two {
			two[i], _ = p.Get(t.Context())
		}
		begun := time.Now()
		err := p.Close(within(t, time.Second))
		if d := time.Since(begun); d != time.Second || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 connections leased") {
			t.Errorf("closed with %v after %v, want the context's error and 2 leases after 1s", err, d)
		}
		synctest.Wait()
		f.wantCounts(1, 1)
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("closed again: %v", err)
		}
		// Their ends are late and yet the first, and harm nobody.
		if err := two[0].Release(); err != nil {
			t.Error(err)
		}
		if err := two[1].Discard(nil); err != nil {
			t.Error(err)
		}
		for _, l := range two {
			if err := l.Release(); !errors.Is(err, core.ErrStaleLease) {
				t.Error(err)
			}
		}
		synctest.Wait()
		f.wantCounts(1, 1)
	})
}

func TestCloseSaysThatADialerHasNotReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		over := make(chan struct{})
		f.server("a:1").dialed(stuck(over))
		p := f.pool()
		_, _ = p.Get(within(t, time.Millisecond))
		for range 2 {
			begun := time.Now()
			err := p.Close(within(t, time.Second))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 being dialed") || time.Since(begun) != time.Second {
				t.Errorf("closed with %v after %v, want the context's error and 1 dial after 1s", err, time.Since(begun))
			}
		}
		close(over)
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseSaysThatAConnectionHasNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		over := make(chan struct{})
		l := get(t, p)
		l.Conn().onClose = func() { <-over }
		release(t, l)
		err := p.Close(within(t, time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 being closed") {
			t.Errorf("closed with %v, want the context's error and 1 being closed", err)
		}
		close(over)
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// In a bubble each test shows that. This one shows it of goroutines outside,
// which a label finds: it passes to all that they start.
func TestClosedPoolLeavesNoGoroutine(t *testing.T) {
	count := func() int {
		var all strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		return strings.Count(all.String(), t.Name()+`"}`)
	}
	pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(ctx context.Context) {
		f := newFleet(t, "a:1", "b:1", "down:1")
		f.server("down:1").dialed(refuse)
		p, err := core.New(f, f, core.MinIdle(2), core.LeakDetectionThreshold(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"a:1", "b:1", "down:1"} {
			if l, err := p.Get(ctx, core.WithEndpoint(a)); err == nil {
				defer l.Release()
			}
		}
		if n := count(); n < 3 { // this one, the watch, the janitor
			t.Errorf("%d goroutines; the test shows nothing", n)
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		_ = p.Close(over) // cuts the leases
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	// A goroutine that was waited for is about to end, not always gone.
	for range 1000 {
		if count() == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines are left", count())
}

// In one instant a connection becomes idle and the pool is drained: one of the
// two must see the other.
func TestReleaseThatMeetsACloseLeavesNothingOpen(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1")
			p := f.pool(core.MaxActive(48))
			all := getMany(t, p, 48)
			begun := time.Now()
			var begin atomic.Bool
			var wg sync.WaitGroup
			wg.Go(func() {
				for !begin.Load() {
				}
				release(t, all...)
			})
			begin.Store(true)
			if err := p.Close(within(t, time.Minute)); err != nil || time.Since(begun) != 0 {
				t.Errorf("closed with %v after %v", err, time.Since(begun))
			}
			wg.Wait()
		})
		if t.Failed() {
			break
		}
	}
}

func TestConnectionThatPanicsOrEndsItsGoroutineOnCloseLosesNoPlace(t *testing.T) {
	for name, how := range map[string]func(){"panic": func() { panic("on close") }, "end": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxActive(1), core.MaxTotal(1))
				for range 5 {
					l := get(t, p)
					l.Conn().onClose = how
					l.Conn().unuse()
					if err := l.Discard(nil); err != nil {
						t.Error(err)
					}
				}
				release(t, get(t, p))
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestReleaseNeverWaitsForACloseOrADial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(slow(time.Second))
		p := f.pool(core.MaxActive(2), core.MaxIdle(1))
		two := getMany(t, p, 2)
		begun := time.Now()
		for _, l := range two {
			l.Conn().onClose = func() { time.Sleep(time.Second) }
		}
		release(t, two...) // one is closed
		l := get(t, p)
		l.Conn().unuse()
		_ = l.Discard(nil)
		p.Reset()
		if d := time.Since(begun); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// In another pool calls stood still while idle connections were replaced.
func TestIdleConnectionsThatAreSlowToCloseHoldUpNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(3), core.IdleTimeout(10*time.Second))
		for _, a := range []string{"a:1", "b:1"} {
			two := getMany(t, p, 2, core.WithEndpoint(a))
			for _, l := range two {
				l.Conn().onClose = func() { time.Sleep(time.Hour) }
			}
			release(t, two...)
		}
		time.Sleep(15 * time.Second)
		if a, b := endpointStats(t, p, "a:1"), endpointStats(t, p, "b:1"); a.Closing != 2 || b.Closing != 2 {
			t.Fatalf("%+v and %+v: want 2 being closed at each", a, b)
		}
		begun := time.Now()
		release(t, get(t, p, core.WithEndpoint("a:1")), get(t, p, core.WithEndpoint("b:1")))
		if d := time.Since(begun); d != 0 {
			t.Errorf("the calls took %v", d)
		}
		time.Sleep(15 * time.Second) // the sweep goes on: these are found idle too
		if st := endpointStats(t, p, "a:1"); st.Open != 0 || st.Closed != 1 {
			t.Errorf("%+v, want the third closed", st)
		}
		time.Sleep(time.Hour)
	})
}

func TestCloseOfAPoolThatKnowsNoServerYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		p := f.pool()
		waiting := background(t.Context(), p)
		synctest.Wait()
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if e := failed(t, waiting); !errors.Is(e, core.ErrClosed) {
			t.Errorf("error %v, want ErrClosed", e)
		}
		if err := p.WaitReady(t.Context()); !errors.Is(err, core.ErrClosed) {
			t.Errorf("wait for a closed pool: %v", err)
		}
	})
}

func TestResetClosesIdleConnectionsAtOnceAndLeasedOnesWithTheirLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(3))
		three := getMany(t, p, 3)
		release(t, three[1:]...)
		p.Reset()
		synctest.Wait()
		f.wantCounts(3, 2)
		next := getMany(t, p, 2) // opened as they are needed
		third := background(t.Context(), p)
		synctest.Wait()
		waits(t, third)
		release(t, three[0])
		synctest.Wait()
		l := served(t, third) // on a new connection: the released one is closed
		f.wantCounts(6, 3)
		release(t, l)
		release(t, next...)
		time.Sleep(time.Second)
		f.wantCounts(6, 3)
	})
}

func TestWaitReadyWaitsForAServerThatCanBeDialed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.server("a:1").dialed(refuse)
		p := f.pool(core.RemovalGrace(0))
		begun := time.Now()
		if err := p.WaitReady(within(t, time.Second)); !errors.Is(err, core.ErrNoEndpoint) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no set is known: %v", err)
		}
		ready := make(chan error, 1)
		go func() { ready <- p.WaitReady(t.Context()) }()
		for _, set := range [][]string{{}, {"a:1"}} { // known to be empty, then down
			f.report(set...)
			time.Sleep(10 * time.Second)
			select {
			case err := <-ready:
				t.Fatalf("ready with %q: %v", set, err)
			default:
			}
		}
		if err := p.WaitReady(within(t, time.Second)); !errors.Is(err, core.ErrUnavailable) || !errors.Is(err, errRefused) {
			t.Errorf("the server is down: %v", err)
		}
		f.server("a:1").dialed(nil)
		if err := <-ready; err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d > 30*time.Second {
			t.Errorf("ready after %v", d)
		}
		if st := endpointStats(t, p, "a:1"); st.Idle != 1 {
			t.Errorf("%+v, want one idle connection", st)
		}
	})
}

func TestErrorOfWaitReadyNamesTheDoctorOfRegistriesOnceAndThoseOfCallsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.server("a:1").dialed(refuse)
		p := f.pool(core.RemovalGrace(0))
		if err := p.WaitReady(within(t, time.Second)); strings.Count(err.Error(), discovery.Doctor) != 1 {
			t.Errorf("no set is known: %v", err)
		}
		if _, err := p.Get(within(t, time.Second)); strings.Contains(err.Error(), discovery.Doctor) {
			t.Errorf("a call: %v", err)
		}
		f.report("a:1")
		if err := p.WaitReady(within(t, time.Second)); !errors.Is(err, core.ErrUnavailable) || strings.Contains(err.Error(), discovery.Doctor) {
			t.Errorf("the registry is well, a server is down: %v", err)
		}
	})
}

func TestWaitReadyEndsWhenThePoolIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, addrs := range [][]string{nil, {"a:1"}} {
			f := newFleet(t, addrs...)
			f.server("a:1").dialed(refuse)
			p := f.pool()
			ready := make(chan error, 1)
			go func() { ready <- p.WaitReady(t.Context()) }()
			time.Sleep(10 * time.Second)
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-ready; !errors.Is(err, core.ErrClosed) {
				t.Errorf("error %v, want ErrClosed", err)
			}
		}
	})
}

func TestCloseCountsConnectionsOfEndpointsThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.RemovalGrace(0), core.DrainTimeout(time.Hour))
		onA, onB := get(t, p, core.WithEndpoint("a:1")), get(t, p, core.WithEndpoint("b:1"))
		f.report("b:1")
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Close(over); err == nil || !strings.Contains(err.Error(), "2 connections leased") {
			t.Errorf("error %v, want one that counts both leases", err)
		}
		onA.Conn().unuse()
		onB.Conn().unuse()
	})
}

// That a dial is overdue is seen by a timer, beside the dial itself.
func TestCloseWaitsForAnObserverThatIsToldOfAnOverdueDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		var busy, first atomic.Bool
		first.Store(true)
		p := f.pool(core.DialTimeout(time.Second), core.WithObserver(func(ev core.Event) {
			if ev.Kind == core.EventDialFailed && first.Swap(false) {
				busy.Store(true)
				time.Sleep(time.Second)
				busy.Store(false)
			}
		}))
		f.server("a:1").dialed(func(context.Context) error {
			if first.Load() {
				time.Sleep(1500 * time.Millisecond) // in the midst of that
			}
			return errRefused
		})
		_, _ = p.Get(within(t, 1700*time.Millisecond))
		if !busy.Load() {
			t.Error("the observer is done; the test shows nothing")
		}
		if err := p.Close(within(t, time.Minute)); err != nil || busy.Load() {
			t.Errorf("closed with %v, and the observer is busy: %v", err, busy.Load())
		}
	})
}
