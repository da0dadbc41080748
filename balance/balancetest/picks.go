package balancetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

func pickRules() []rule {
	return []rule{
		{
			name:  "InRange",
			says:  "Pick returns the index of a member, with a key and without, of few members and of many",
			check: checkInRange,
		},
		{
			name:  "NoMembers",
			says:  "a set without members harms nobody, nor does the next set, nor one after a picker of another balancer",
			check: checkNoMembers,
		},
		{
			name:  "KeepsItsHandsOff",
			says:  "Build and Pick leave members and their load as they are, and the picker before stays usable",
			check: checkHandsOff,
		},
		{
			name:  "NoAllocation",
			says:  "Pick and Report allocate nothing",
			check: checkAllocation,
		},
		{
			name:  "AvoidsOut",
			says:  "a member that is out is not picked unless all are, from the moment it is out",
			check: checkOut,
		},
		{
			name:  "AllOut",
			says:  "if all members are out, one of them is picked; when one is back, keyed calls go to it at once",
			check: checkAllOut,
		},
		{
			name:  "Returns",
			says:  "a member that was out is picked again when it is back",
			check: checkReturns,
		},
		{
			name:  "HugeRatios",
			says:  "weights of any ratio are harmless",
			check: checkHugeRatios,
		},
	}
}

// picks asks n times without a key and n times with different keys.
func (w *world) picks(n int) ([]int, error) {
	seen := make([]int, len(w.members))
	for k := range n {
		for _, h := range []core.Hint{{}, key(k)} {
			i, err := w.pick(h)
			if err != nil {
				return nil, err
			}
			seen[i]++
		}
	}
	return seen, nil
}

func checkInRange(x *exam) error {
	for _, n := range []int{1, 2, 3, 4, 5, 8, 9, 64, 99, 100, 1000, 10_000} {
		w, err := x.world(equal(n))
		if err != nil {
			return err
		}
		for _, h := range []core.Hint{{Keyed: true}, {Key: ^uint64(0), Keyed: true}, {Key: 1}} {
			if _, err := w.pick(h); err != nil {
				return err
			}
		}
		for range 3 {
			if _, err := w.picks(200); err != nil {
				return err
			}
			w.tick(1)
		}
	}
	return nil
}

// foreign is a picker of some other balancer.
type foreign struct{}

func (foreign) Pick(core.Hint) int      { return -1 }
func (foreign) Report(int, core.Report) {}

func checkNoMembers(x *exam) error {
	w, err := x.world(nil)
	if err != nil {
		return err
	}
	empty := func() error {
		for _, h := range []core.Hint{{}, key(1)} {
			if i := w.picker.Pick(h); i > 0 {
				return fmt.Errorf("Pick of no endpoints returned %d", i)
			}
		}
		w.picker.Report(0, core.Report{Latency: 1})
		w.tick(2)
		return nil
	}
	for _, n := range []int{3, 1, 0, 100, 0, 5} {
		if n == 5 {
			w.picker = foreign{}
		}
		if n > 0 {
			if err := w.set(equal(n)); err != nil {
				return err
			}
			if _, err := w.picks(100); err != nil {
				return err
			}
			w.tick(1)
			continue
		}
		if err := w.set(nil); err != nil {
			return err
		}
		if err := empty(); err != nil {
			return err
		}
	}
	return nil
}

func checkHandsOff(x *exam) error {
	b := x.construct()
	var set core.Snapshot
	for _, e := range weighing(1, 2, 3, 4, 0, 1) {
		m, _ := core.NewMember(e)
		set.Members = append(set.Members, m)
	}
	before := slices.Clone(set.Members)
	first := b.Build(nil, set)
	if first == nil {
		return errors.New("Build returned nil")
	}
	second := b.Build(first, core.Snapshot{Members: slices.Clone(set.Members[:2])})
	for k := range 100 {
		for _, h := range []core.Hint{{}, key(k)} {
			if i := first.Pick(h); i < 0 || i >= len(before) {
				return fmt.Errorf("the picker before returned %d of %d after the next Build", i, len(before))
			}
			second.Pick(h)
		}
		first.Report(5, core.Report{Latency: 1e6})
	}
	for i, m := range set.Members {
		if !m.Endpoint.Equal(before[i].Endpoint) {
			return fmt.Errorf("member %d was %v and is %v", i, before[i].Endpoint, m.Endpoint)
		}
		if m.InFlight() != 0 || m.Out() {
			return fmt.Errorf("member %d has %d calls in flight after picks alone, out: %v", i, m.InFlight(), m.Out())
		}
	}
	return nil
}

