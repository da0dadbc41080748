package balancetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

// keys is how many keys the rules try.
const keys = 10_000

func keyRules() []rule {
	consistent := func(p *promises) bool { return p.moves > 0 }
	return []rule{
		{
			name:  "KeysStay",
			says:  "a key has the same endpoint each time, in every client, in whatever order the members are",
			check: checkKeysStay,
		},
		{
			name:    "KeysSpread",
			says:    "the keys are spread evenly over members of equal weight",
			applies: consistent,
			check: func(x *exam) error {
				return checkKeysSpread(x, repeat(2, 1), repeat(9, 1), repeat(20, 1))
			},
		},
		{
			name:    "WeightedKeys",
			says:    "the keys are spread over the members by weight",
			applies: func(p *promises) bool { return p.weightedKeys },
			check: func(x *exam) error {
				return checkKeysSpread(x, []float64{1, 2, 3, 4}, []float64{0, 0, 0, 5}, repeat(8, 1, 3))
			},
		},
		{
			name:    "KeysOfOut",
			says:    "the keys of a member that is out go to many others and return with it; no other key moves",
			applies: consistent,
			check:   checkKeysOfOut,
		},
		{
			name:    "KeysMove",
			says:    "when a member comes or leaves, hardly more keys move than have to",
			applies: consistent,
			check:   checkKeysMove,
		},
		{
			name:    "Bound",
			says:    "no member gets a keyed call beyond its bound",
			applies: func(p *promises) bool { return p.excess > 0 },
			check:   checkBound,
		},
	}
}

// owners returns the address of the endpoint of each key.
func (w *world) owners() ([]string, error) {
	all := make([]string, keys)
	for k := range all {
		i, err := w.pick(key(k))
		if err != nil {
			return nil, err
		}
		all[k] = w.members[i].Endpoint.Addr
	}
	return all, nil
}

// moved returns an error if keys of before, other than those of from, have
// another owner now.
func (w *world) moved(what string, before []string, from string) error {
	after, err := w.owners()
	if err != nil {
		return err
	}
	for k, a := range before {
		if a != from && after[k] != a {
			return fmt.Errorf("%s: key %d went from %s to %s", what, k, a, after[k])
		}
	}
	return nil
}

func checkKeysStay(x *exam) error {
	for _, eps := range [][]core.Endpoint{equal(1), equal(2), equal(9), equal(200), weighing(repeat(5, 1, 0, 2.5, 7)...)} {
		w, err := x.world(eps)
		if err != nil {
			return err
		}
		before, err := w.owners()
		if err != nil {
			return err
		}
		if err := w.moved("nothing happened", before, ""); err != nil {
			return err
		}
		for i := range eps {
			w.picker.Report(i, core.Report{Latency: 1e6 << (i % 5), At: w.now})
			w.load(i).Begin()
		}
		w.tick(5)
		if err := w.moved("latencies and one call each", before, ""); err != nil {
			return err
		}
		mixed := slices.Clone(eps)
		rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if err := w.set(mixed); err != nil {
			return err
		}
		if err := w.moved("the members have another order", before, ""); err != nil {
			return err
		}
		other, err := x.world(mixed)
		if err != nil {
			return err
		}
		if err := other.moved("another client", before, ""); err != nil {
			return err
		}
	}
	return nil
}

func checkKeysSpread(x *exam, fleets ...[]float64) error {
	for _, weights := range fleets {
		w, err := x.world(weighing(weights...))
		if err != nil {
			return err
		}
		seen, shares := make([]int, len(weights)), make([]float64, len(weights))
		for k := range keys {
			i, err := w.pick(key(k))
			if err != nil {
				return err
			}
			seen[i]++
		}
		for i, m := range w.members {
			shares[i] = m.Weight()
		}
		if err := wantShares(seen, shares, 0.4); err != nil {
			return err
		}
	}
	return nil
}

func checkKeysOfOut(x *exam) error {
	for _, eps := range [][]core.Endpoint{equal(2), equal(9), equal(40), weighing(1, 2, 3, 4, 5, 6, 7, 8, 9)} {
		w, err := x.world(eps)
		if err != nil {
			return err
		}
		before, err := w.owners()
		if err != nil {
			return err
		}
		for i := 0; i < len(eps); i += 1 + len(eps)/5 {
			gone := eps[i].Addr
			w.load(i).SetDown(true)
			if err := w.moved("one is out", before, gone); err != nil {
				return err
			}
			w.tick(2)
			if err := w.moved("one is out for a while", before, gone); err != nil {
				return err
			}
			after, err := w.owners()
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
				return fmt.Errorf("the keys of one of %d that is out all went to %d others", len(eps), len(heirs))
			}
			w.load(i).SetDown(false)
			w.tick(2)
			if err := w.moved("it is back", before, ""); err != nil {
				return err
			}
		}
		for i := range eps {
			w.load(i).SetDown(true)
		}
		if err := w.moved("all are out", before, ""); err != nil {
			return err
		}
	}
	return nil
}

func checkKeysMove(x *exam) error {
	for _, n := range []int{2, 5, 10, 50} {
		w, err := x.world(equal(n))
		if err != nil {
			return err
		}
		all, err := w.owners()
		if err != nil {
			return err
		}
		for i := 0; i < n; i += 1 + n/4 {
			if err := w.set(slices.Delete(equal(n), i, i+1)); err != nil {
				return err
			}
			fewer, err := w.owners()
			if err != nil {
				return err
			}
			must, did := 0, 0
			gone := equal(n)[i].Addr
			for k := range all {
				if all[k] == gone {
					must++
				}
				if all[k] != fewer[k] {
					did++
				}
			}
			if float64(did) > x.moves*float64(must) {
				return fmt.Errorf("one of %d left: %d of %d keys were its own and %d moved, want at most %.1f times as many",
					n, must, keys, did, x.moves)
			}
			if err := w.set(equal(n)); err != nil {
				return err
			}
			if err := w.moved("it came again", all, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkBound(x *exam) error {
	for _, weights := range [][]float64{repeat(2, 1), repeat(9, 1), repeat(100, 1), {1, 2, 3, 4, 5}, repeat(50, 1, 5)} {
		for _, different := range []int{1, 3, 100_000} { // keys
			w, err := x.world(weighing(weights...))
			if err != nil {
				return err
			}
			n := len(weights)
			for i := 0; i < n-2; i += 4 {
				w.load(i).SetDown(true)
			}
			w.tick(1)
			share, total := make([]float64, n), 0.0
			for i, m := range w.members {
				if !m.Out() {
					share[i] = m.Weight()
					total += m.Weight()
				}
			}
			var calls []int
			call := func(k int) error {
				i, err := w.pick(key(k % different))
				if err != nil {
					return err
				}
				calls = append(calls, i)
				w.load(i).Begin()
				most := math.Ceil((1 + x.excess) * float64(len(calls)) * share[i] / total)
				if got := w.members[i].InFlight(); got > x.spare && float64(got) > most {
					return fmt.Errorf("%d calls with %d keys are in flight: endpoint %d of weight %v of %v got its call number %d, want at most %v",
						len(calls), different, i, share[i], total, got, most)
				}
				return nil
			}
			for k := range 30 * n { // ever more calls
				if err := call(k); err != nil {
					return err
				}
			}
			r := rand.New(rand.NewPCG(2, uint64(n)))
			for k := range 20 * n { // ever fewer
				for range 2 {
					if len(calls) > 0 {
						j := r.IntN(len(calls))
						w.load(calls[j]).End()
						calls = slices.Delete(calls, j, j+1)
					}
				}
				w.tick(1)
				if err := call(k); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
