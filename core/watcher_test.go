package core_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestStateFollowsTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &journal{}
		p := open(t, r, f, core.WithObserver(j.Observe), core.RemovalGrace(0))
		want := func(s core.State, lastWatch error, set string) {
			t.Helper()
			st := p.Stats()
			if st.State != s || !errors.Is(st.LastWatch, lastWatch) || (lastWatch == nil) != (st.LastWatch == nil) || addrs(p) != set {
				t.Errorf("state %v with set %q, watch lost by %v; want %v, %q, %v", st.State, addrs(p), st.LastWatch, s, set, lastWatch)
			}
		}
		want(core.StatePending, nil, "")
		r.lose(errExpired)
		want(core.StatePending, errExpired, "")
		j.wantTold(t, "watch lost: session expired")

		r.say(endpoints("a:1", "b:1")...)
		want(core.StateReady, nil, "a:1 b:1")
		j.wantTold(t, "endpoint added a:1", "endpoint added b:1", "ready")
		r.say(endpoints("a:1", "b:1")...)
		j.wantTold(t)

		r.lose(errExpired)
		want(core.StateStale, errExpired, "a:1 b:1")
		j.wantTold(t, "watch lost: session expired", "stale")
		time.Sleep(time.Hour)
		want(core.StateStale, errExpired, "a:1 b:1")
		j.wantTold(t)
		r.lose(errRefused)
		want(core.StateStale, errRefused, "a:1 b:1")
		j.wantTold(t, "watch lost: connection refused")

		r.say(endpoints("b:1", "c:1")...)
		want(core.StateReady, nil, "b:1 c:1")
		j.wantTold(t, "endpoint added c:1", "endpoint removed a:1", "ready")

		r.say()
		want(core.StateEmpty, nil, "")
		j.wantTold(t, "endpoint removed b:1", "endpoint removed c:1", "empty")
		r.lose(errExpired)
		want(core.StateStale, errExpired, "")
		j.wantTold(t, "watch lost: session expired", "stale")
		r.say()
		want(core.StateEmpty, nil, "")
		j.wantTold(t, "empty")
		r.say(endpoints("a:1")...)
		want(core.StateReady, nil, "a:1")
		j.wantTold(t, "endpoint added a:1", "ready")
	})
}

func TestFirstReportMayBeEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, j := newRegistry(t), &journal{}
		p := open(t, r, newFleet(t), core.WithObserver(j.Observe))
		r.say()
		if st := p.Stats(); st.State != core.StateEmpty {
			t.Errorf("the pool is %v", st.State)
		}
		j.wantTold(t, "empty")
	})
}

func TestStateKnowsSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t)
		p := open(t, r, newFleet(t))
		begun := time.Now()
		want := func(d time.Duration) {
			t.Helper()
			if got := p.Stats().Since.Sub(begun); got != d {
				t.Errorf("%v since %v, want %v", p.Stats().State, got, d)
			}
		}
		want(0)
		time.Sleep(time.Hour)
		want(0)
		r.say(endpoints("a:1")...)
		want(time.Hour)
		r.say(endpoints("a:1", "b:1")...) // 20 ms later: still ready
		want(time.Hour)
		r.lose(errExpired)
		want(time.Hour + 40*time.Millisecond)
		r.lose(errExpired)
		want(time.Hour + 40*time.Millisecond)
	})
}

func TestBadEntriesAreRejectedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, j := newRegistry(t), &journal{}
		p := open(t, r, newFleet(t), core.WithObserver(j.Observe))
		r.say(core.Endpoint{Addr: "a:1"}, core.Endpoint{Addr: "nowhere"}, core.Endpoint{Addr: "b:1", Weight: math.NaN()},
			core.Endpoint{}, core.Endpoint{Addr: "a:1", Weight: 2}, core.Endpoint{Addr: "c:1"})
		if got := addrs(p); got != "a:1 c:1" {
			t.Errorf("the set is %q", got)
		}
		if n := p.Stats().Rejected; n != 4 {
			t.Errorf("%d entries rejected, want 4", n)
		}
		j.wantTold(t, "endpoint added a:1", "endpoint added c:1", "ready",
			`endpoint rejected "nowhere": discovery: endpoint "nowhere": address is not host:port: missing port in address`,
			`endpoint rejected "b:1": discovery: endpoint "b:1": weight NaN is not a finite number >= 0`,
			`endpoint rejected "": discovery: endpoint "": address is not host:port: missing port in address`,
			`endpoint rejected "a:1": discovery: endpoint "a:1": an earlier entry has the same address`)
		r.say(core.Endpoint{Addr: "nowhere"})
		if n := p.Stats().Rejected; n != 5 {
			t.Errorf("%d entries rejected, want 5", n)
		}
	})
}

