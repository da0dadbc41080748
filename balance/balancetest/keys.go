package balancetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// keys is the number of keys in a rule.
const keys = 10_000

// boundFloor is the number of calls in flight that a member may have whatever
// its load bound is.
const boundFloor = 4

// keyRules are about keyed calls.
func keyRules() []rule {
	return []rule{
		{
			name:        "KeysStay",
			description: "a key has the same member each time, in every client, and in any order of the members",
			check:       checkKeysStay,
		},
		{
			name:        "KeysSpread",
			description: "the keys are spread evenly over members of the same weight",
			property:    "MaxKeyMoves",
			check: func(r *run) error {
				return checkKeysSpread(r, repeat(2, 1), repeat(9, 1), repeat(20, 1))
			},
		},
		{
			name:        "WeightedKeys",
			description: "the keys are spread over the members by weight",
			property:    "WeightedKeys",
			check: func(r *run) error {
				return checkKeysSpread(r, []float64{1, 2, 3, 4}, []float64{0, 0, 0, 5}, repeat(8, 1, 3))
			},
		},
		{
			name:        "KeysOfUnavailable",
			description: "the keys of an unavailable member move to many others and return with it, and no other key moves",
			property:    "MaxKeyMoves",
			check:       checkKeysOfUnavailable,
		},
		{
			name:        "KeysMove",
			description: "when a member joins or leaves, hardly more keys move than have to",
			property:    "MaxKeyMoves",
			check:       checkKeysMove,
		},
		{
			name:        "LoadBound",
			description: "no member gets a keyed call beyond its load bound",
			property:    "LoadBound",
			check:       checkLoadBound,
		},
	}
}

// owners returns the address of the member of each key.
func (sim *simulation) owners() ([]string, error) {
	all := make([]string, keys)
	for k := range all {
		i, err := sim.pick(key(k))
		if err != nil {
			return nil, err
		}
		all[k] = sim.members[i].Endpoint.Addr
	}
	return all, nil
}

// wantOwners returns an error if the owner of a key differs from before, unless
// it was except. change names what has changed in the error.
func (sim *simulation) wantOwners(change string, before []string, except string) error {
	after, err := sim.owners()
	if err != nil {
		return err
	}
	for k, a := range before {
		if a != except && after[k] != a {
			return fmt.Errorf("%s: key %d moved from %s to %s", change, k, a, after[k])
		}
	}
	return nil
}

func checkKeysStay(r *run) error {
	for _, eps := range [][]discovery.Endpoint{equal(1), equal(2), equal(9), equal(200), weighted(repeat(5, 1, 0, 2.5, 7)...)} {
		sim, err := r.simulate(eps)
		if err != nil {
			return err
		}
		before, err := sim.owners()
		if err != nil {
			return err
		}
		if err := sim.wantOwners("nothing has changed", before, ""); err != nil {
			return err
		}
		for i := range eps {
			sim.picker.Report(i, balance.Report{Latency: 1e6 << (i % 5), At: sim.now})
			sim.load(i).Begin()
		}
		sim.tick(5)
		if err := sim.wantOwners("each member has a latency and a call", before, ""); err != nil {
			return err
		}
		mixed := slices.Clone(eps)
		rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if err := sim.set(mixed); err != nil {
			return err
		}
		if err := sim.wantOwners("the members have another order", before, ""); err != nil {
			return err
		}
		other, err := r.simulate(mixed)
		if err != nil {
			return err
		}
		if err := other.wantOwners("another client", before, ""); err != nil {
			return err
		}
	}
	return nil
}

func checkKeysSpread(r *run, fleets ...[]float64) error {
	for _, weights := range fleets {
		sim, err := r.simulate(weighted(weights...))
		if err != nil {
			return err
		}
		seen, shares := make([]int, len(weights)), make([]float64, len(weights))
		for k := range keys {
			i, err := sim.pick(key(k))
			if err != nil {
				return err
			}
			seen[i]++
		}
		for i, m := range sim.members {
			shares[i] = m.Weight()
		}
		if err := wantShares(seen, shares, 0.4); err != nil {
			return err
		}
	}
	return nil
}

