package core_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

func TestLowerMaxActiveDrainsWithoutTakingALeaseAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(10))
		leased := getMany(t, p, 6)
		warm(t, p, 4) // idle ones beside them
		if err := p.Set(core.MaxActive(3)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.wantCounts(10, 4) // the idle ones
		waiting := background(t.Context(), p)
		waits(t, waiting)
		for i, l := range leased {
			if l.Conn().closed.Load() {
				t.Errorf("lease %d lost its connection", i)
			}
		}
		release(t, leased[:3]...)
		synctest.Wait()
		release(t, leased[3:]...)
		release(t, served(t, waiting))
		synctest.Wait()
		if st := endpointStats(t, p, "a:1"); st.Open != 3 || st.Idle != 3 {
			t.Errorf("%d open, %d idle; want 3", st.Open, st.Idle)
		}
		if err := p.Set(core.MaxActive(3)); err != nil { // nothing is left to drain
			t.Fatal(err)
		}
		synctest.Wait()
		f.wantCounts(10, 7)
	})
}

func TestHigherMaxActiveServesCallsThatWait(t *testing.T) {
	for _, most := range []int{5, 60, 200} { // beyond what one word of slots holds
		synctest.Test(t, func(t *testing.T) {
			p := newFleet(t, "a:1").pool(core.MaxActive(1), core.MaxConcurrentDials(math.MaxInt))
			leased := getMany(t, p, 1)
			var waiting []<-chan result[*link]
			for range most - 1 {
				waiting = append(waiting, background(t.Context(), p))
				synctest.Wait() // in this order
			}
			last := background(t.Context(), p)
			synctest.Wait()
			if err := p.Set(core.MaxActive(most)); err != nil {
				t.Fatal(err)
			}
			for _, w := range waiting {
				leased = append(leased, served(t, w))
			}
			waits(t, last)
			release(t, leased...)
			release(t, served(t, last))
			if st := endpointStats(t, p, "a:1"); st.Idle != most {
				t.Errorf("%d idle, want %d", st.Idle, most)
			}
			release(t, getMany(t, p, most)...)
		})
	}
}

func TestLowerMaxTotalDrainsIdleConnectionsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool()
		leased := getMany(t, p, 3, core.WithEndpoint("a:1"))
		warm(t, p, 3, core.WithEndpoint("b:1"))
		if err := p.Set(core.MaxTotal(2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.wantCounts(6, 3)
		release(t, leased...)
		synctest.Wait()
		f.wantCounts(6, 4)
		l := get(t, p, core.WithEndpoint("b:1")) // which takes the place of an idle one
		release(t, l)
		if err := p.Set(core.MaxTotal(0)); err != nil {
			t.Fatal(err)
		}
		release(t, getMany(t, p, 10)...)
	})
}

