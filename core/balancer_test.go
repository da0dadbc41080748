package core_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// script is a Balancer whose parts the test writes; those left out do the
// obvious.
type scripted struct {
	build  func(previous balance.Picker, members []balance.Member) balance.Picker
	pick   func(p *scriptedPicker, h balance.PickInfo) int
	report func(p *scriptedPicker, i int, r balance.Report)
	tick   func(now time.Duration)

	building atomic.Int32
	mu       sync.Mutex
	built    []*scriptedPicker
}

type scriptedPicker struct {
	by       *scripted
	previous balance.Picker
	set      []balance.Member
	at       atomic.Int64 // what Pick returns by default
}

func (b *scripted) Build(previous balance.Picker, members []balance.Member) balance.Picker {
	if b.building.Add(1) != 1 {
		panic("Build is called concurrently with itself")
	}
	defer b.building.Add(-1)
	if b.build != nil {
		if p := b.build(previous, members); p != nil {
			return p
		}
		return nil
	}
	p := &scriptedPicker{by: b, previous: previous, set: members}
	b.mu.Lock()
	b.built = append(b.built, p)
	b.mu.Unlock()
	return p
}

// all returns the pickers built so far.
func (b *scripted) all() []*scriptedPicker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.built)
}

func (p *scriptedPicker) Pick(h balance.PickInfo) int {
	if p.by.pick != nil {
		return p.by.pick(p, h)
	}
	return int(p.at.Load())
}

func (p *scriptedPicker) Report(i int, r balance.Report) {
	if p.by.report != nil {
		p.by.report(p, i, r)
	}
}

func (p *scriptedPicker) Tick(now time.Duration) {
	if p.by.tick != nil {
		p.by.tick(now)
	}
}

// members are the addresses that the picker may choose from, in its order.
func (p *scriptedPicker) members() []string {
	var all []string
	for _, m := range p.set {
		all = append(all, m.Endpoint.Addr)
	}
	return all
}

func TestPickerIsBuiltOnceForEachSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newRegistry(t), &scripted{}
		open(t, r, newFleet(t), core.WithBalancer(b), core.RemovalGrace(0))
		n := 0
		want := func(more bool, what string) {
			t.Helper()
			all := b.all()
			if more {
				n++
			}
			if len(all) != n {
				t.Fatalf("%s: %d pickers built, want %d", what, len(all), n)
			}
			for i, p := range all {
				if i == 0 && p.previous != nil || i > 0 && p.previous != balance.Picker(all[i-1]) {
					t.Errorf("%s: picker %d was built after %v", what, i, p.previous)
				}
			}
		}
		want(false, "before the first set")
		r.say(endpoints("a:1", "b:1")...)
		want(true, "the first set")
		r.say(endpoints("a:1", "b:1")...)
		want(false, "the same set")
		r.say(endpoints("b:1", "a:1")...)
		want(false, "the same set in another order")
		r.lose(errExpired)
		want(false, "the watch was lost")
		r.say(endpoints("a:1", "b:1")...)
		want(false, "the watch lives again")
		r.say(endpoints("a:1", "b:1", "c:1")...)
		want(true, "one came")
		r.say(endpoints("a:1", "c:1")...)
		want(true, "one left")
		r.say(endpoints("a:1", "d:1")...)
		want(true, "one was replaced")
		r.say(core.Endpoint{Addr: "a:1"}, core.Endpoint{Addr: "d:1", Weight: 2})
		want(true, "a weight changed")
		r.say(core.Endpoint{Addr: "a:1", Zone: "z"}, core.Endpoint{Addr: "d:1", Weight: 2})
		want(true, "a zone changed")
		r.say()
		want(true, "all left")
		if got := b.all()[n-1].members(); len(got) != 0 {
			t.Errorf("the picker of the empty set has members %v", got)
		}
	})
}

func TestPickerChoosesByTheIndexOfItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newRegistry(t), &scripted{}
		p := open(t, r, newFleet(t), core.WithBalancer(b), core.RemovalGrace(0))
		for _, set := range [][]core.Endpoint{
			endpoints("a:1", "b:1", "c:1", "d:1", "e:1"),
			endpoints("e:1", "a:1", "c:1"),
			{{Addr: "a:1", Weight: 3, Zone: "z"}, {Addr: "c:1"}, {Addr: "e:1", Weight: 0.5}, {Addr: "f:1"}},
		} {
			r.say(set...)
			all := b.all()
			picker := all[len(all)-1]
			if len(picker.set) != len(set) {
				t.Fatalf("the picker has %d members of %d", len(picker.set), len(set))
			}
			for i, m := range picker.set {
				if !slices.ContainsFunc(set, m.Endpoint.Equal) {
					t.Errorf("member %+v is not in the set", m.Endpoint)
				}
				picker.at.Store(int64(i))
				for range 3 {
					l := get(t, p)
					if !l.Endpoint().Equal(m.Endpoint) {
						t.Errorf("index %d is %s, the call went to %s", i, m.Endpoint.Addr, l.Endpoint().Addr)
					}
					if n := m.InFlight(); n != 1 {
						t.Errorf("%s has %d calls in flight, want 1", m.Endpoint.Addr, n)
					}
					release(t, l)
					if n := m.InFlight(); n != 0 {
						t.Errorf("%s has %d calls in flight, want 0", m.Endpoint.Addr, n)
					}
				}
			}
		}
	})
}

func TestMemberKnowsThatItsServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, b := newRegistry(t), newFleet(t), &scripted{}
		p := open(t, r, f, core.WithBalancer(b))
		r.say(endpoints("a:1", "b:1")...)
		want := func(down string) {
			t.Helper()
			for _, m := range b.all()[0].set {
				if m.Unavailable() != (m.Endpoint.Addr == down) {
					t.Errorf("%s is out: %v", m.Endpoint.Addr, m.Unavailable())
				}
			}
		}
		want("")
		f.server("a:1").dialed(refuse)
		if _, err := p.Get(t.Context(), core.WithEndpoint("a:1")); !errors.Is(err, core.ErrUnavailable) {
			t.Errorf("a call to a server that refuses: %v", err)
		}
		want("a:1")
		f.server("a:1").dialed(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		want("")
	})
}

func TestOrderOfMembersIsRandomInEachPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orders := map[string]int{}
		for range 100 {
			r, b := newRegistry(t), &scripted{}
			open(t, r, newFleet(t), core.WithBalancer(b))
			r.say(endpoints("a:1", "b:1", "c:1")...)
			orders[fmt.Sprint(b.all()[0].members())]++
		}
		if len(orders) != 6 {
			t.Errorf("%d of 6 orders in 100 pools: %v", len(orders), orders)
		}
	})
}

func TestReportsGoToTheMemberTheyAreOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newRegistry(t), &scripted{}
		var mu sync.Mutex
		var told []string
		b.report = func(p *scriptedPicker, i int, rep balance.Report) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %v %v", p.members()[i], rep.Outcome, rep.Latency))
		}
		p := open(t, r, newFleet(t), core.WithBalancer(b), core.RemovalGrace(0))
		want := func(w ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, w) {
				t.Errorf("told %q, want %q", told, w)
			}
			told = nil
		}
		r.say(endpoints("a:1", "b:1", "c:1", "d:1")...)
		leases := map[string]core.Lease[*link]{}
		for _, a := range []string{"a:1", "b:1", "c:1", "d:1"} {
			leases[a] = get(t, p, core.WithEndpoint(a))
			leases[a].Report(balance.Report{Outcome: balance.OutcomeOverload, Latency: time.Second})
			want(a + " overload 1s")
		}
		r.say(endpoints("d:1", "x:1", "b:1", "y:1")...) // other indices
		for _, a := range []string{"b:1", "d:1"} {
			leases[a].Report(balance.Report{Latency: time.Minute})
			want(a + " ok 1m0s")
		}
		leases["a:1"].Report(balance.Report{}) // it left
		want()
		r.say(endpoints("a:1")...) // and returned, as another one
		leases["a:1"].Report(balance.Report{})
		want()
		r.say()
		leases["b:1"].Report(balance.Report{})
		want()
		for _, l := range leases {
			release(t, l)
		}
	})
}

func TestPickInfoCarriesTheKeyOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newRegistry(t), &scripted{}
		var hints []balance.PickInfo
		b.pick = func(_ *scriptedPicker, h balance.PickInfo) int {
			hints = append(hints, h)
			return 0
		}
		p := open(t, r, newFleet(t), core.WithBalancer(b))
		r.say(endpoints("a:1", "b:1")...)
		for _, a := range []string{"a:1", "b:1"} {
			warm(t, p, 1, core.WithEndpoint(a))
		}
		hints = nil
		release(t, get(t, p))
		release(t, get(t, p, core.WithKey("k")))
		release(t, get(t, p, core.WithKey("k")))
		release(t, get(t, p, core.WithKey("l")))
		release(t, get(t, p, core.WithKeyHash(7)))
		release(t, get(t, p, core.WithoutEndpoint("x:1")))
		want := []balance.PickInfo{
			{},
			{Key: "k", Hash: balance.Hash("k"), Keyed: true},
			{Key: "k", Hash: balance.Hash("k"), Keyed: true},
			{Key: "l", Hash: balance.Hash("l"), Keyed: true},
			{Hash: 7, Keyed: true},
			{Retry: true},
		}
		if !slices.Equal(hints, want) {
			t.Errorf("the picker was asked %+v, want %+v", hints, want)
		}
	})
}

func TestIndexOutOfRangeMeansAny(t *testing.T) {
	for _, i := range []int{-1, math.MinInt, math.MinInt / 2, 3, 1 << (bits.UintSize / 2), math.MaxInt} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, b := newRegistry(t), &scripted{pick: func(*scriptedPicker, balance.PickInfo) int { return i }}
				p := open(t, r, newFleet(t), core.WithBalancer(b))
				r.say(endpoints("a:1", "b:1", "c:1")...)
				seen := map[string]int{}
				for k := range 300 {
					l := get(t, p, [][]core.CallOption{nil, {core.WithKey("k")}}[k%2]...)
					seen[l.Endpoint().Addr]++
					release(t, l)
				}
				if len(seen) != 3 {
					t.Errorf("the calls went to %v", seen)
				}
			})
		})
	}
}

func TestPickerOfAnEmptySetIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry(t)
		b := &scripted{pick: func(p *scriptedPicker, h balance.PickInfo) int {
			if len(p.set) == 0 {
				t.Error("a picker without members was asked")
			}
			return int(h.Hash) % len(p.set) // would divide by zero
		}}
		p := open(t, r, newFleet(t), core.WithBalancer(b), core.RemovalGrace(0))
		for _, set := range [][]core.Endpoint{nil, endpoints("a:1"), nil} {
			r.say(set...)
			l, err := p.Get(t.Context())
			if (err == nil) != (len(set) > 0) {
				t.Errorf("a call to a set of %d: %v", len(set), err)
			}
			_ = l.Release()
		}
	})
}

