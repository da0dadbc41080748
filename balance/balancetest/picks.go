package balancetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// pickRules are about which members a picker may return.
func pickRules() []rule {
	return []rule{
		{
			name:        "InRange",
			description: "Pick returns the index of a member, with and without a key, for few and for many members",
			check:       checkInRange,
		},
		{
			name:        "NoMembers",
			description: "Build and Pick accept a set without members, the set after it, and a previous picker of another balancer",
			check:       checkNoMembers,
		},
		{
			name:        "NoSideEffects",
			description: "Build and Pick do not change members and their load, and the previous picker stays usable",
			check:       checkNoSideEffects,
		},
		{
			name:        "NoAllocation",
			description: "Pick and Report do not allocate",
			check:       checkAllocation,
		},
		{
			name:        "AvoidsUnavailable",
			description: "Pick returns no unavailable member unless all are unavailable, from the moment of the change",
			check:       checkAvoidsUnavailable,
		},
		{
			name:        "AllUnavailable",
			description: "if all members are unavailable, Pick returns one of them; when one is available again, keyed calls go to it at once",
			check:       checkAllUnavailable,
		},
		{
			name:        "AvailableAgain",
			description: "Pick returns a member again that was unavailable",
			check:       checkAvailableAgain,
		},
		{
			name:        "ExtremeWeights",
			description: "Build and Pick accept weights of any ratio",
			long:        true,
			check:       checkExtremeWeights,
		},
	}
}

// linear is the size of the largest fleet of which each pick of picks is made with
// a key, too. A keyed pick may look at every member.
const linear = 1000

// picks calls Pick n times without a key and n times with different keys, or less
// often with keys where the fleet is large.
func (sim *simulation) picks(n int) ([]int, error) {
	seen := make([]int, len(sim.members))
	every := max(1, len(sim.members)/linear)
	for k := range n {
		infos := []balance.PickInfo{{}, key(k)}
		if k%every > 0 {
			infos = infos[:1]
		}
		for _, info := range infos {
			i, err := sim.pick(info)
			if err != nil {
				return nil, err
			}
			seen[i]++
		}
	}
	return seen, nil
}

func checkInRange(r *run) error {
	for _, n := range []int{1, 2, 3, 4, 5, 8, 9, 64, 99, 100, 1000, 10_000} {
		sim, err := r.simulate(equal(n))
		if err != nil {
			return err
		}
		for _, info := range []balance.PickInfo{{Keyed: true}, {Hash: ^uint64(0), Keyed: true}, {Hash: 1}} {
			if _, err := sim.pick(info); err != nil {
				return err
			}
		}
		for range 3 {
			if _, err := sim.picks(200); err != nil {
				return err
			}
			sim.tick(1)
		}
	}
	return nil
}

// foreign is a picker of another balancer.
type foreign struct{}

func (foreign) Pick(balance.PickInfo) int  { return -1 }
func (foreign) Report(int, balance.Report) {}

func checkNoMembers(r *run) error {
	sim, err := r.simulate(nil)
	if err != nil {
		return err
	}
	empty := func() error {
		for _, info := range []balance.PickInfo{{}, key(1)} {
			if i := sim.picker.Pick(info); i > 0 {
				return fmt.Errorf("Pick of no members returned %d", i)
			}
		}
		sim.picker.Report(0, balance.Report{Latency: 1})
		sim.tick(2)
		return nil
	}
	for _, n := range []int{3, 1, 0, 100, 0, 5} {
		if n == 5 {
			sim.picker = foreign{}
		}
		if n > 0 {
			if err := sim.set(equal(n)); err != nil {
				return err
			}
			if _, err := sim.picks(100); err != nil {
				return err
			}
			sim.tick(1)
			continue
		}
		if err := sim.set(nil); err != nil {
			return err
		}
		if err := empty(); err != nil {
			return err
		}
	}
	return nil
}

func checkNoSideEffects(r *run) error {
	b := r.newBalancer()
	var members []balance.Member
	for _, e := range weighted(1, 2, 3, 4, 0, 1) {
		m, _ := NewMember(e)
		members = append(members, m)
	}
	before := slices.Clone(members)
	first := b.Build(nil, members)
	if first == nil {
		return errors.New("Build returned nil")
	}
	second := b.Build(first, slices.Clone(members[:2]))
	for k := range 100 {
		for _, info := range []balance.PickInfo{{}, key(k)} {
			if i := first.Pick(info); i < 0 || i >= len(before) {
				return fmt.Errorf("the previous picker returned %d of %d after the next Build", i, len(before))
			}
			second.Pick(info)
		}
		first.Report(5, balance.Report{Latency: 1e6})
	}
	for i, m := range members {
		if !m.Endpoint.Equal(before[i].Endpoint) {
			return fmt.Errorf("member %d was %v and is %v", i, before[i].Endpoint, m.Endpoint)
		}
		if m.InFlight() != 0 || m.Unavailable() {
			return fmt.Errorf("member %d has %d calls in flight after picks alone, unavailable: %v", i, m.InFlight(), m.Unavailable())
		}
	}
	return nil
}

