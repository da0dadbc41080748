package core_test

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestCallTakesAConnectionThatComesBackWhileItsDialRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(2))
		l := get(t, p)
		f.server("a:1").dialed(slow(100 * time.Millisecond))
		waiting := background(t.Context(), p)
		time.Sleep(50 * time.Millisecond)
		waits(t, waiting)
		release(t, l)
		synctest.Wait()
		second := served(t, waiting)
		if second.Conn() != l.Conn() {
			t.Error("the call was served by another connection than the one that came back")
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if st := endpointStats(t, p, "a:1"); st.Idle != 1 || st.InUse != 1 {
			t.Errorf("%d idle and %d in use, want the late connection idle and one in use", st.Idle, st.InUse)
		}
		release(t, second)
	})
}

func TestDialOfACallThatGaveUpLandsInThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(slow(time.Second))
		p := f.pool()
		begun := time.Now()
		_, err := p.Get(within(t, 10*time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 10*time.Millisecond {
			t.Errorf("error %v after %v, want the context's after 10ms", err, time.Since(begun))
		}
		time.Sleep(time.Second)
		if st := endpointStats(t, p, "a:1"); st.Idle != 1 || st.Dials != 1 || st.Dialing != 0 {
			t.Errorf("%+v, want one idle connection of one dial", st)
		}
		begun = time.Now()
		release(t, get(t, p))
		if d := time.Since(begun); d != 0 {
			t.Errorf("the next call took %v", d)
		}
		f.wantCounts(1, 0)
	})
}

func TestDialKnowsTheServerAndItsTimeoutAndNothingOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		f := newFleet(t)
		f.first = []core.Endpoint{{Addr: "a:1", Zone: "z", Weight: 2, Attrs: map[string]string{"k": "v"}}}
		p := newPool(f, core.DialFunc[*link](func(ctx context.Context, e core.Endpoint) (*link, error) {
			deadline, ok := ctx.Deadline()
			if d := time.Until(deadline); !ok || d != 7*time.Second || ctx.Value(key{}) != nil {
				t.Errorf("the dial has %v and the value %v of its caller", d, ctx.Value(key{}))
			}
			if !e.Equal(f.first[0]) {
				t.Errorf("the dial is for %+v", e)
			}
			err := sleep(ctx, time.Second)
			if err != nil {
				t.Errorf("the dial was ended: %v", err)
			}
			return f.Dial(ctx, e)
		}), core.DialTimeout(7*time.Second))
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
		gone := background(ctx, p)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if e := failed(t, gone); !errors.Is(e, context.Canceled) {
			t.Error(e)
		}
		release(t, get(t, p))
	})
}

func TestDialThatFailsSendsAllThatWaitedForItElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.server("a:1").dialed(func(ctx context.Context) error {
			_ = sleep(ctx, 100*time.Millisecond)
			return errRefused
		})
		p := f.pool(core.WithBalancer(preferring("a:1")))
		var waiting []<-chan result[*link]
		for range 10 {
			waiting = append(waiting, background(t.Context(), p))
		}
		time.Sleep(99 * time.Millisecond)
		if dials, _ := f.server("a:1").seen(); dials != 4 {
			t.Errorf("%d dials of the preferred server, want 4", dials)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		for _, w := range waiting {
			l := served(t, w)
			if a := l.Endpoint().Addr; a != "b:1" {
				t.Errorf("served by %s", a)
			}
			defer release(t, l)
		}
	})
}

func TestDialThatHangsSendsTheCallElsewhereAfterAQuarterOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.server("a:1").dialed(hang)
		p := f.pool(core.WithBalancer(preferring("a:1")))
		begun := time.Now()
		l := get(t, p)
		if d := time.Since(begun); d != 250*time.Millisecond || l.Endpoint().Addr != "b:1" {
			t.Errorf("served by %s after %v, want b:1 after 250ms", l.Endpoint().Addr, d)
		}
		release(t, l)
	})
}