func TestBalancerThatFailsIsReplacedUntilTheSetChanges(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(balance.Picker, []balance.Member) balance.Picker
		want  string
	}{
		{"it panics", func(balance.Picker, []balance.Member) balance.Picker { panic("no table") }, "Build panicked: no table"},
		{"it returns nil", func(balance.Picker, []balance.Member) balance.Picker { return nil }, "Build returned nil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, f, b, j := newRegistry(t), newFleet(t), &scripted{build: c.build}, &journal{}
				p := open(t, r, f, core.WithBalancer(b), core.WithObserver(j.Observe), core.RemovalGrace(0))
				r.say(endpoints("a:1", "b:1")...)
				if failed := j.of(core.EventBalancerFailed); len(failed) != 1 || failed[0].Err == nil {
					t.Errorf("events %v", failed)
				} else if want := "core: the balancer failed: " + c.want; failed[0].Err.Error() != want {
					t.Errorf("error %q, want %q", failed[0].Err, want)
				}
				warm(t, p, 10)
				seen := map[string]bool{}
				for range 100 {
					l := get(t, p)
					seen[l.Endpoint().Addr] = true
					release(t, l)
				}
				if len(seen) != 2 {
					t.Errorf("the calls went to %v", seen)
				}
				b.build = nil
				r.say(endpoints("a:1", "c:1")...)
				if n := len(b.all()); n != 1 {
					t.Fatalf("%d pickers built", n)
				}
				picker := b.all()[0]
				picker.at.Store(int64(slices.Index(picker.members(), "c:1")))
				for range 10 {
					l := get(t, p)
					if l.Endpoint().Addr != "c:1" {
						t.Errorf("the balancer that works again was not asked")
					}
					release(t, l)
				}
			})
		})
	}
}

// TestPanicOfAPickerHarmsNobody: a call whose Pick panics goes to any endpoint;
// a panic in Report, which the pool also calls in goroutines of its own, and
// in Tick is dropped. No connection is lost.
func TestPanicOfAPickerHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f := newRegistry(t), newFleet(t)
		b := &scripted{
			pick:   func(*scriptedPicker, balance.PickInfo) int { panic("pick") },
			report: func(*scriptedPicker, int, balance.Report) { panic("report") },
			tick:   func(time.Duration) { panic("tick") },
		}
		p := open(t, r, f, core.WithBalancer(b), core.MaxActive(1))
		r.say(endpoints("a:1", "b:1")...)
		for k := range 20 {
			l := get(t, p, [][]core.CallOption{nil, {core.WithKey("k")}}[k%2]...)
			l.Report(balance.Report{})
			waiting := getMany(t, p, 1) // the other one
			third := background(t.Context(), p)
			synctest.Wait()
			waits(t, third)
			release(t, l)
			synctest.Wait()
			release(t, served(t, third))
			release(t, waiting...)
			time.Sleep(time.Second) // ticks
		}
		if err := p.Do(t.Context(), func(context.Context, *link) error { return nil }); err != nil {
			t.Error(err)
		}
		f.server("a:1").dialed(refuse)
		f.server("b:1").dialed(refuse)
		p.Reset()
		if _, err := p.Get(within(t, time.Second)); err == nil { // dial failures are reported too
			t.Error("a call was served although no server can be dialed")
		}
		f.server("a:1").dialed(nil)
		f.server("b:1").dialed(nil)
		time.Sleep(time.Minute)
		release(t, getMany(t, p, 2)...)
		if st := p.Stats(); st.Waiting != 0 {
			t.Errorf("%d calls wait", st.Waiting)
		}
	})
}

func TestTickerSeesTimePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newRegistry(t), &scripted{}
		var mu sync.Mutex
		var ticks []time.Duration
		b.tick = func(now time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			ticks = append(ticks, now)
		}
		p := open(t, r, newFleet(t), core.WithBalancer(b))
		time.Sleep(time.Second)
		if len(ticks) != 0 {
			t.Errorf("ticks without a picker: %v", ticks)
		}
		r.say(endpoints("a:1")...)
		time.Sleep(10 * time.Second)
		mu.Lock()
		if n := len(ticks); n < 99 || n > 101 {
			t.Errorf("%d ticks in ten seconds", n)
		}
		for i, now := range ticks {
			if i > 0 && now-ticks[i-1] != 100*time.Millisecond || now < time.Second || now > 12*time.Second {
				t.Errorf("tick %d is at %v", i, now)
			}
		}
		mu.Unlock()
		closeNow(t, p)
		n := len(ticks)
		time.Sleep(time.Second)
		if len(ticks) != n {
			t.Error("a closed pool ticks")
		}
	})
}