func checkAllocation(r *run) error {
	for _, eps := range [][]discovery.Endpoint{equal(1), equal(3), equal(9), equal(200), weighted(1, 2, 3), weighted(repeat(20, 1, 2)...)} {
		n := len(eps)
		sim, err := r.simulate(eps)
		if err != nil {
			return err
		}
		k := 0
		for _, down := range []int{0, n / 2, n} {
			for i := range down {
				sim.load(i).SetDown(true)
			}
			sim.tick(1)
			var last int
			for _, f := range []struct {
				what string
				do   func()
			}{
				{"Pick", func() { last = sim.picker.Pick(balance.PickInfo{}) }},
				{"Pick with a key", func() { k++; last = sim.picker.Pick(key(k)) }},
				{"Report", func() { sim.now++; sim.picker.Report(last, balance.Report{Latency: 1000, At: sim.now}) }},
			} {
				if a := testing.AllocsPerRun(200, f.do); a != 0 {
					return fmt.Errorf("%s of %d members, %d of them unavailable: %v allocations", f.what, n, down, a)
				}
			}
		}
	}
	return nil
}

// wantAvailable returns an error if one of many picks is an unavailable member.
func (sim *simulation) wantAvailable(what string) error {
	seen, err := sim.picks(1000)
	if err != nil {
		return err
	}
	for i, k := range seen {
		if k > 0 && sim.members[i].Unavailable() {
			return fmt.Errorf("%s: member %d of %d is unavailable and was picked %d times", what, i, len(seen), k)
		}
	}
	return nil
}

func checkAvoidsUnavailable(r *run) error {
	for _, n := range []int{2, 3, 9, 64, 200} {
		for _, up := range []int{1, 2, n / 2, n - 1} {
			sim, err := r.simulate(equal(n))
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%d of %d are available", up, n)
			for i := range n - up {
				// Not the first members: another mistake may avoid these.
				sim.load((7*i + n/2) % n).SetDown(true)
			}
			if err := sim.wantAvailable(what); err != nil {
				return err
			}
			sim.tick(3)
			if err := sim.wantAvailable(what + ", after a tick"); err != nil {
				return err
			}
			if err := sim.set(equal(n)); err != nil {
				return err
			}
			if err := sim.wantAvailable(what + ", in the next set"); err != nil {
				return err
			}
			for i := range n { // a busy member is better than an unavailable one
				if !sim.members[i].Unavailable() {
					for range 1000 {
						sim.load(i).Begin()
					}
				}
			}
			if err := sim.wantAvailable(what + ", and busy"); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkAllUnavailable(r *run) error {
	for _, n := range []int{1, 2, 9, 200} {
		sim, err := r.simulate(equal(n))
		if err != nil {
			return err
		}
		for i := range n {
			sim.load(i).SetDown(true)
		}
		for _, ticks := range []int{0, 3} {
			sim.tick(ticks)
			if _, err := sim.picks(100); err != nil {
				return fmt.Errorf("all members are unavailable: %w", err)
			}
		}
		sim.load(n / 2).SetDown(false)
		seen, err := sim.picks(1000)
		if err != nil {
			return err
		}
		if seen[n/2] < 1000 {
			return fmt.Errorf("one of %d members is available: it got %d of 1000 calls with a key and 1000 without", n, seen[n/2])
		}
	}
	return nil
}

func checkAvailableAgain(r *run) error {
	for _, n := range []int{2, 3, 9} {
		sim, err := r.simulate(equal(n))
		if err != nil {
			return err
		}
		all, err := sim.picks(2000)
		if err != nil {
			return err
		}
		for i := range n {
			sim.load(i).SetDown(true)
			sim.tick(10)
			if _, err := sim.picks(200); err != nil {
				return err
			}
			sim.load(i).SetDown(false)
			sim.tick(10)
			again, err := sim.picks(2000)
			if err != nil {
				return err
			}
			if all[i] > 100 && again[i] < all[i]/2 {
				return fmt.Errorf("member %d of %d got %d of 4000 calls, was unavailable for a while, and then got %d", i, n, all[i], again[i])
			}
		}
	}
	return nil
}

func checkExtremeWeights(r *run) error {
	const tiny, huge = 5e-324, 1.7976931348623157e308
	for _, weights := range [][]float64{
		{huge, tiny},
		{huge, huge, huge},
		{tiny, tiny, tiny, 1},
		{1, 1e300, 1e-300, 0, huge, tiny, 3, 1e9, 2, 2, 2},
		append(repeat(200, tiny), huge), append(repeat(200, huge), tiny), append(repeat(9999, 1), 1e12),
	} {
		sim, err := r.simulate(weighted(weights...))
		if err != nil {
			return err
		}
		for range 3 {
			if _, err := sim.picks(300); err != nil {
				return fmt.Errorf("weights %v: %w", weights[:2], err)
			}
			sim.picker.Report(0, balance.Report{Latency: 1e6, At: sim.now})
			sim.tick(1)
		}
		sim.load(slices.Index(weights, slices.Max(weights))).SetDown(true)
		if _, err := sim.picks(300); err != nil {
			return fmt.Errorf("the heaviest of weights %v is unavailable: %w", weights[:2], err)
		}
	}
	return nil
}