func checkAllocation(x *exam) error {
	for _, n := range []int{1, 3, 9, 200} {
		w, err := x.world(equal(n))
		if err != nil {
			return err
		}
		k := 0
		for _, out := range []int{0, n / 2, n} {
			for i := range out {
				w.load(i).SetDown(true)
			}
			w.tick(1)
			var last int
			for _, f := range []struct {
				what string
				do   func()
			}{
				{"Pick", func() { last = w.picker.Pick(core.Hint{}) }},
				{"Pick with a key", func() { k++; last = w.picker.Pick(key(k)) }},
				{"Report", func() { w.now++; w.picker.Report(last, core.Report{Latency: 1000, At: w.now}) }},
			} {
				if a := testing.AllocsPerRun(200, f.do); a != 0 {
					return fmt.Errorf("%s of %d endpoints, %d of them out: %v allocations", f.what, n, out, a)
				}
			}
		}
	}
	return nil
}

// wantIn returns an error if one of many picks is a member that is out.
func (w *world) wantIn(what string) error {
	seen, err := w.picks(1000)
	if err != nil {
		return err
	}
	for i, k := range seen {
		if k > 0 && w.members[i].Out() {
			return fmt.Errorf("%s: endpoint %d of %d is out and was picked %d times", what, i, len(seen), k)
		}
	}
	return nil
}

func checkOut(x *exam) error {
	for _, n := range []int{2, 3, 9, 64, 200} {
		for _, in := range []int{1, 2, n / 2, n - 1} {
			w, err := x.world(equal(n))
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%d of %d are in", in, n)
			for i := range n - in {
				// Not the first ones: some other mistake might avoid these.
				w.load((7*i + n/2) % n).SetDown(true)
			}
			if err := w.wantIn(what); err != nil {
				return err
			}
			w.tick(3)
			if err := w.wantIn(what + ", after a tick"); err != nil {
				return err
			}
			if err := w.set(equal(n)); err != nil {
				return err
			}
			if err := w.wantIn(what + ", in the next set"); err != nil {
				return err
			}
			for i := range n { // busy ones are still better than those that are out
				if !w.members[i].Out() {
					for range 1000 {
						w.load(i).Begin()
					}
				}
			}
			if err := w.wantIn(what + ", and busy"); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkAllOut(x *exam) error {
	for _, n := range []int{1, 2, 9, 200} {
		w, err := x.world(equal(n))
		if err != nil {
			return err
		}
		for i := range n {
			w.load(i).SetDown(true)
		}
		for _, ticks := range []int{0, 3} {
			w.tick(ticks)
			if _, err := w.picks(100); err != nil {
				return fmt.Errorf("all are out: %w", err)
			}
		}
		w.load(n / 2).SetDown(false)
		seen, err := w.picks(1000)
		if err != nil {
			return err
		}
		if seen[n/2] < 1000 {
			return fmt.Errorf("one of %d is back, the others are out: it got %d of 1000 calls with a key and 1000 without", n, seen[n/2])
		}
	}
	return nil
}

func checkReturns(x *exam) error {
	for _, n := range []int{2, 3, 9} {
		w, err := x.world(equal(n))
		if err != nil {
			return err
		}
		all, err := w.picks(2000)
		if err != nil {
			return err
		}
		for i := range n {
			w.load(i).SetDown(true)
			w.tick(10)
			if _, err := w.picks(200); err != nil {
				return err
			}
			w.load(i).SetDown(false)
			w.tick(10)
			again, err := w.picks(2000)
			if err != nil {
				return err
			}
			if all[i] > 100 && again[i] < all[i]/2 {
				return fmt.Errorf("endpoint %d of %d got %d of 4000 calls, was out and back, and got %d", i, n, all[i], again[i])
			}
		}
	}
	return nil
}

func checkHugeRatios(x *exam) error {
	const tiny, huge = 5e-324, 1.7976931348623157e308
	for _, weights := range [][]float64{
		{huge, tiny},
		{huge, huge, huge},
		{tiny, tiny, tiny, 1},
		{1, 1e300, 1e-300, 0, huge, tiny, 3, 1e9, 2, 2, 2},
		append(repeat(200, tiny), huge), append(repeat(200, huge), tiny), append(repeat(9999, 1), 1e12),
	} {
		w, err := x.world(weighing(weights...))
		if err != nil {
			return err
		}
		for range 3 {
			if _, err := w.picks(300); err != nil {
				return fmt.Errorf("weights %v: %w", weights[:2], err)
			}
			w.picker.Report(0, core.Report{Latency: 1e6, At: w.now})
			w.tick(1)
		}
		w.load(slices.Index(weights, slices.Max(weights))).SetDown(true)
		if _, err := w.picks(300); err != nil {
			return fmt.Errorf("the heaviest of weights %v is out: %w", weights[:2], err)
		}
	}
	return nil
}
