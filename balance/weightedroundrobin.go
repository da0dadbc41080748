package balance

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/core"
)

// WeightedRoundRobin returns a balancer that takes the endpoints in turn, each
// as often as its weight says and at even distances: smooth, as the schedules
// by earliest deadline or of nginx are. In any run of calls each endpoint gets
// its share to within a few calls. A keyed call goes as with [Rendezvous],
// without its bound.
//
// Where those keep a deadline or a current weight per endpoint under a lock
// (Tijms et al.'s EDF as in Envoy; nginx, commit 52327e0627f4, 2012), this one
// keeps a counter: multiples of the golden ratio, modulo 1, are spread over
// [0, 1) as evenly as can be at any moment (Knuth, TAOCP 3, section 6.4,
// theorem S), hence also over intervals as long as the endpoints' shares.
func WeightedRoundRobin() core.Balancer {
	return build(func(_ core.Picker, set core.Snapshot) core.Picker {
		return newWeighted(set)
	})
}

type weighted struct {
	fleet
	turn atomic.Uint64
	// end is where the interval of each endpoint ends, in units of 2^-64.
	end []uint64
	// guide has the first endpoint that each of equal parts of [0, 1) meets
	// (Chen and Asau, "On Generating Random Variates from an Empirical
	// Distribution", AIIE Transactions 6(2), 1974).
	guide []int32
	shift int
}

func newWeighted(set core.Snapshot) *weighted {
	p := &weighted{fleet: newFleet(set)}
	n := len(p.members)
	p.turn.Store(rand.Uint64())
	p.end = make([]uint64, n)
	sum := 0.0
	for i, s := range p.share {
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
	return p
}

// at returns the endpoint whose interval x is in.
func (p *weighted) at(x uint64) int {
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

// Pick implements core.Picker.
func (p *weighted) Pick(h core.Hint) int {
	if h.Keyed {
		return p.keyed(h.Key, nil)
	}
	if len(p.members) == 0 {
		return -1
	}
	i := p.at(p.turn.Add(1) * golden)
	for range draws {
		if !p.members[i].Out() {
			return i
		}
		i = p.at(p.turn.Add(1) * golden)
	}
	if l := p.live(); l >= 0 {
		return l
	}
	return i
}

// buckets returns the power of two that is at least n and 2, and by how much
// to shift a 64-bit fraction to get one of so many buckets.
func buckets(n int) (size, shift int) {
	size, shift = 2, 63
	for size < n {
		size, shift = size<<1, shift-1
	}
	return size, shift
}