func checkKeysOfUnavailable(r *run) error {
	for _, eps := range [][]discovery.Endpoint{equal(2), equal(9), equal(40), weighted(1, 2, 3, 4, 5, 6, 7, 8, 9)} {
		sim, err := r.simulate(eps)
		if err != nil {
			return err
		}
		before, err := sim.owners()
		if err != nil {
			return err
		}
		for i := 0; i < len(eps); i += 1 + len(eps)/5 {
			gone := eps[i].Addr
			sim.load(i).SetDown(true)
			if err := sim.wantOwners("one member is unavailable", before, gone); err != nil {
				return err
			}
			sim.tick(2)
			if err := sim.wantOwners("one member is unavailable for a while", before, gone); err != nil {
				return err
			}
			after, err := sim.owners()
			if err != nil {
				return err
			}
			heirs := map[string]bool{}
			for k, a := range before {
				if a == gone {
					heirs[after[k]] = true
				}
			}
			if len(heirs) < (len(eps)-1)*2/3 {
				return fmt.Errorf("one of %d members is unavailable, and its keys moved to %d others", len(eps), len(heirs))
			}
			sim.load(i).SetDown(false)
			sim.tick(2)
			if err := sim.wantOwners("the member is available again", before, ""); err != nil {
				return err
			}
		}
		for i := range eps {
			sim.load(i).SetDown(true)
		}
		if err := sim.wantOwners("all members are unavailable", before, ""); err != nil {
			return err
		}
	}
	return nil
}

func checkKeysMove(r *run) error {
	for _, eps := range [][]discovery.Endpoint{
		equal(2), equal(5), equal(10), equal(50), weighted(repeat(4, 1, 2, 3, 4, 5)...), weighted(append(repeat(8, 1), 100)...),
	} {
		n := len(eps)
		sim, err := r.simulate(eps)
		if err != nil {
			return err
		}
		all, err := sim.owners()
		if err != nil {
			return err
		}
		for i := 0; i < n; i += 1 + n/4 {
			if err := sim.set(slices.Delete(slices.Clone(eps), i, i+1)); err != nil {
				return err
			}
			fewer, err := sim.owners()
			if err != nil {
				return err
			}
			must, did := 0, 0
			gone := eps[i].Addr
			for k := range all {
				if all[k] == gone {
					must++
				}
				if all[k] != fewer[k] {
					did++
				}
			}
			if float64(did) > r.MaxKeyMoves*float64(must) {
				return fmt.Errorf("one of %d members has left, of weight %v: it had %d of %d keys, and %d keys moved, want at most %.1f times as many",
					n, eps[i].Weight, must, keys, did, r.MaxKeyMoves)
			}
			if err := sim.set(eps); err != nil {
				return err
			}
			if err := sim.wantOwners("the member has joined again", all, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkLoadBound(r *run) error {
	for _, weights := range [][]float64{repeat(2, 1), repeat(9, 1), repeat(100, 1), {1, 2, 3, 4, 5}, repeat(50, 1, 5)} {
		for _, different := range []int{1, 3, 100_000} { // keys
			sim, err := r.simulate(weighted(weights...))
			if err != nil {
				return err
			}
			n := len(weights)
			for i := 0; i < n-2; i += 4 {
				sim.load(i).SetDown(true)
			}
			sim.tick(1)
			share, total := make([]float64, n), 0.0
			for i, m := range sim.members {
				if !m.Unavailable() {
					share[i] = m.Weight()
					total += m.Weight()
				}
			}
			var calls []int
			call := func(k int) error {
				i, err := sim.pick(key(k % different))
				if err != nil {
					return err
				}
				calls = append(calls, i)
				sim.load(i).Begin()
				most := math.Ceil((1 + r.LoadBound) * float64(len(calls)) * share[i] / total)
				if got := sim.members[i].InFlight(); got > boundFloor && float64(got) > most {
					return fmt.Errorf("%d calls with %d keys are in flight: member %d of weight %v of %v got its call number %d, want at most %v",
						len(calls), different, i, share[i], total, got, most)
				}
				return nil
			}
			for k := range 30 * n { // more and more calls
				if err := call(k); err != nil {
					return err
				}
			}
			r := rand.New(rand.NewPCG(2, uint64(n)))
			for k := range 20 * n { // fewer and fewer
				for range 2 {
					if len(calls) > 0 {
						j := r.IntN(len(calls))
						sim.load(calls[j]).End()
						calls = slices.Delete(calls, j, j+1)
					}
				}
				sim.tick(1)
				if err := call(k); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
