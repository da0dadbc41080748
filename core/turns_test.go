package core_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// shares makes n calls, one after the other, and returns how many each server got.
func shares(t *testing.T, p *core.Pool[*link], n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		if err := p.Do(t.Context(), func(_ context.Context, l *link) error {
			got[l.server.addr]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// inTurn returns the balancers that take turns, which are the same for equal weights.
func inTurn() map[string]balance.Balancer {
	return map[string]balance.Balancer{
		"RoundRobin":             balance.RoundRobin(),
		"WeightedRoundRobin":     balance.WeightedRoundRobin(),
		"ZoneAware, RoundRobin":  balance.ZoneAware("", balance.RoundRobin()),
		"ZoneAware with one end": balance.ZoneAware("elsewhere", balance.WeightedRoundRobin()),
		"Subset, RoundRobin":     balance.Subset(0, 1, balance.RoundRobin()),
	}
}

// TestTurnsAreTakenAlsoWhereTheConnectionHasToBeDialed: what the picker names is
// dialed, and not what happens to have an idle connection called instead.
func TestTurnsAreTakenAlsoWhereTheConnectionHasToBeDialed(t *testing.T) {
	for name, b := range inTurn() {
		for _, n := range []int{2, 3, 4, 100} {
			synctest.Test(t, func(t *testing.T) {
				var servers []string
				for k := range n {
					servers = append(servers, fmt.Sprintf("10.0.0.%d:1", k+1))
				}
				p := newFleet(t, servers...).pool(core.WithBalancer(b))
				got := shares(t, p, 10*n)
				for _, s := range servers {
					if off := got[s] - 10; off < -2 || off > 2 || off != 0 && name == "RoundRobin" {
						t.Errorf("%s: of %d servers %s got %d calls of %d, want 10", name, n, s, got[s], 10*n)
					}
				}
			})
		}
	}
}

func TestCanaryGetsItsOneCallInAHundred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.first = []core.Endpoint{{Addr: "main:1", Weight: 99}, {Addr: "canary:1", Weight: 1}}
		p := f.pool(core.WithBalancer(balance.WeightedRoundRobin()))
		if n := shares(t, p, 20_000)["canary:1"]; n < 190 || n > 210 {
			t.Errorf("the canary got %d calls of 20000, want 200", n)
		}
	})
}

func TestServerThatWasRestartedHasItsShareAtOnce(t *testing.T) {
	for name, b := range inTurn() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1", "c:1", "d:1", "e:1")
				p := f.pool(core.WithBalancer(b))
				shares(t, p, 100)
				if err := p.Do(t.Context(), func(context.Context, *link) error { return io.EOF }, core.WithEndpoint("a:1")); err == nil {
					t.Fatal("the call to the server that restarts went well")
				}
				time.Sleep(time.Second)
				if n := shares(t, p, 1000)["a:1"]; n < 195 || n > 205 {
					t.Errorf("it got %d calls of 1000, want 200", n)
				}
			})
		})
	}
}

// TestCallsWithOptionsTakeTurnsToo: an option makes a call look around first.
func TestCallsWithOptionsTakeTurnsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFleet(t, "a:1", "b:1", "c:1").pool(core.WithBalancer(balance.RoundRobin()))
		got := map[string]int{}
		for range 30 {
			l := get(t, p, core.WithoutEndpoint("x:1"))
			got[l.Endpoint().Addr]++
			release(t, l)
		}
		for _, s := range []string{"a:1", "b:1", "c:1"} {
			if got[s] != 10 {
				t.Errorf("%s got %d calls of 30, want 10", s, got[s])
			}
		}
	})
}

// TestSharesOfTheDefaultFollowTheWeightsAtLittleLoad: while no two calls meet, the
// score of the heaviest is always the least.
func TestSharesOfTheDefaultFollowTheWeightsAtLittleLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.first = []core.Endpoint{{Addr: "a:1", Weight: 2}, {Addr: "b:1", Weight: 1}, {Addr: "c:1", Weight: 1}}
		p := f.pool()
		got := map[string]int{}
		for range 1000 {
			if err := p.Do(t.Context(), func(_ context.Context, l *link) error {
				time.Sleep(time.Millisecond)
				got[l.server.addr]++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(9 * time.Millisecond)
		}
		for addr, want := range map[string]int{"a:1": 500, "b:1": 250, "c:1": 250} {
			if n := got[addr]; n < want*9/10 || n > want*11/10 {
				t.Errorf("%s got %d calls of 1000, want %d", addr, n, want)
			}
		}
	})
}

func TestKeysOfTheDefaultAndOfRendezvousHaveTheSameServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFleet(t), newFleet(t)
		f.first = []core.Endpoint{{Addr: "a:1"}, {Addr: "b:1", Weight: 2}, {Addr: "c:1", Weight: 3}, {Addr: "d:1", Weight: 0.5}}
		g.first = f.first
		byDefault, rendezvous := f.pool(), g.pool(core.WithBalancer(balance.Rendezvous()))
		for k := range 1000 {
			key := core.WithKey(fmt.Sprint("user:", k))
			one, other := get(t, byDefault, key), get(t, rendezvous, key)
			if one.Endpoint().Addr != other.Endpoint().Addr {
				t.Errorf("user:%d goes to %s by default, to %s by Rendezvous", k, one.Endpoint().Addr, other.Endpoint().Addr)
			}
			release(t, one)
			release(t, other)
		}
	})
}
