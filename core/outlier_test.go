package core_test

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// allBalancers is every balancer of this repository, and one that a user could
// have written.
func allBalancers() map[string]balance.Balancer {
	all := map[string]balance.Balancer{
		"LeastLatency":       balance.LeastLatency(balance.LeastLatencyConfig{}),
		"RoundRobin":         balance.RoundRobin(),
		"WeightedRoundRobin": balance.WeightedRoundRobin(),
		"Random":             balance.Random(),
		"LeastInFlight":      balance.LeastInFlight(),
		"PeakEWMA":           balance.PeakEWMA(),
		"RingHash":           balance.RingHash(),
		"Maglev":             balance.Maglev(),
		"Rendezvous":         balance.Rendezvous(),
		"the user's own":     firstAvailable{},
	}
	for name, inner := range maps.Clone(all) {
		all["ZoneAware of "+name] = balance.ZoneAware("z", inner)
		all["Subset of "+name] = balance.Subset(0, 1, inner)
	}
	return all
}

// firstAvailable picks the first member that is available.
type firstAvailable struct{}

func (firstAvailable) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	return firstPicker(members)
}

type firstPicker []balance.Member

func (p firstPicker) Pick(balance.PickInfo) int {
	for i, m := range p {
		if !m.Unavailable() {
			return i
		}
	}
	return 0
}

func (firstPicker) Report(int, balance.Report) {}

// TestOutlierDetectionWorksTheSameUnderAnyBalancer plays a server that fails: it
// is ejected with an event, a keyed call that waited for it moves on, it gets
// single probes and returns with an event, and a call that has failed is
// repeated only if there is time.
func TestOutlierDetectionWorksTheSameUnderAnyBalancer(t *testing.T) {
	for name, b := range allBalancers() {
		t.Run(name, func(t *testing.T) {
			t.Run("probes and events", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, j := newFleet(t, "a:1", "b:1", "c:1"), new(journal)
					p := f.pool(core.WithBalancer(b), core.WithObserver(j.Observe))
					traffic(t, p, 5*time.Second, "")
					eject(t, p, "a:1")
					n := traffic(t, p, 10*time.Second, "a:1")["a:1"]
					if n == 0 || n > 25 {
						t.Errorf("an ejected server that fails got %d calls in 10 s, want some probes", n)
					}
					if ev := j.of(core.EventEndpointEjected); len(ev) != 1 || ev[0].Endpoint != "a:1" {
						t.Errorf("ejected: %+v", ev)
					}
					for end := time.Now().Add(30 * time.Second); endpointStats(t, p, "a:1").Ejected && time.Now().Before(end); {
						traffic(t, p, 100*time.Millisecond, "")
					}
					if ev := j.of(core.EventEndpointReadmitted); len(ev) != 1 || ev[0].Endpoint != "a:1" {
						t.Errorf("readmitted: %+v", ev)
					}
				})
			})
			t.Run("wake-up", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newFleet(t, "a:1", "b:1", "c:1").pool(core.WithBalancer(b), core.MaxActive(1))
					key := core.WithKeyHash(0)
					first := get(t, p, key)
					waiting := background(t.Context(), p, key)
					waits(t, waiting)
					fail(first, 3)
					synctest.Wait()
					moved := served(t, waiting)
					if moved.Endpoint().Addr == first.Endpoint().Addr {
						t.Error("a call that waited for it was served by the ejected server")
					}
					release(t, moved, first)
				})
			})
			t.Run("time for one more", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newFleet(t, "a:1", "b:1").pool(core.WithBalancer(b))
					for range 100 {
						_ = p.Do(t.Context(), func(context.Context, *link) error {
							time.Sleep(100 * time.Millisecond)
							return nil
						})
					}
					for left, want := range map[time.Duration]int{50 * time.Millisecond: 1, 150 * time.Millisecond: 2} {
						n := 0
						_ = p.Do(within(t, time.Second), func(context.Context, *link) error {
							if n++; n == 1 {
								time.Sleep(time.Second - left)
							}
							return errBroken
						}, core.Attempts(2))
						if n != want {
							t.Errorf("with %v left: %d calls, want %d", left, n, want)
						}
					}
				})
			})
		})
	}
}
