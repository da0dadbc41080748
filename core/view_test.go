package core_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestEndpointThatStaysKeepsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &journal{}
		p := open(t, r, f, core.RemovalGrace(0), core.WithObserver(j.Observe))
		r.say(endpoints("a:1", "b:1", "c:1")...)
		warm(t, p, 2, core.WithEndpoint("a:1"))
		held := get(t, p, core.WithEndpoint("a:1"))
		before := f.conns()
		j.forget()
		for _, set := range [][]core.Endpoint{
			endpoints("a:1", "b:1", "c:1", "d:1"),                             // another one comes
			endpoints("a:1", "d:1"),                                           // others leave
			endpoints("d:1", "a:1"),                                           // the order changes
			{{Addr: "a:1", Weight: 5}, {Addr: "d:1"}},                         // its weight,
			{{Addr: "a:1", Zone: "z"}, {Addr: "d:1"}},                         // its zone
			{{Addr: "a:1", Attrs: map[string]string{"v": "2"}}},               // and its attributes do
			{{Addr: "a:1", Attrs: map[string]string{"v": "2"}}},               // nothing does
			{{Addr: "a:1"}, {Addr: "b:1"}, {Addr: "nowhere"}, {Addr: "a:1"}},  // bad entries come
			{{Addr: "b:1"}, {Addr: "c:1"}, {Addr: "d:1"}, {Addr: "a:1"}, {}},  // all come back
			endpoints("x:1", "y:1", "z:1", "a:1", "a:2", "b:2", "c:2", "d:2"), // all others are replaced
		} {
			r.say(set...)
			r.lose(errExpired)
		}
		for _, l := range before {
			if l.closed.Load() {
				t.Error("a connection of an endpoint that stays was closed")
			}
		}
		if slices.Contains(j.told(), "endpoint removed a:1") || slices.Contains(j.told(), "endpoint added a:1") {
			t.Errorf("told of an endpoint that stays: %v", j.told())
		}
		release(t, held)
		for _, l := range getMany(t, p, 2, core.WithEndpoint("a:1")) {
			if !slices.Contains(before, l.Conn()) {
				t.Error("a call to an endpoint that stays got a new connection")
			}
			release(t, l)
		}
		if st := endpointStats(t, p, "a:1"); st.Calls != 5 || st.Dials != 2 {
			t.Errorf("the statistics of an endpoint that stays are lost: %+v", st)
		}
	})
}

func TestNewAttributesOfAnEndpointAreSeenByLeasesAndDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		var mu sync.Mutex
		var dialed []core.Endpoint
		d := core.DialFunc[*link](func(ctx context.Context, e core.Endpoint) (*link, error) {
			mu.Lock()
			dialed = append(dialed, e)
			mu.Unlock()
			return f.Dial(ctx, e)
		})
		p, err := core.New[*link](r, d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeNow(t, p) })
		before := core.Endpoint{Addr: "a:1", Zone: "z1"}
		after := core.Endpoint{Addr: "a:1", Weight: 3, Zone: "z2", Attrs: map[string]string{"version": "2"}}
		r.say(before)
		old := get(t, p)
		if !old.Endpoint().Equal(before) {
			t.Errorf("leased %+v", old.Endpoint())
		}
		r.say(after)
		if !old.Endpoint().Equal(after) {
			t.Errorf("a lease from before leads to %+v", old.Endpoint())
		}
		fresh := get(t, p)
		if !fresh.Endpoint().Equal(after) {
			t.Errorf("a lease from after leads to %+v", fresh.Endpoint())
		}
		if st := endpointStats(t, p, "a:1"); !st.Endpoint.Equal(after) {
			t.Errorf("the statistics are of %+v", st.Endpoint)
		}
		release(t, old, fresh)
		if len(dialed) != 2 || !dialed[0].Equal(before) || !dialed[1].Equal(after) {
			t.Errorf("dialed %+v", dialed)
		}
	})
}

func TestEndpointThatLeavesIsDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f, core.DrainTimeout(time.Minute), core.RemovalGrace(0))
		r.say(endpoints("a:1", "b:1")...)
		leases := getMany(t, p, 4, core.WithEndpoint("a:1"))
		released, discarded, cut, idle := leases[0], leases[1], leases[2], leases[3]
		release(t, idle)
		r.say(endpoints("b:1")...)

		if !idle.Conn().closed.Load() {
			t.Error("an idle connection was not closed")
		}
		for _, l := range []core.Lease[*link]{released, discarded, cut} {
			if l.Conn().closed.Load() {
				t.Error("a leased connection was closed while in use")
			}
			if l.Endpoint().Addr != "a:1" {
				t.Errorf("the lease leads to %q now", l.Endpoint().Addr)
			}
		}
		if _, err := p.Get(t.Context(), core.WithEndpoint("a:1")); !errors.Is(err, core.ErrNoEndpoint) {
			t.Errorf("a call to the endpoint that left: %v", err)
		}
		for range 50 {
			l := get(t, p)
			if l.Endpoint().Addr != "b:1" {
				t.Errorf("leased a connection to %s", l.Endpoint().Addr)
			}
			release(t, l)
		}

		release(t, released)
		discarded.Conn().unuse()
		if err := discarded.Discard(nil); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if !released.Conn().closed.Load() || !discarded.Conn().closed.Load() {
			t.Error("a connection outlived its lease")
		}

		time.Sleep(time.Minute - 21*time.Millisecond) // say has slept for 20
		synctest.Wait()
		if cut.Conn().closed.Load() {
			t.Error("a leased connection was closed before its time")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if !cut.Conn().closed.Load() {
			t.Error("a leased connection was not closed when the time to drain was over")
		}
		cut.Conn().unuse()
		if err := cut.Release(); err != nil {
			t.Errorf("the end of a lease that was cut: %v", err)
		}
		if err := cut.Release(); !errors.Is(err, core.ErrStaleLease) {
			t.Errorf("its second end: %v", err)
		}
	})
}

func TestDrainTimeoutOfZeroCutsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f, core.DrainTimeout(0), core.RemovalGrace(0))
		r.say(endpoints("a:1", "b:1")...)
		l := get(t, p, core.WithEndpoint("a:1"))
		r.say(endpoints("b:1")...)
		if !l.Conn().closed.Load() {
			t.Error("a leased connection was not closed")
		}
		l.Conn().unuse()
		if err := l.Discard(errors.New("closed")); err != nil {
			t.Errorf("the end of a lease that was cut: %v", err)
		}
	})
}

// TestNewSetServesBeforeTheOldOneIsTakenDown looks at the pool from the event
// of a removal: the endpoint is out of the set already, still connected, and
// its successor is in.
func TestNewSetServesBeforeTheOldOneIsTakenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &inspector{}
		p := open(t, r, f, core.WithObserver(j.Observe), core.RemovalGrace(0))
		r.say(endpoints("a:1")...)
		warm(t, p, 1)
		old := f.conns()[0]
		j.onRemoved = func() {
			if got := addrs(p); got != "b:1" {
				t.Errorf("at the removal of a:1 the set is %q", got)
			}
			if old.closed.Load() {
				t.Error("the connection to a:1 was closed first")
			}
			l, err := p.Get(t.Context())
			if err != nil || l.Endpoint().Addr != "b:1" {
				t.Errorf("at the removal of a:1 a call got %q, %v", l.Endpoint().Addr, err)
			}
			_ = l.Release()
		}
		r.say(endpoints("b:1")...)
		if j.removed != 1 {
			t.Errorf("%d endpoints were removed", j.removed)
		}
		if !old.closed.Load() {
			t.Error("the connection to a:1 was not closed")
		}
	})
}

// inspector is an Observer that looks at the pool when an endpoint is removed.
type inspector struct {
	onRemoved func()
	removed   int
}

func (j *inspector) Observe(ev core.Event) {
	if ev.Kind == core.EventEndpointRemoved {
		j.removed++
		j.onRemoved()
	}
}

func TestEndpointThatLeavesAndReturnsBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &journal{}
		p := open(t, r, f, core.WithObserver(j.Observe), core.MaxActive(2), core.DrainTimeout(time.Hour), core.RemovalGrace(0))
		r.say(endpoints("a:1", "b:1")...)
		old := getMany(t, p, 2, core.WithEndpoint("a:1"))
		j.forget()
		r.say(endpoints("b:1")...)
		r.say(endpoints("a:1", "b:1")...)
		j.wantTold(t, "endpoint removed a:1", "endpoint added a:1")
		if st := endpointStats(t, p, "a:1"); st.Open != 0 || st.InUse != 0 || st.Calls != 0 {
			t.Errorf("it begins with %+v", st)
		}
		// What is still leased of its former life does not keep it from work.
		fresh := getMany(t, p, 2, core.WithEndpoint("a:1"))
		release(t, old...)
		synctest.Wait()
		for _, l := range old {
			if !l.Conn().closed.Load() {
				t.Error("a connection of the former life came back into the pool")
			}
		}
		for _, l := range fresh {
			if l.Conn().closed.Load() || slices.ContainsFunc(old, func(o core.Lease[*link]) bool { return o.Conn() == l.Conn() }) {
				t.Error("a call after the return got a connection from before")
			}
		}
		release(t, fresh...)
		f.wantCounts(4, 2)
	})
}

