package core_test

import (
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// everyBalancer returns all balancers of package balance.
func everyBalancer() map[string]balance.Balancer {
	all := inTurn()
	maps.Copy(all, map[string]balance.Balancer{
		"LeastLatency":  balance.LeastLatency(balance.LeastLatencyConfig{Choices: 1, Window: math.MaxInt64, SlowStart: math.MaxInt64}),
		"Random":        balance.Random(),
		"LeastInFlight": balance.LeastInFlight(balance.Choices(math.MaxInt)),
		"PeakEWMA":      balance.PeakEWMA(balance.Decay(math.MaxInt64)),
		"PeakEWMA, 1ns": balance.PeakEWMA(balance.Decay(1)),
		"RingHash":      balance.RingHash(balance.LoadBound(0)),
		"Maglev":        balance.Maglev(balance.LoadBound(math.MaxFloat64)),
		"Rendezvous":    balance.Rendezvous(balance.LoadBound(math.Inf(1))),
		"ZoneAware":     balance.ZoneAware("a", balance.Maglev(), balance.TrafficShare(math.SmallestNonzeroFloat64)),
		"Subset":        balance.Subset(math.MinInt, math.MaxInt, balance.PeakEWMA(), balance.Aperture(math.MaxInt)),
	})
	return all
}

// TestCallsAreServedWhateverTheWeightsAndKeysAre: of every balancer, whose own fields are
// at their extremes too.
func TestCallsAreServedWhateverTheWeightsAndKeysAre(t *testing.T) {
	keys := []string{"", "\x00", "\xff\xfe", "user:1", " \n", strings.Repeat("x", 1<<16)}
	for name, b := range everyBalancer() {
		for what, weights := range map[string][]float64{
			"one":            {1},
			"one unset":      {0},
			"one huge":       {1e308},
			"unset and huge": {0, 1e308, 1e308, 5e-324},
			"some refused":   {1, math.NaN(), math.Inf(1), -1, 1e308},
			"many":           append(make([]float64, 150), 1e308, 1e-308),
		} {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				for i, w := range weights {
					f.first = append(f.first, core.Endpoint{Addr: "10.0.0." + string(rune('0'+i%10)) + ":" + string(rune('1'+i/10%9)) + string(rune('0'+i/90)), Weight: w})
				}
				p := f.pool(core.WithBalancer(b))
				for round := range 3 {
					for _, key := range keys {
						for _, opt := range []core.CallOption{core.WithKey(key), core.WithKeyHash(0), core.WithKeyHash(math.MaxUint64), core.WithoutEndpoint("none:1")} {
							l := get(t, p, opt)
							if w := l.Endpoint().Weight; math.IsNaN(w) || math.IsInf(w, 0) || w < 0 {
								t.Errorf("%s, %s: a call went to a server of weight %v", name, what, w)
							}
							release(t, l)
						}
						release(t, get(t, p))
					}
					time.Sleep(time.Duration(round) * time.Second)
				}
			})
		}
	}
}
