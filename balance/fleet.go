package balance

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// lightest is the least weight there is, as a part of the heaviest, so that
	// rounding does not spoil sums and quotients of weights.
	lightest = 1e-9
	// maxDraws is how many endpoints are drawn to find one that is available,
	// before all of them are looked at.
	maxDraws = 16
)

// builder is a Balancer made of a function.
type builder struct {
	build func(previous Picker, members []Member) Picker
	err   error // of its parameters
}

// configure applies options to c. The error says that one of them is nil.
func configure[C any, O ~func(*C)](c *C, opts []O) (err error) {
	for _, o := range opts {
		if o == nil {
			err = errors.New("balance: an option is nil")
			continue
		}
		o(c)
	}
	return err
}

// Build implements [Balancer].
func (b builder) Build(previous Picker, members []Member) Picker { return b.build(previous, members) }

// Validate reports the parameters that make no sense. core.New calls it.
func (b builder) Validate() error { return b.err }

// validateInner returns the error of the balancer that another one wraps.
func validateInner(name string, inner Balancer) error {
	if inner == nil {
		return fmt.Errorf("balance: %s: the inner balancer is nil", name)
	}
	if v, ok := inner.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// fleet is the endpoints of one picker, with what all balancers ask of them.
type fleet struct {
	members []Member
	// share is each one's part of the weight; they add up to 1.
	share []float64
	// equal means that all weights are the same.
	equal bool
	// hash is that of the address, the same in all clients.
	hash []uint64
}

// newFleet returns the fleet of members.
func newFleet(members []Member) fleet {
	f := weigh(members)
	for i, m := range members {
		f.hash[i] = Hash(m.Endpoint.Addr)
	}
	return f
}

// weigh returns the fleet of members without their hashes.
func weigh(members []Member) fleet {
	f := fleet{members: members, share: make([]float64, len(members)), hash: make([]uint64, len(members)), equal: true}
	heaviest, total := 0.0, 0.0
	for _, m := range f.members {
		heaviest = max(heaviest, m.Weight())
		f.equal = f.equal && m.Weight() == f.members[0].Weight()
	}
	for i, m := range f.members {
		f.share[i] = max(m.Weight()/heaviest, lightest)
	}
	// The sum must not depend on the order, which differs between clients: the
	// owners of keys are computed from it.
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

// Report implements [Picker] for pickers that do not learn.
func (f *fleet) Report(int, Report) {}

// available returns a random endpoint that is available, in proportion to its
// weight, or -1 if none is. It looks at all endpoints.
func (f *fleet) available() int {
	total := 0.0
	for i := range f.members {
		if !f.members[i].Unavailable() {
			total += f.share[i]
		}
	}
	last := -1
	x := rand.Float64() * total
	for i := range f.members {
		if f.members[i].Unavailable() {
			continue
		}
		last = i
		if x -= f.share[i]; x < 0 {
			break
		}
	}
	return last
}

// orAvailable returns endpoint i, or a random one that is available if i is not.
func (f *fleet) orAvailable(i int) int {
	if f.members[i].Unavailable() {
		if a := f.available(); a >= 0 {
			return a
		}
	}
	return i
}

// keyed returns the endpoint that key belongs to, or -1 if there is none: the one
// with the highest weighted random number for the key. Endpoints that are full by
// b, which may be nil, come after all others, and unavailable ones come last. It
// looks at all endpoints.
func (f *fleet) keyed(key uint64, b *bound) int {
	if f.equal && b == nil {
		return f.keyedEqual(key)
	}
	var best [3]int
	var least [3]float64
	for i := range f.members {
		class := 0
		switch m := &f.members[i]; {
		case m.Unavailable():
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

// keyedEqual is keyed for equal weights and no bound, which is the usual case
// and takes a fraction of the time: the highest hash wins, without logarithms, and
// only endpoints that would win are looked at.
func (f *fleet) keyedEqual(key uint64) int {
	if i := f.highest(key, false); i >= 0 {
		return i
	}
	return f.highest(key, true)
}

// highest returns the endpoint with the highest hash for key, or -1: of those
// available, or of all.
func (f *fleet) highest(key uint64, all bool) int {
	best := -1
	var top uint64
	for i, hash := range f.hash {
		if h := mix(key ^ hash); (best < 0 || h > top) && (all || !f.members[i].Unavailable()) {
			best, top = i, h
		}
	}
	return best
}

// Hash returns the hash of a key for [PickInfo], as the pool computes it: FNV-1a,
// then the finalizer of splitmix64.
func Hash(s string) uint64 {
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

// golden is 2^64 over the golden ratio. Its multiples, modulo 2^64, are spread as
// evenly as possible.
const golden = 0x9e3779b97f4a7c15