// One call's worth of servers hangs: each is given its time, in turn, and one
// that was given up is asked again when there is no other.
func TestCallGoesFromOneHangingDialToTheNextAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.server("a:1").dialed(slow(600 * time.Millisecond))
		f.server("b:1").dialed(func(ctx context.Context) error {
			_ = sleep(ctx, 100*time.Millisecond)
			return errRefused
		})
		p := f.pool(core.WithBalancer(preferring("a:1")))
		begun := time.Now()
		l := get(t, p)
		if d := time.Since(begun); d != 600*time.Millisecond || l.Endpoint().Addr != "a:1" {
			t.Errorf("served by %s after %v, want a:1 after 600ms", l.Endpoint().Addr, d)
		}
		release(t, l)
	})
}

func TestPlaceThatBecomesFreeIsDialedForTheCallThatHasNoDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			f := newFleet(t, "a:1", "b:1")
			p := f.pool(core.MaxActive(2))
			onA := getMany(t, p, 2, core.WithEndpoint("a:1"))
			f.server("b:1").dialed(slow(200 * time.Millisecond))
			begun := time.Now()
			var waiting []<-chan result[*link]
			for range 3 { // two have a dial each, the third has none
				waiting = append(waiting, background(t.Context(), p))
				synctest.Wait()
			}
			f.server("a:1").dialed(slow(10 * time.Millisecond))
			onA[0].Conn().unuse()
			_ = onA[0].Discard(nil)
			first := <-waiting[0]
			if d := time.Since(begun); d != 10*time.Millisecond {
				t.Fatalf("a place that became free was used after %v, want a dial of 10ms", d)
			}
			release(t, first.lease, onA[1])
			for _, w := range waiting[1:] {
				release(t, (<-w).lease)
			}
		}
	})
}

func TestDialIsCutAtItsTimeoutAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(hang)
		p := f.pool(core.DialTimeout(2 * time.Second))
		begun := time.Now()
		_, err := p.Get(t.Context())
		if d := time.Since(begun); d != 2*time.Second {
			t.Errorf("the dial was cut after %v, want 2s", d)
		}
		if !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), "core: dial a:1: context deadline exceeded") {
			t.Errorf("error %v, want ErrUnavailable and the dial's", err)
		}
		f.server("a:1").dialed(nil)
		time.Sleep(time.Second)
		release(t, get(t, p))
		if dials, _ := f.server("a:1").seen(); dials != 2 {
			t.Errorf("%d dials, want 2", dials)
		}
	})
}

func TestServerThatIsDownIsDialedRarelyAndFoundSoonWhenItIsBack(t *testing.T) {
	for _, outage := range []time.Duration{10 * time.Second, time.Minute, time.Hour} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				f.server("a:1").dialed(refuse)
				j := new(journal)
				p := f.pool(core.WithObserver(j.Observe))
				begun := time.Now()
				for time.Since(begun) < outage {
					_, err := p.Get(t.Context())
					if !errors.Is(err, core.ErrUnavailable) || !errors.Is(err, errRefused) {
						t.Fatalf("error %v, want ErrUnavailable and the dial's", err)
					}
					time.Sleep(outage / 1000)
				}
				// Once per eighth of the outage so far, at most every 10 s.
				if dials, _ := f.server("a:1").seen(); dials > 70+int(outage/(8*time.Second)) {
					t.Errorf("%d dials during an outage of %v", dials, outage)
				}
				f.server("a:1").dialed(nil)
				time.Sleep(min(outage*14/100, 11*time.Second))
				synctest.Wait()
				if st := endpointStats(t, p, "a:1"); st.Down || st.Idle != 1 || st.LastDial != nil {
					t.Errorf("%+v, want it up with a connection", st)
				}
				if down, up := j.of(core.EventEndpointDown), j.of(core.EventEndpointUp); len(down) != 1 || len(up) != 1 || !errors.Is(down[0].Err, errRefused) {
					t.Errorf("events %+v and %+v, want one of each", down, up)
				}
			})
		})
	}
}

