package balancetest

import (
	"fmt"
	"math"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// spreadRules are about how many calls each member gets.
func spreadRules() []rule {
	return []rule{
		{
			name:        "Even",
			description: "members of the same weight get the same number of calls",
			property:    "Even",
			long:        true,
			check:       checkEven,
		},
		{
			name:        "Weighted",
			description: "members get calls in proportion to their weights, when they are idle and when they are busy with speeds in that proportion",
			property:    "Weighted",
			long:        true,
			check:       checkWeighted,
		},
	}
}

func checkEven(r *run) error {
	for _, n := range []int{2, 3, 5, 8, 9, 64} {
		sim, err := r.simulate(equal(n))
		if err != nil {
			return err
		}
		seen := make([]int, n)
		const each = 2000
		for range each * n {
			i, err := sim.pick(balance.PickInfo{})
			if err != nil {
				return err
			}
			seen[i]++
		}
		if err := likely(seen); err != nil {
			return fmt.Errorf("without load: %w", err)
		}
		for i := 1; i < n; i += 2 { // the others share the calls evenly
			sim.load(i).SetDown(true)
		}
		clear(seen)
		for range each * n {
			i, err := sim.pick(balance.PickInfo{})
			if err != nil {
				return err
			}
			seen[i]++
		}
		var available []int
		for i := 0; i < n; i += 2 {
			available = append(available, seen[i])
		}
		if err := likely(available); err != nil {
			return fmt.Errorf("every other member is unavailable: %w", err)
		}
		if sim, err = r.simulate(equal(n)); err != nil {
			return err
		}
		busy := func(int) time.Duration { return time.Millisecond }
		if _, err = sim.serve(2*time.Second, 3*n, busy); err != nil {
			return err
		}
		if seen, err = sim.serve(5*time.Second, 3*n, busy); err != nil {
			return err
		}
		if err := wantShares(seen, repeat(n, 1), 0.15); err != nil {
			return fmt.Errorf("busy: %w", err)
		}
	}
	return nil
}

// likely returns an error if seen is so uneven that equal chances produce it
// less than once in a billion times. It uses Pearson's chi-square with the
// approximation of Wilson and Hilferty.
func likely(seen []int) error {
	n := float64(len(seen))
	want, chi := float64(sum(seen))/n, 0.0
	for _, k := range seen {
		chi += (float64(k) - want) * (float64(k) - want) / want
	}
	if n < 2 {
		return nil
	}
	df := n - 1
	if z := (math.Cbrt(chi/df) - (1 - 2/(9*df))) / math.Sqrt(2/(9*df)); z > 6 {
		return fmt.Errorf("%d members got %v, which is not random (chi-square %.1f)", len(seen), brief(seen), chi)
	}
	return nil
}

func checkWeighted(r *run) error {
	for _, weights := range [][]float64{
		{1, 2}, {1, 2, 3, 4}, {10, 1, 1}, {0, 0, 5, 1}, repeat(10, 1, 2, 4), repeat(20, 3, 3, 1), {1e9, 2e9, 3e9},
	} {
		sim, err := r.simulate(weighted(weights...))
		if err != nil {
			return err
		}
		shares, total := make([]float64, len(weights)), 0.0
		for i, m := range sim.members {
			shares[i] = m.Weight()
			total += m.Weight()
		}
		idle := make([]int, len(weights))
		for range 3000 * len(weights) {
			i, err := sim.pick(balance.PickInfo{})
			if err != nil {
				return err
			}
			idle[i]++
		}
		if err := wantShares(idle, shares, 0.2); err != nil {
			return fmt.Errorf("without load: %w", err)
		}
		// Enough clients to keep each member busy.
		clients := 0
		for _, s := range shares {
			clients = max(clients, int(6*total/s))
		}
		clients = min(clients, 40*len(weights))
		speed := func(i int) time.Duration {
			return time.Duration(float64(time.Millisecond) * total / shares[i] / float64(len(shares)))
		}
		if _, err := sim.serve(2*time.Second, clients, speed); err != nil {
			return err
		}
		seen, err := sim.serve(5*time.Second, clients, speed)
		if err != nil {
			return err
		}
		if err := wantShares(seen, shares, 0.2); err != nil {
			return err
		}
	}
	return nil
}