func TestEndpointThatLeavesAndReturnsWithinABurstHasNotLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &journal{}
		p := open(t, r, f, core.WithObserver(j.Observe))
		r.say(endpoints("a:1", "b:1")...)
		warm(t, p, 1, core.WithEndpoint("a:1"))
		j.forget()
		r.do(func(report func([]core.Endpoint)) error {
			report(endpoints("a:1", "b:1", "c:1")) // the first of the burst, taken at once
			synctest.Wait()
			report(endpoints("b:1"))
			synctest.Wait()
			report(endpoints("a:1", "b:1"))
			return nil
		})
		time.Sleep(time.Second)
		j.wantTold(t, "endpoint added c:1", "endpoint removed c:1")
		f.wantCounts(1, 0)
	})
}

func TestCallThatWaitsForAnEndpointThatLeavesFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f, core.MaxActive(1), core.RemovalGrace(0))
		r.say(endpoints("a:1", "b:1")...)
		f.server("b:1").dialed(hang)
		held := get(t, p, core.WithEndpoint("a:1"))
		full := background(t.Context(), p, core.WithEndpoint("a:1"))
		dialing := background(t.Context(), p, core.WithEndpoint("b:1"))
		synctest.Wait()
		waits(t, full)
		waits(t, dialing)
		r.say(endpoints("b:1")...)
		if err := failed(t, full); !errors.Is(err, core.ErrNoEndpoint) || err.Endpoint != "a:1" {
			t.Errorf("the call for a:1 failed with %v", err)
		}
		waits(t, dialing)
		r.say(endpoints("c:1", "d:1")...)
		if err := failed(t, dialing); !errors.Is(err, core.ErrNoEndpoint) && !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("the call for b:1 failed with %v", err)
		}
		release(t, held)
	})
}

func TestCallThatWaitsForAnyTurnsToAnEndpointThatComes(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []core.CallOption
	}{
		{"plain", nil},
		{"with a key", []core.CallOption{core.WithKey(keyOf("b:1", "a:1", "b:1"))}},
		{"that avoids another", []core.CallOption{core.WithoutEndpoint("a:1")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, f := newRegistry(t), newFleet(t)
				p := open(t, r, f, core.MaxActive(1), core.RemovalGrace(0))
				r.say(endpoints("a:1")...)
				held := get(t, p)
				waiting := background(t.Context(), p, c.opts...)
				synctest.Wait()
				waits(t, waiting)
				r.say(endpoints("a:1", "b:1")...)
				l := served(t, waiting)
				if l.Endpoint().Addr != "b:1" {
					t.Errorf("it got a connection to %s", l.Endpoint().Addr)
				}
				release(t, l, held)
			})
		})
	}
}

func TestDialToAnEndpointThatLeavesIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f, core.RemovalGrace(0), core.DialTimeout(time.Hour))
		r.say(endpoints("a:1")...)
		f.server("a:1").dialed(hang)
		waiting := background(t.Context(), p)
		synctest.Wait()
		r.say(endpoints("b:1")...)
		l := served(t, waiting)
		if l.Endpoint().Addr != "b:1" {
			t.Errorf("the call got a connection to %s", l.Endpoint().Addr)
		}
		release(t, l)
		if _, dialing := f.server("a:1").seen(); dialing != 0 {
			t.Error("the dial goes on")
		}
	})
}

func TestDialThatLandsAfterItsEndpointLeftIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		p := open(t, r, f, core.RemovalGrace(0))
		r.say(endpoints("a:1")...)
		late := make(chan struct{})
		f.server("a:1").dialed(func(context.Context) error { // deaf to its context
			<-late
			return nil
		})
		waiting := background(within(t, time.Second), p)
		synctest.Wait()
		r.say()
		if err := failed(t, waiting); !errors.Is(err, core.ErrNoEndpoint) {
			t.Errorf("the call failed with %v", err)
		}
		close(late)
		synctest.Wait()
		f.wantCounts(1, 1)
	})
}