// TestDialsUnderWayWhenALimitIsLoweredDoNotExceedIt lowers it while dials hang.
func TestDialsUnderWayWhenALimitIsLoweredDoNotExceedIt(t *testing.T) {
	for name, lower := range map[string]core.Option{"MaxActive": core.MaxActive(2), "MaxTotal": core.MaxTotal(2)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				f.server("a:1").dialed(slow(time.Second))
				p := f.pool(core.MaxConcurrentDials(10))
				var waiting []<-chan result[*link]
				for range 6 {
					waiting = append(waiting, background(t.Context(), p))
					synctest.Wait() // in this order
				}
				if err := p.Set(lower); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				for _, w := range waiting { // two at a time, and no call is lost
					synctest.Wait()
					if st := endpointStats(t, p, "a:1"); st.Open > 2 {
						t.Fatalf("%d connections are open", st.Open)
					}
					r := <-w
					if r.err != nil {
						t.Fatal(r.err)
					}
					r.lease.Conn().unuse()
					if err := r.lease.Release(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestCallWhoseDialALowerLimitTookLooksElsewhereAtOnce waits for a dial at one
// server whose connection, when it comes, is one too many.
func TestCallWhoseDialALowerLimitTookLooksElsewhereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(2), core.WithBalancer(preferring("a:1")))
		held := get(t, p)
		f.server("a:1").dialed(slow(100 * time.Millisecond))
		waiting := background(t.Context(), p)
		waits(t, waiting)
		if err := p.Set(core.MaxActive(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		l := served(t, waiting)
		if l.Endpoint().Addr != "b:1" {
			t.Errorf("led to %s", l.Endpoint().Addr)
		}
		if st := endpointStats(t, p, "a:1"); st.Dials != 2 || st.Closed != 1 || st.Open != 1 {
			t.Errorf("%d dials, %d closed, %d open", st.Dials, st.Closed, st.Open)
		}
		release(t, held, l)
	})
}

// TestServerWhoseDialALowerLimitTookIsUp: what it answered counts, even if its
// connection is one too many.
func TestServerWhoseDialALowerLimitTookIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.server("a:1").dialed(refuse)
		p := f.pool(core.MinIdle(1))
		synctest.Wait()
		held := get(t, p)
		if !endpointStats(t, p, "a:1").Down {
			t.Fatal("a:1 is not down")
		}
		f.server("a:1").dialed(slow(5 * time.Second))
		for endpointStats(t, p, "a:1").Dialing == 0 { // its back-off ends
			time.Sleep(time.Millisecond)
		}
		if err := p.Set(core.MaxTotal(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if st := endpointStats(t, p, "a:1"); st.Down || st.LastDial != nil || st.Open != 0 {
			t.Errorf("down %v, last dial %v, %d open", st.Down, st.LastDial, st.Open)
		}
		release(t, held)
	})
}

func TestOtherLimitsChangeWhileThePoolRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.IdleTimeout(time.Hour))
		warm(t, p, 4)
		set := func(opts ...core.Option) {
			t.Helper()
			if err := p.Set(opts...); err != nil {
				t.Fatal(err)
			}
		}
		set(core.MaxIdle(2)) // idle ones beyond it stay; what is released is closed
		release(t, get(t, p))
		synctest.Wait()
		f.wantCounts(4, 1)
		set(core.MaxIdle(0), core.MinIdle(6))
		synctest.Wait()
		f.wantCounts(7, 1)
		set(core.MinIdle(0), core.IdleTimeout(20*time.Millisecond)) // and the sweeps come sooner
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		f.wantCounts(7, 7)
		f.server("a:1").dialed(hang)
		set(core.DialTimeout(time.Second))
		begun := time.Now()
		if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrUnavailable) || time.Since(begun) > 2*time.Second {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
	})
}

func TestSetTimeAndAgainDoesNotKeepIdleConnectionsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.IdleTimeout(time.Minute))
		warm(t, p, 4)
		for range 4 * 60 { // more often than there are sweeps
			if err := p.Set(core.MaxActive(10)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second / 4)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		f.wantCounts(4, 4)
	})
}

func TestSetChangesAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(2))
		for _, c := range []struct {
			opts []core.Option
			want string
		}{
			{[]core.Option{core.MaxActive(9), core.MinIdle(-1)}, "MinIdle(-1): must not be negative"},
			{[]core.Option{core.MaxActive(0)}, "MaxActive(0): must be at least 1"},
			{[]core.Option{core.MaxActive(9), core.MinIdle(10)}, "MinIdle(10): more than MaxActive(9)"},
			{[]core.Option{core.MaxActive(1 << 14)}, "more than 16383 callers"},
			{[]core.Option{core.MaxActive(9), nil}, "option 2 is nil"},
			{[]core.Option{core.MaxActive(9), core.MaxConcurrentCalls(2)}, "MaxConcurrentCalls cannot change while the pool runs"},
			{[]core.Option{core.MaxActive(9), core.WithBalancer(balance.Random())}, "WithBalancer cannot change"},
			{[]core.Option{core.MaxActive(9), core.WithOutlierDetection(outlier.Config{})}, "WithOutlierDetection cannot change"},
			{[]core.Option{core.MaxActive(9), core.WithoutOutlierDetection()}, "WithoutOutlierDetection cannot change"},
			{[]core.Option{core.MaxActive(9), core.WithObserver(nil)}, "WithObserver cannot change"},
			{[]core.Option{core.MaxActive(9), core.WithClassifier(core.Classify)}, "WithClassifier cannot change"},
			{[]core.Option{core.MaxActive(9), core.RemovalGrace(0)}, "RemovalGrace cannot change"},
		} {
			if err := p.Set(c.opts...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		}
		both := getMany(t, p, 2)
		waiting := background(t.Context(), p)
		waits(t, waiting) // the limit is as it was
		release(t, both...)
		release(t, served(t, waiting))
	})
}

