package core_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestWaitingCallsAreServedInTheOrderTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(1))
		held := getMany(t, p, 2)
		var waiting []<-chan result[*link]
		for range 20 {
			waiting = append(waiting, background(t.Context(), p))
			synctest.Wait()
		}
		for i, w := range waiting {
			release(t, held[i%2]) // any endpoint serves the one queue
			synctest.Wait()
			for _, later := range waiting[i+1:] {
				waits(t, later)
			}
			held[i%2] = served(t, w)
		}
		release(t, held...)
	})
}

// The releaser is on a processor and the waiters are not, so it would win each
// time if it were let.
func TestReleaserThatAsksAgainWaitsBehindThoseBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1))
		l := get(t, p)
		first := background(t.Context(), p)
		synctest.Wait()
		release(t, l)
		again := background(t.Context(), p)
		synctest.Wait()
		waits(t, again)
		release(t, served(t, first))
		synctest.Wait()
		release(t, served(t, again))
	})
}

// A connection that was handed to a call is of no use until that call runs.
func TestWaiterRunsAlthoughTheReleaserKeepsTheProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f := newFleet(t, "a:1")
	p := f.pool(core.MaxActive(1))
	ran := 0
	for range 100 {
		l := get(t, p)
		var inUse atomic.Bool
		go func() {
			l, err := p.Get(t.Context())
			if err != nil {
				t.Error(err)
			}
			inUse.Store(true)
			_ = l.Release()
		}()
		for p.Stats().Waiting == 0 {
			runtime.Gosched()
		}
		release(t, l)
		if inUse.Load() {
			ran++
		}
		for !inUse.Load() {
			runtime.Gosched()
		}
	}
	if ran < 90 {
		t.Errorf("of 100 waiters %d ran before the one that released went on", ran)
	}
}

func TestReleasesInOneGoServeAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(4))
		held := getMany(t, p, 8)
		var waiting []<-chan result[*link]
		for range 8 {
			waiting = append(waiting, background(t.Context(), p))
		}
		synctest.Wait()
		release(t, held...)
		synctest.Wait()
		for _, w := range waiting {
			release(t, served(t, w))
		}
	})
}

func TestBurstBeyondCapacityIsServedWithoutIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.most = 3
		p := f.pool(core.MaxActive(3))
		warm(t, p, 6)
		before := p.Stats().Waits
		begun := time.Now()
		var wg sync.WaitGroup
		for range 600 {
			wg.Go(func() { use(t, p, 10*time.Millisecond) })
		}
		wg.Wait()
		if d := time.Since(begun); d != time.Second {
			t.Errorf("600 calls of 10 ms on 6 connections took %v, want 1s", d)
		}
		if st := p.Stats(); st.Waits-before != 594 || st.Waiting != 0 {
			t.Errorf("%d calls waited and %d wait, want 594 and none", st.Waits-before, st.Waiting)
		}
	})
}

// use leases a connection for d.
func use(t *testing.T, p *core.Pool[*link], d time.Duration, opts ...core.CallOption) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
	defer cancel()
	l, err := p.Get(ctx, opts...)
	if err != nil {
		t.Error(err)
		return
	}
	l.Conn().use()
	time.Sleep(d)
	l.Conn().unuse()
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// In another pool 18,000 callers stalled when connections were handed to
// callers whose time was over, one after the other.
func TestStormOfTimeoutsCostsNoThroughput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hold = 10 * time.Millisecond
		f := newFleet(t, "a:1")
		f.most = 2
		p := f.pool(core.MaxActive(2))
		warm(t, p, 2)
		begun := time.Now()
		var used, gaveUp atomic.Int64
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond / 2)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%40)*time.Millisecond)
				defer cancel()
				l, err := p.Get(ctx)
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					gaveUp.Add(1)
					return
				}
				l.Conn().use()
				time.Sleep(hold)
				l.Conn().unuse()
				used.Add(1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// Two connections, busy from the first call to the last.
		if full := int64(2 * time.Since(begun) / hold); used.Load() < full-4 || gaveUp.Load() == 0 {
			t.Errorf("%d calls were served in time for %d, %d gave up", used.Load(), full, gaveUp.Load())
		}
		if n := p.Stats().Waiting; n != 0 {
			t.Errorf("%d calls wait after the last", n)
		}
		begun = time.Now()
		release(t, getMany(t, p, 2)...)
		if d := time.Since(begun); d != 0 {
			t.Errorf("after the storm a call took %v", d)
		}
	})
}

