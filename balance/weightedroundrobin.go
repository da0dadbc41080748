package balance

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
)

// WeightedRoundRobin returns a balancer that takes the endpoints in turn, each in
// proportion to its weight and at even distances: in any run of calls each
// endpoint gets its share to within a few calls. A keyed call goes as with
// [Rendezvous], without its bound.
//
// Envoy (earliest deadline first) and nginx (commit 52327e0627f4, 2012) have the
// same smoothness by a deadline or a current weight per endpoint, under a lock.
// WeightedRoundRobin has one counter: multiples of the golden ratio, modulo 1, are
// at any moment spread over [0, 1) as evenly as possible (Knuth, TAOCP 3, section
// 6.4, theorem S), hence also over intervals as long as the endpoints' shares.
func WeightedRoundRobin() Balancer {
	return builder{build: func(_ Picker, members []Member) Picker {
		return newWeighted(members)
	}}
}

type weighted struct {
	fleet
	turns
}

// turns gives endpoints turns in proportion to their shares.
type turns struct {
	turn atomic.Uint64
	// end is the end of each endpoint's interval, in units of 2^-64.
	end []uint64
	// guide has the first endpoint in each of the equal parts of [0, 1)
	// (Chen and Asau, "On Generating Random Variates from an Empirical
	// Distribution", AIIE Transactions 6(2), 1974).
	guide []int32
	shift int
}

func newWeighted(members []Member) *weighted {
	p := &weighted{fleet: newFleet(members)}
	p.turns.init(p.share)
	return p
}

func (p *turns) init(share []float64) {
	n := len(share)
	p.turn.Store(rand.Uint64())
	p.end = make([]uint64, n)
	sum := 0.0
	for i, s := range share {
		sum += s
		p.end[i] = fraction(sum)
	}
	if n > 0 {
		p.end[n-1] = ^uint64(0)
	}
	size := 0
	size, p.shift = buckets(n)
	p.guide = make([]int32, size+1)
	for b := range p.guide {
		if b == size {
			p.guide[b] = int32(max(n-1, 0))
		} else {
			i, _ := slices.BinarySearch(p.end, uint64(b)<<p.shift)
			p.guide[b] = int32(i)
		}
	}
}

// next returns the endpoint whose turn it is. There must be one.
func (p *turns) next() int { return p.at(p.turn.Add(1) * golden) }

// nextAvailable returns the next endpoint that is available, or any if none is.
func (p *turns) nextAvailable(f *fleet) int {
	i := p.next()
	for range maxDraws {
		if !f.members[i].Unavailable() {
			return i
		}
		i = p.next()
	}
	return f.orAvailable(i)
}

// at returns the endpoint whose interval x is in.
func (p *turns) at(x uint64) int {
	b := x >> p.shift
	i, j := int(p.guide[b]), int(p.guide[b+1])
	for i < j {
		if m := int(uint(i+j) >> 1); p.end[m] < x {
			i = m + 1
		} else {
			j = m
		}
	}
	return i
}

// Pick implements [Picker].
func (p *weighted) Pick(info PickInfo) int {
	if info.Keyed {
		return p.keyed(info.Hash, nil)
	}
	if len(p.members) == 0 {
		return -1
	}
	return p.nextAvailable(&p.fleet)
}

// buckets returns the least power of two that is at least n and 2, and the shift
// that maps a 64-bit fraction to one of so many buckets.
func buckets(n int) (size, shift int) {
	size, shift = 2, 63
	for size < n {
		size, shift = size<<1, shift-1
	}
	return size, shift
}