func TestObserverMayCallSet(t *testing.T) {
	f := newFleet(t, "a:1", "b:1") // in no bubble: there, a lock that nobody frees stops the clock
	var p *core.Pool[*link]
	p = f.pool(core.WithObserver(func(e core.Event) {
		if e.Kind == core.EventEndpointDown {
			if err := p.Set(core.MaxActive(2)); err != nil {
				t.Error(err)
			}
		}
	}))
	for _, a := range []string{"a:1", "b:1"} { // each has one connection, and dials fail
		warm(t, p, 1, core.WithEndpoint(a))
		l := get(t, p, core.WithEndpoint(a))
		f.server(a).dialed(refuse)
		_, _ = p.Get(within(t, 50*time.Millisecond), core.WithEndpoint(a))
		release(t, l)
	}
	done := make(chan error, 1)
	go func() { done <- p.Set(core.MaxTotal(1)) }() // a server is down after that
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Set does not return")
	}
}

func TestSetOfAClosedPoolDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1").pool()
		warm(t, p, 1)
		closeNow(t, p)
		if err := p.Set(core.MinIdle(5)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

func TestOptionsThatContradictEachOtherAreAnError(t *testing.T) {
	_, err := core.New(newFleet(t), newFleet(t), core.WithOutlierDetection(outlier.Config{}), core.WithoutOutlierDetection(),
		core.MinIdle(5), core.MaxIdle(3), core.WithBalancer(balance.LeastLatency(balance.LeastLatencyConfig{Choices: 99, SlowStart: -1})))
	for _, want := range []string{"contradict each other", "MinIdle(5): more than MaxIdle(3)", "Choices 99", "SlowStart -1ns is negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	_, err = core.New(newFleet(t), newFleet(t), core.WithOutlierDetection(outlier.Config{EvidenceThreshold: math.NaN(), MaxEjectionPercent: 100, BaseEjectionTime: -1}))
	for _, want := range []string{"EvidenceThreshold NaN", "MaxEjectionPercent 100", "BaseEjectionTime -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestReadyAndLenTellWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		p := f.pool()
		if p.Ready() || p.Len() != 0 {
			t.Error("ready before the first set")
		}
		f.report("a:1", "b:1")
		if !p.Ready() || p.Len() != 2 {
			t.Errorf("ready %v, %d endpoints", p.Ready(), p.Len())
		}
		for _, a := range []string{"a:1", "b:1"} {
			f.server(a).dialed(refuse)
			_, _ = p.Get(t.Context(), core.WithEndpoint(a))
		}
		synctest.Wait()
		if p.Ready() || p.Len() != 2 {
			t.Errorf("with all servers down: ready %v, %d endpoints", p.Ready(), p.Len())
		}
	})
}

func TestWaitReadyTellsWhyAndHowLongItWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, up := range []bool{false, true} {
			f := newFleet(t)
			if up {
				f = newFleet(t, "a:1")
				f.server("a:1").dialed(refuse)
			}
			p := f.pool()
			time.Sleep(time.Second)
			err := asError(t, p.WaitReady(within(t, 3*time.Second)))
			if !errors.Is(err, context.DeadlineExceeded) || err.Waited != 3*time.Second {
				t.Errorf("servers %v: it waited %v, error %v", up, err.Waited, err)
			}
			if up && !errors.Is(err, errRefused) {
				t.Errorf("the error does not say why: %v", err)
			}
		}
	})
}