// The back-off after an outage of a minute was chosen while there was another server.
// When that goes down, too, whoever is back is found with one dial.
func TestServersThatAreDownAreTriedAtOnceWhenTheLastOneGoes(t *testing.T) {
	for _, back := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1", "b:1")
			f.server("a:1").dialed(refuse)
			p := f.pool()
			if failed := load(t, time.Minute, func(ctx context.Context) error {
				return p.Do(ctx, func(context.Context, *link) error { return nil })
			}); failed > 0 {
				t.Errorf("%d calls fail while one server is down", failed)
			}
			if back {
				f.server("a:1").dialed(nil)
			}
			f.server("b:1").dialed(refuse)
			before, _ := f.server("a:1").seen()
			for endpointStats(t, p, "b:1").Idle > 0 { // each breaks as it is used
				_ = p.Do(t.Context(), func(context.Context, *link) error { return io.EOF }, core.WithEndpoint("b:1"))
			}
			_, _ = p.Get(t.Context(), core.WithEndpoint("b:1")) // finds it down
			synctest.Wait()
			if dials, _ := f.server("a:1").seen(); dials != before+1 {
				t.Errorf("%d dials of the other server", dials-before)
			}
			if l, err := p.Get(t.Context()); back != (err == nil) {
				t.Errorf("it is back: %v, and the next call: %v", back, err)
			} else if err == nil {
				_ = l.Release()
			}
			time.Sleep(20 * time.Millisecond)
			if dials, _ := f.server("a:1").seen(); dials != before+1 {
				t.Errorf("%d dials of the other server in 20ms", dials-before)
			}
		})
	}
}

func TestServerThatIsBackServesAllThatWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(8))
		l := get(t, p)
		f.server("a:1").dialed(refuse)
		var waiting []<-chan result[*link]
		for range 5 {
			waiting = append(waiting, background(t.Context(), p))
			synctest.Wait()
		}
		f.server("a:1").dialed(nil)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		all := []core.Lease[*link]{l}
		for _, w := range waiting { // none of them depends on a release
			all = append(all, served(t, w))
		}
		release(t, all...)
	})
}

func TestServerThatFailedIsTriedWithOneDialAndNotWithABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(20))
		l := get(t, p)
		failing := func(ctx context.Context) error {
			_ = sleep(ctx, 10*time.Millisecond)
			return errRefused
		}
		f.server("a:1").dialed(failing)
		var waiting []<-chan result[*link]
		for range 10 {
			waiting = append(waiting, background(t.Context(), p))
		}
		time.Sleep(20 * time.Millisecond)
		s := f.server("a:1")
		f.mu.Lock()
		s.mostDialing = 0
		f.mu.Unlock()
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		if s.mostDialing != 1 {
			t.Errorf("%d dials at a time of a server that failed, want 1", s.mostDialing)
		}
		f.mu.Unlock()
		f.server("a:1").dialed(slow(10 * time.Millisecond))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		all := []core.Lease[*link]{l}
		for _, w := range waiting {
			all = append(all, served(t, w))
		}
		release(t, all...)
	})
}

func TestDialerThatMisbehavesLosesNoPlaceAndIsNamed(t *testing.T) {
	for _, c := range []struct {
		name, want string
		dial       func() (*link, error)
	}{
		{"panic", "the dialer panicked: at 3 o'clock", func() (*link, error) { panic("at 3 o'clock") }},
		{"nothing", "nil connection", func() (*link, error) { return nil, nil }},
		{"end of its goroutine", "ended its goroutine", func() (*link, error) { runtime.Goexit(); return nil, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				var good atomic.Bool
				p := newPool(f, core.DialFunc[*link](func(ctx context.Context, e core.Endpoint) (*link, error) {
					if good.Load() {
						return f.Dial(ctx, e)
					}
					return c.dial()
				}), core.MaxActive(1), core.MaxTotal(1), core.MaxConcurrentDials(1))
				for range 5 {
					_, err := p.Get(t.Context())
					if !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), "a:1") || !strings.Contains(err.Error(), c.want) {
						t.Errorf("error %v, want ErrUnavailable, a:1 and %q", err, c.want)
					}
					time.Sleep(time.Minute)
				}
				good.Store(true)
				time.Sleep(time.Minute)
				release(t, get(t, p))
			})
		})
	}
}