// Time stands still in a bubble while anybody can run. So a wake-up that is
// lost, even one that a timer would make good for, moves the clock.
// The two meet in one instant, in both orders.
func TestCallThatGivesUpReturnsAtOnceAndLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1))
		l := get(t, p)
		begun := time.Now()
		_, err := p.Get(within(t, 3*time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, core.ErrExhausted) {
			t.Errorf("error %v, want the context's and ErrExhausted", err)
		}
		if d := time.Since(begun); d != 3*time.Second {
			t.Errorf("the call took %v, want 3s", d)
		}
		if n := p.Stats().Waiting; n != 0 {
			t.Errorf("%d calls wait", n)
		}
		release(t, l)
		release(t, get(t, p))
	})
}

func TestNoConnectionIsLeasedOnADeadContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool()
		warm(t, p, 1)
		cause := errors.New("the user left")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		for _, opts := range [][]core.CallOption{nil, {core.WithEndpoint("a:1")}, {core.WithEndpoint("nowhere:1")}} {
			l, err := p.Get(ctx, opts...)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want the context's", err)
			}
			if l.Conn() != nil {
				t.Error("a connection was leased")
			}
		}
		err := p.Do(ctx, func(context.Context, *link) error {
			t.Error("the call was made")
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

// "pool timeout" tells nothing.
func TestErrorOfACallThatWaitedInVainTellsWhatThePoolWasDoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "down:1")
		f.server("down:1").dialed(refuse)
		p := f.pool(core.MaxActive(2))
		held := append(getMany(t, p, 2, core.WithEndpoint("a:1")), getMany(t, p, 1, core.WithEndpoint("b:1"))...)
		f.server("b:1").dialed(slow(time.Hour))
		slowDial := background(within(t, time.Second), p, core.WithEndpoint("b:1"))
		if _, err := p.Get(within(t, time.Second), core.WithEndpoint("down:1")); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
		time.Sleep(10 * time.Millisecond)

		_, err := p.Get(within(t, 500*time.Millisecond), core.WithEndpoint("a:1"))
		e := asError(t, err)
		if !errors.Is(err, core.ErrExhausted) || !errors.Is(err, context.DeadlineExceeded) || e.Waited != 500*time.Millisecond {
			t.Errorf("%v after %v, want ErrExhausted after 500ms", err, e.Waited)
		}
		if e.Endpoint != "a:1" || e.State != core.StateReady {
			t.Errorf("%+v, want a:1, ready", e)
		}
		for _, part := range []string{"in use", "a:1", "deadline exceeded", "500ms", "3 endpoints", "3 connections open", "0 idle", "1 dialing", "2 calls waiting"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not say %q", err, part)
			}
		}

		_, err = p.Get(within(t, time.Millisecond), core.WithEndpoint("down:1"))
		if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "down:1") {
			t.Errorf("error %v does not tell of the last dial", err)
		}
		time.Sleep(time.Second)
		if e := failed(t, slowDial); !errors.Is(e, context.DeadlineExceeded) || e.Waited != time.Second {
			t.Errorf("error %v", e)
		}
		release(t, held...)
	})
}

func TestCapacityThatShrinksUnderThoseWhoWaitLeavesNobodyBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool(core.MaxActive(1), core.RemovalGrace(0))
		var held [3]core.Lease[*link]
		for i, a := range []string{"a:1", "b:1", "c:1"} {
			held[i] = get(t, p, core.WithEndpoint(a))
		}
		onB := background(t.Context(), p, core.WithEndpoint("b:1"))
		synctest.Wait()
		var waiting []<-chan result[*link]
		for range 4 {
			waiting = append(waiting, background(t.Context(), p))
			synctest.Wait()
		}
		f.report("a:1")
		if e := failed(t, onB); !errors.Is(e, core.ErrNoEndpoint) || e.Endpoint != "b:1" {
			t.Errorf("a call for an endpoint that left: %v", e)
		}
		release(t, held[1], held[2]) // closed: they serve nobody
		synctest.Wait()
		f.wantCounts(3, 2)
		l := held[0]
		for i, w := range waiting {
			for _, w := range waiting[i:] {
				waits(t, w)
			}
			release(t, l)
			synctest.Wait()
			l = served(t, w)
		}
		release(t, l)
	})
}