func TestCallsThatCameBeforeTheFirstSetAreServedByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f)
		free := background(t.Context(), p)
		keyed := background(t.Context(), p, core.WithKey("k"))
		onB := background(t.Context(), p, core.WithEndpoint("b:1"))
		notA := background(t.Context(), p, core.WithoutEndpoint("a:1"))
		onC := background(t.Context(), p, core.WithEndpoint("c:1"))
		r.lose(errExpired)
		time.Sleep(time.Hour)
		for _, c := range []<-chan result[*link]{free, keyed, onB, notA, onC} {
			waits(t, c)
		}
		r.say(endpoints("a:1", "b:1")...)
		if l := served(t, onB); l.Endpoint().Addr != "b:1" {
			t.Errorf("the call for b:1 went to %s", l.Endpoint().Addr)
		} else {
			release(t, l)
		}
		if l := served(t, notA); l.Endpoint().Addr != "b:1" {
			t.Errorf("the call that avoids a:1 went to %s", l.Endpoint().Addr)
		} else {
			release(t, l)
		}
		release(t, served(t, free), served(t, keyed))
		if err := failed(t, onC); !errors.Is(err, core.ErrNoEndpoint) || err.Endpoint != "c:1" || err.State != core.StateReady {
			t.Errorf("the call for c:1 failed with %v", err)
		}
	})
}

// TestCallForOneEndpointNeverGetsAnothers lets a connection to another one be
// ready before the call has seen the set in which its own is.
func TestCallForOneEndpointNeverGetsAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, slow := newRegistry(t), newFleet(t), slowObserver{}
		p := open(t, r, f, core.WithObserver(slow.Observe), core.MinIdle(1))
		onB := background(t.Context(), p, core.WithEndpoint("b:1"))
		synctest.Wait()
		r.say(endpoints("a:1", "b:1")...)
		time.Sleep(time.Minute)
		l := served(t, onB)
		if l.Endpoint().Addr != "b:1" || l.Conn().server.addr != "b:1" {
			t.Errorf("the call for b:1 got a connection to %s", l.Conn().server.addr)
		}
		release(t, l)
	})
}

// slowObserver takes a second for each endpoint that is added.
type slowObserver struct{}

func (slowObserver) Observe(ev core.Event) {
	if ev.Kind == core.EventEndpointAdded {
		time.Sleep(time.Second)
	}
}

func TestCallBeforeTheFirstSetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t)
		p := open(t, r, newFleet(t))
		r.lose(errExpired)
		begun := time.Now()
		_, err := p.Get(within(t, 3*time.Second))
		e := asError(t, err)
		if d := time.Since(begun); d != 3*time.Second || e.Waited != d {
			t.Errorf("it waited %v, and says %v", d, e.Waited)
		}
		if !errors.Is(err, core.ErrNoEndpoint) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errExpired) ||
			e.State != core.StatePending {
			t.Errorf("it failed with %v", err)
		}
	})
}

func TestEmptySetFailsCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t)
		p := open(t, r, newFleet(t), core.RemovalGrace(0))
		waiting := background(t.Context(), p)
		synctest.Wait()
		r.say()
		if err := failed(t, waiting); !errors.Is(err, core.ErrNoEndpoint) || err.State != core.StateEmpty {
			t.Errorf("the call that waited failed with %v", err)
		}
		begun := time.Now()
		for _, opts := range [][]core.CallOption{nil, {core.WithEndpoint("a:1")}, {core.WithKey("k")}, {core.WithoutEndpoint("a:1")}} {
			_, err := p.Get(t.Context(), opts...)
			if e := asError(t, err); !errors.Is(err, core.ErrNoEndpoint) || e.State != core.StateEmpty || e.Cause != nil {
				t.Errorf("it failed with %v", err)
			}
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("the calls took %v", d)
		}
		r.lose(errExpired) // and no better when that is old news
		if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrNoEndpoint) || !errors.Is(err, errExpired) {
			t.Errorf("it failed with %v", err)
		}
	})
}

func TestStaleSetServesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f)
		r.say(endpoints("a:1", "b:1")...)
		warm(t, p, 1)
		for range 50 {
			r.lose(errExpired)
			time.Sleep(time.Minute)
			warm(t, p, 5) // which also dials
		}
		if st := p.Stats(); st.State != core.StateStale || addrs(p) != "a:1 b:1" {
			t.Errorf("%v, set %q", st.State, addrs(p))
		}
		if opened, _ := f.counts(); opened < 5 {
			t.Errorf("%d connections; the test shows nothing", opened)
		}
	})
}

func TestEndpointsThatVanishInAMassServeOnForTheGrace(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  []core.Option
		grace time.Duration
	}{
		{"by default", nil, 30 * time.Second},
		{"by option", []core.Option{core.RemovalGrace(time.Hour)}, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, f, j := newRegistry(t), newFleet(t), &journal{}
				p := open(t, r, f, append(c.opts, core.WithObserver(j.Observe), core.IdleTimeout(0))...)
				r.say(endpoints("a:1", "b:1", "c:1")...)
				warm(t, p, 3)
				opened, _ := f.counts()
				j.forget()
				r.say()
				j.wantTold(t)
				time.Sleep(c.grace - 40*time.Millisecond) // say has slept for 20
				if st := p.Stats(); st.State != core.StateReady || addrs(p) != "a:1 b:1 c:1" {
					t.Errorf("%v, set %q", st.State, addrs(p))
				}
				warm(t, p, 3)
				f.wantCounts(opened, 0)
				time.Sleep(40 * time.Millisecond)
				synctest.Wait()
				if st := p.Stats(); st.State != core.StateEmpty {
					t.Errorf("%v after the grace", st.State)
				}
				j.wantTold(t, "empty", "endpoint removed a:1", "endpoint removed b:1", "endpoint removed c:1")
				f.wantCounts(opened, opened)
			})
		})
	}
}

func TestSetIsStillStaleWhenAGraceEndsWhileTheWatchIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f, core.RemovalGrace(10*time.Second))
		r.say(endpoints("a:1", "b:1", "c:1")...)
		r.say(endpoints("a:1")...)
		r.lose(errExpired)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if st := p.Stats(); st.State != core.StateStale || !errors.Is(st.LastWatch, errExpired) || addrs(p) != "a:1" {
			t.Errorf("%v, set %q, watch %v", st.State, addrs(p), st.LastWatch)
		}
		r.say(endpoints("a:1")...)
		if st := p.Stats(); st.State != core.StateReady || st.LastWatch != nil {
			t.Errorf("%v, watch %v, after a report", st.State, st.LastWatch)
		}
	})
}

func TestPoolOutlivesEveryMisbehaviourOfItsWatcher(t *testing.T) {
	for _, c := range []struct {
		name  string
		watch watchFunc // after it has reported a:1 and b:1
	}{
		{"it panics", func(context.Context, func([]core.Endpoint)) error { panic("nil map") }},
		{"it returns nil at once", func(context.Context, func([]core.Endpoint)) error { return nil }},
		{"it reports garbage", func(ctx context.Context, report func([]core.Endpoint)) error {
			for range 100 {
				report([]core.Endpoint{{Addr: "a:1"}, {Addr: "\x00"}, {Addr: "b:1"}, {Addr: "b:1"}, {Weight: math.Inf(-1)}})
			}
			<-ctx.Done()
			return ctx.Err()
		}},
		{"it reports without end", func(ctx context.Context, report func([]core.Endpoint)) error {
			for ctx.Err() == nil {
				report(endpoints("a:1", "b:1"))
				_ = sleep(ctx, time.Millisecond)
			}
			return ctx.Err()
		}},
		{"it goes on for a second after its context", func(ctx context.Context, report func([]core.Endpoint)) error {
			<-ctx.Done()
			for range 999 {
				report(endpoints("a:1", "c:1"))
				time.Sleep(time.Millisecond)
			}
			panic("late")
		}},
		{"it modifies what it reported", func(ctx context.Context, report func([]core.Endpoint)) error {
			for ctx.Err() == nil {
				set := endpoints("a:1", "b:1")
				report(set)
				clear(set)
				_ = sleep(ctx, 30*time.Millisecond)
			}
			return ctx.Err()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				p := open(t, watchFunc(func(ctx context.Context, report func([]core.Endpoint)) error {
					report(endpoints("a:1", "b:1"))
					return c.watch(ctx, report)
				}), f)
				for range 30 {
					warm(t, p, 3)
					time.Sleep(time.Second)
				}
				if got := addrs(p); got != "a:1 b:1" {
					t.Errorf("the set is %q", got)
				}
				if _, closed := f.counts(); closed != 0 {
					t.Errorf("%d connections were closed", closed)
				}
			})
		})
	}
}

func TestReportFromALeftoverGoroutineIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late sync.WaitGroup
		f := newFleet(t)
		p := open(t, watchFunc(func(ctx context.Context, report func([]core.Endpoint)) error {
			report(endpoints("a:1"))
			late.Go(func() {
				<-ctx.Done()
				for range 10 {
					time.Sleep(time.Second)
					report(endpoints("late:1"))
				}
			})
			<-ctx.Done()
			return ctx.Err()
		}), f)
		warm(t, p, 1)
		closeNow(t, p)
		late.Wait()
		if st := p.Stats(); len(st.Endpoints) != 0 {
			t.Errorf("a closed pool has endpoints: %+v", st.Endpoints)
		}
		f.wantCounts(1, 1)
	})
}

// TestWatcherThatIgnoresItsContextHoldsClose: Close says so at the end of its
// own context, and ends when the watcher does.
func TestWatcherThatIgnoresItsContextHoldsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := newFleet(t)
		p := open(t, watchFunc(func(_ context.Context, report func([]core.Endpoint)) error {
			report(endpoints("a:1"))
			<-release
			return nil
		}), f)
		warm(t, p, 1)
		begun := time.Now()
		err := p.Close(within(t, time.Minute))
		if d := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || d != time.Minute {
			t.Errorf("Close returned %v after %v", err, d)
		}
		f.wantCounts(1, 1)
		if _, err := p.Get(t.Context()); !errors.Is(err, core.ErrClosed) {
			t.Errorf("a call to the closed pool: %v", err)
		}
		close(release)
	})
}

func TestWatcherThatFailsFromTheStartIsToldToTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		var stack string
		told := func(e core.Event) {
			if e.Kind == core.EventWatchLost {
				stack = e.Stack
			}
		}
		p := open(t, watchFunc(func(context.Context, func([]core.Endpoint)) error { panic("no such host") }), f, core.WithObserver(told))
		_, err := p.Get(within(t, time.Second))
		if e := asError(t, err); e.LastWatch == nil || !strings.HasSuffix(e.LastWatch.Error(), "panicked: no such host") {
			t.Errorf("the error does not tell of the watcher: %v", err)
		}
		synctest.Wait()
		if !strings.Contains(stack, "watcher_test.go") {
			t.Errorf("the event has the stack %q", stack)
		}
	})
}

// TestPoolStaysStaleWhenAGraceEndsWhileTheWatchIsLost: what vanished before the
// loss leaves the set in time, and that is no sign of life.
func TestPoolStaysStaleWhenAGraceEndsWhileTheWatchIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t)
		p := open(t, r, newFleet(t), core.RemovalGrace(time.Second))
		r.say(endpoints("a:1", "b:1", "c:1")...)
		r.say(endpoints("a:1")...)
		r.lose(errors.New("session expired"))
		time.Sleep(1500 * time.Millisecond)
		st := p.Stats()
		if st.State != core.StateStale || st.LastWatch == nil || len(st.Endpoints) != 1 {
			t.Errorf("%v with %d endpoints, last watch %v; want stale with one", st.State, len(st.Endpoints), st.LastWatch)
		}
	})
}
