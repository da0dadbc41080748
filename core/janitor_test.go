package core_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// ticking counts the ticks of its pickers, and builds round robin.
type ticking struct{ ticks atomic.Int64 }

type tickingPicker struct {
	balance.Picker

	to *ticking
}

func (b *ticking) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	return &tickingPicker{balance.RoundRobin().Build(nil, members), b}
}

func (p *tickingPicker) Tick(time.Duration) { p.to.ticks.Add(1) }

func TestTicksPauseWhileNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f, r := &ticking{}, newFleet(t), newRegistry(t)
		p := open(t, r, f, core.WithBalancer(b))
		r.say(endpoints("a:1", "b:1")...)
		ticks := func(d time.Duration, why string, want bool) {
			t.Helper()
			b.ticks.Store(0)
			time.Sleep(d)
			synctest.Wait()
			if n := b.ticks.Load(); (n > 0) != want || want && n < int64(d/(100*time.Millisecond))-1 {
				t.Errorf("%s: %d ticks in %v, wanted: %v", why, n, d, want)
			}
		}
		rest := func() {
			t.Helper()
			time.Sleep(61 * time.Second)
			ticks(time.Minute, "nothing happens", false)
		}
		ticks(time.Minute, "the set has come", true)
		rest()
		if err := p.Do(t.Context(), func(context.Context, *link) error { return nil }); err != nil {
			t.Fatal(err)
		}
		ticks(time.Second, "a call was made", true)
		rest()
		l := get(t, p, core.WithEndpoint("a:1"))
		ticks(2*time.Minute, "a call is under way", true)
		release(t, l)
		rest()
		f.server("b:1").dialed(refuse)
		_, err := p.Get(t.Context(), core.WithEndpoint("b:1"))
		if err == nil {
			t.Fatal("b:1 was dialed")
		}
		ticks(time.Second, "a server is down", true)
		rest()
		f.server("b:1").dialed(nil)
		time.Sleep(15 * time.Second) // its back-off
		ticks(time.Second, "a server is up again", true)
		rest()
		r.say(endpoints("a:1")...)
		ticks(time.Second, "the set has changed", true)
	})
}

func TestConnectionsOfALargeFleetAreSweptWhereverTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, r := newFleet(t), newRegistry(t)
		p := open(t, r, f, core.IdleTimeout(time.Minute))
		addrs := make([]string, 200)
		for i := range addrs {
			addrs[i] = fmt.Sprintf("s%d:1", i)
		}
		r.say(endpoints(addrs...)...)
		for round := range 3 { // a server that was swept for the last time is swept again after the next call
			for i := 0; i < 200; i += 20 {
				release(t, get(t, p, core.WithEndpoint(addrs[i])))
			}
			time.Sleep(50 * time.Second)
			f.wantCounts(10*(round+1), 10*round)
			time.Sleep(20 * time.Second)
			f.wantCounts(10*(round+1), 10*(round+1))
			time.Sleep(2 * time.Minute)
		}
	})
}