// A nil connection of an interface type, without and with a type inside.
func TestNilConnectionOfAnInterfaceIsAnError(t *testing.T) {
	for _, c := range []user{nil, (*link)(nil)} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, "a:1")
			p := newPool(f, core.DialFunc[user](func(context.Context, core.Endpoint) (user, error) { return c, nil }))
			if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), "nil connection") {
				t.Errorf("error %v, want ErrUnavailable that tells of a nil connection", err)
			}
		})
	}
}

func TestDialerThatIgnoresItsContextHoldsUpNoCallAndNoOtherDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		over := make(chan struct{})
		f.server("a:1").dialed(stuck(over))
		p := f.pool(core.DialTimeout(time.Second), core.MaxConcurrentDials(3))
		begun := time.Now()
		_, err := p.Get(t.Context())
		if d := time.Since(begun); d > 1100*time.Millisecond {
			t.Errorf("the call waited for %v", d)
		}
		if !errors.Is(err, core.ErrUnavailable) || !strings.Contains(err.Error(), "a:1") || !strings.Contains(err.Error(), "not returned") {
			t.Errorf("error %v, want ErrUnavailable, a:1, and that the dialer has not returned", err)
		}
		f.server("a:1").dialed(nil)
		time.Sleep(time.Second)
		release(t, get(t, p))
		if st := endpointStats(t, p, "a:1"); st.Open != 1 || st.Dialing != 1 {
			t.Errorf("%+v, want one open and one that hangs", st)
		}
		// However many hang, calls fail at once instead of waiting for them.
		f.server("a:1").dialed(stuck(over))
		p.Reset()
		time.Sleep(time.Minute)
		for range 6 {
			_, _ = p.Get(within(t, time.Minute))
			time.Sleep(time.Minute)
		}
		if s := f.server("a:1"); s.mostDialing != 3 {
			t.Errorf("%d dials hang, want no more than MaxDialing", s.mostDialing)
		}
		begun = time.Now()
		if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrUnavailable) || time.Since(begun) != 0 {
			t.Errorf("error %v after %v, want ErrUnavailable at once", err, time.Since(begun))
		}
		close(over)
		f.server("a:1").dialed(nil)
		time.Sleep(time.Minute)
		release(t, get(t, p))
	})
}

func TestLongestDialTimeoutIsNotOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(slow(time.Second))
		p := f.pool(core.DialTimeout(math.MaxInt64))
		release(t, get(t, p))
		if st := endpointStats(t, p, "a:1"); st.DialFailures != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestDialThatReturnsLateMakesRoomForAnother is about MaxConcurrentDials: the place of a dial
// that has not returned in time is free when it does, and calls wait for that.
func TestDialThatReturnsLateMakesRoomForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(3), core.MaxConcurrentDials(2), core.DialTimeout(time.Second))
		late := make(chan struct{})
		f.server("a:1").dialed(func(context.Context) error {
			<-late
			return nil
		})
		first := background(t.Context(), p)
		synctest.Wait()
		f.server("a:1").dialed(nil)
		time.Sleep(3 * time.Second)
		_ = failed(t, first) // its dial is overdue
		leases := getMany(t, p, 1)
		if err := p.Set(core.MaxConcurrentDials(1)); err != nil {
			t.Fatal(err)
		}
		second, third := background(t.Context(), p), background(t.Context(), p)
		waits(t, second)
		waits(t, third)
		close(late)
		leases = append(leases, served(t, second), served(t, third))
		release(t, leases...)
	})
}
