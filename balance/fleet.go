package balance

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// lightest is the least weight there is, in weights of the heaviest, so
	// that sums and quotients of weights stay what they are on paper.
	lightest = 1e-9
	// draws is how often a draw is repeated that came upon endpoints that are
	// out, before all endpoints are looked at.
	draws = 16
)

// build is a Balancer without parameters of its own.
type build func(previous core.Picker, set core.Snapshot) core.Picker

func (b build) Build(previous core.Picker, set core.Snapshot) core.Picker { return b(previous, set) }

// fleet is the endpoints of one picker and what all balancers ask of them.
type fleet struct {
	members []core.Member
	// share is each one's part of the weight; they add up to 1.
	share []float64
	// equal: all weights are the same.
	equal bool
	// hash is that of the address: the same in all clients.
	hash []uint64
}

func newFleet(set core.Snapshot) fleet {
	f := fleet{
		members: set.Members,
		share:   make([]float64, len(set.Members)),
		hash:    make([]uint64, len(set.Members)),
		equal:   true,
	}
	heaviest, total := 0.0, 0.0
	for i, m := range f.members {
		heaviest = max(heaviest, m.Weight())
		f.equal = f.equal && m.Weight() == f.members[0].Weight()
		f.hash[i] = hash(m.Endpoint.Addr)
	}
	for i, m := range f.members {
		f.share[i] = max(m.Weight()/heaviest, lightest)
	}
	// The sum must not depend on the order, which is another one in each
	// client: where keys belong is computed from it.
	parts := f.share
	if !f.equal {
		parts = slices.Sorted(slices.Values(f.share))
	}
	for _, s := range parts {
		total += s
	}
	for i := range f.share {
		f.share[i] /= total
	}
	return f
}

// Report is that of pickers which do not learn.
func (f *fleet) Report(int, core.Report) {}

// live returns a random endpoint that is not out, each as often as its weight
// says, or -1 if all are out. It looks at all endpoints.
func (f *fleet) live() int {
	total := 0.0
	for i := range f.members {
		if !f.members[i].Out() {
			total += f.share[i]
		}
	}
	last := -1
	x := rand.Float64() * total
	for i := range f.members {
		if f.members[i].Out() {
			continue
		}
		last = i
		if x -= f.share[i]; x < 0 {
			break
		}
	}
	return last
}

// keyed returns the endpoint that key belongs to, or -1 if there is none: the
// one with the highest weighted random number of its own for the key. Those
// that b calls full come after all others, then those that are out; b may be
// nil. It looks at all endpoints.
func (f *fleet) keyed(key uint64, b *bound) int {
	var best [3]int
	var least [3]float64
	for i := range f.members {
		class := 0
		switch m := &f.members[i]; {
		case m.Out():
			class = 2
		case b != nil && b.full(f, i):
			class = 1
		}
		// The time until the first event of a Poisson process whose rate is
		// the weight.
		h := mix(key ^ f.hash[i])
		at := float64(^h)
		if !f.equal {
			at = -math.Log((float64(h>>11)+0.5)/(1<<53)) / f.share[i]
		}
		if best[class] == 0 || at < least[class] {
			best[class], least[class] = i+1, at
		}
	}
	for _, i := range best {
		if i > 0 {
			return i - 1
		}
	}
	return -1
}

// hash is FNV-1a, mixed.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// golden is 2^64 over the golden ratio: its multiples are spread most evenly.
const golden = 0x9e3779b97f4a7c15
