package core_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
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

// What is reported of a server that is ejected, and of one that is readmitted, says
// why, in numbers, to each observer.
func TestEventsOfEjectionsSayWhy(t *testing.T) {
	for name, opts := range map[string][]core.CallOption{"Do": nil, "Attempts": {core.Attempts(2)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1", "c:1", "d:1")
				first, second := new(journal), new(journal)
				p := f.pool(core.WithObserver(first.Observe), core.WithObserver(second.Observe))
				bad := true
				for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
					_ = p.Do(t.Context(), func(_ context.Context, l *link) error {
						time.Sleep(time.Millisecond)
						if bad && l.server.addr == "a:1" {
							return errBroken
						}
						return nil
					}, opts...)
					bad = time.Since(begun) < 3*time.Second
				}
				for i, j := range []*journal{first, second} {
					ejected, back := j.of(core.EventEndpointEjected), j.of(core.EventEndpointReadmitted)
					if len(ejected) != 1 || len(back) != 1 {
						t.Fatalf("observer %d: %d ejections, %d readmissions", i, len(ejected), len(back))
					}
					ev := ejected[0]
					if !errors.Is(ev.Err, errBroken) || !regexp.MustCompile(`^\d+ of its last \d+ calls failed, where 0\.\d+ % is usual; the last: `).MatchString(ev.Err.Error()) {
						t.Errorf("ejected: %v", ev.Err)
					}
					if ev.Duration < 300*time.Millisecond || ev.Duration > 400*time.Millisecond {
						t.Errorf("the first probe is said to come after %v", ev.Duration)
					}
					ev = back[0]
					if ev.Err == nil || ev.Err.Error() != "2 probes were answered" || ev.Duration < 2*time.Second || ev.Duration > 5*time.Second {
						t.Errorf("readmitted: %v after %v", ev.Err, ev.Duration)
					}
				}
			})
		})
	}
}
