package balancetest

import (
	"fmt"
	"math"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// reportRules are about what balancers learn from reports.
func reportRules() []rule {
	return []rule{
		{
			name:        "InvalidReports",
			description: "reports with unknown members, unknown outcomes and impossible latencies have no lasting effect",
			check:       checkInvalidReports,
		},
		{
			name:        "AvoidsSlow",
			description: "a slow member gets few calls, also after the set of members has changed",
			property:    "AvoidsSlow",
			check:       checkAvoidsSlow,
		},
	}
}

func checkInvalidReports(r *run) error {
	const n = 9
	sim, err := r.simulate(equal(n))
	if err != nil {
		return err
	}
	ms := func(int) time.Duration { return time.Millisecond }
	usual, err := sim.serve(3*time.Second, 3*n, ms)
	if err != nil {
		return err
	}
	now := sim.now
	for _, outcome := range []balance.Outcome{balance.OutcomeOK, balance.OutcomeFailure, balance.OutcomeOverload, balance.OutcomeNeutral, balance.OutcomeCanceled, balance.OutcomeDialFailure, 77} {
		for _, latency := range []time.Duration{0, -1, math.MinInt64, math.MaxInt64} {
			for _, at := range []time.Duration{now, now - time.Hour, 0} { // reports may be late
				for _, i := range []int{0, -1, math.MinInt, n, math.MaxInt} {
					for _, load := range []float64{0, math.NaN(), math.Inf(1), -1} {
						sim.picker.Report(i, balance.Report{Outcome: outcome, Latency: latency, At: at, Load: load})
					}
				}
			}
		}
	}
	if t, ok := sim.picker.(balance.Ticker); ok {
		for range 3 {
			t.Tick(now)
		}
	}
	if _, err := sim.picks(100); err != nil {
		return err
	}
	// Enough good answers make up for all reports.
	calm := func(int) time.Duration { return 20 * time.Millisecond }
	if _, err := sim.serve(3*time.Minute, 3*n, calm); err != nil {
		return err
	}
	if _, err := sim.serve(time.Second, 3*n, ms); err != nil {
		return err
	}
	again, err := sim.serve(3*time.Second, 3*n, ms)
	if err != nil {
		return err
	}
	for i := range usual {
		if share := float64(sum(again)) / float64(sum(usual)); float64(again[i]) < 0.5*share*float64(usual[i]) {
			return fmt.Errorf("member %d got %d of %d calls before the reports, and %d of %d after three minutes of good answers",
				i, usual[i], sum(usual), again[i], sum(again))
		}
	}
	return nil
}

func checkAvoidsSlow(r *run) error {
	eps := equal(13)
	sim, err := r.simulate(eps[:12])
	if err != nil {
		return err
	}
	for _, slow := range []int{0, 4, 8} {
		speed := func(i int) time.Duration {
			if sim.members[i].Endpoint.Addr == eps[slow].Addr {
				return 50 * time.Millisecond
			}
			return time.Millisecond
		}
		if _, err := sim.serve(3*time.Second, 12, speed); err != nil {
			return err
		}
		seen, err := sim.serve(3*time.Second, 12, speed)
		if err != nil {
			return err
		}
		if seen[slow] > sum(seen)/50 {
			return fmt.Errorf("member %d of 12 is 50 times slower and got %d of %d calls", slow, seen[slow], sum(seen))
		}
		// One member joins and the order changes, without any call since.
		rotated := append(append([]discovery.Endpoint{eps[12]}, eps[5:12]...), eps[:5]...)
		if err := sim.set(rotated); err != nil {
			return err
		}
		got := 0
		for range 2000 {
			i, err := sim.pick(balance.PickInfo{})
			if err != nil {
				return err
			}
			if sim.members[i].Endpoint.Addr == eps[slow].Addr {
				got++
			}
		}
		if got > 2000/50 {
			return fmt.Errorf("member %d of 12 is 50 times slower, and got %d of 2000 calls after another one had joined", slow, got)
		}
		if err := sim.set(eps[:12]); err != nil {
			return err
		}
		calm := func(int) time.Duration { return 20 * time.Millisecond }
		if _, err := sim.serve(2*time.Minute, 12, calm); err != nil {
			return err
		}
	}
	return nil
}
