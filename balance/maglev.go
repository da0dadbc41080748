package balance

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// table is the size of the look-up table, a prime, and wide that for more
	// than narrow endpoints: the two sizes in section 5.3 of the paper.
	table  = 65537
	wide   = 655373
	narrow = 8192
)

// Maglev returns a balancer that sends the calls with a key to the endpoint
// that a table of 65537 entries has for it (Eisenbud et al., "Maglev: A Fast
// and Reliable Software Network Load Balancer", NSDI 2016, section 3.4). Calls
// without a key go as with [LeastInFlight].
//
// Of the hashing balancers it is the fastest and the most even: shares are
// exact to an entry of the table. In return a few keys more than needed move
// when an endpoint comes or leaves. An endpoint that is out or full (see
// [LoadBound]) changes nothing in the table: its keys are hashed again, and go
// to all others until it is back. Each set of endpoints costs the time of a new
// table, a few milliseconds off the path of calls, and 256 KiB. Above 8192
// endpoints the table has 655373 entries.
func Maglev(opts ...HashOption) core.Balancer {
	h := newHashing(opts)
	return build(func(_ core.Picker, set core.Snapshot) core.Picker {
		p := &maglev{hashed: newHashed(set, h)}
		p.fill()
		return p
	})
}

type maglev struct {
	*hashed
	table []int32
}

// fill makes the table. Each endpoint in turn takes the next entry of its own
// permutation that is free. In the paper all take turns alike; here an endpoint
// has as many turns as its weight says, at even distances.
func (p *maglev) fill() {
	n := len(p.members)
	if n == 0 {
		return
	}
	size := table
	if n > narrow {
		size = wide
	}
	p.table = make([]int32, size)
	for i := range p.table {
		p.table[i] = -1
	}
	next, skip := make([]uint32, n), make([]uint32, n)
	for i, h := range p.hash {
		next[i] = uint32(reduce(h, size))
		skip[i] = uint32(1 + reduce(mix(h+golden), size-1))
	}
	for _, i := range p.turns(size) {
		at := next[i]
		for p.table[at] >= 0 {
			if at += skip[i]; at >= uint32(size) {
				at -= uint32(size)
			}
		}
		p.table[at] = i
		next[i] = at
	}
}

// turns returns who takes an entry when, the same in all clients.
func (p *maglev) turns(size int) []int32 {
	n := len(p.members)
	order := make([]int32, n) // by hash: the members have another order in each client
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(p.hash[a], p.hash[b]) })
	// How many: the whole part of the share, and what is left one by one to
	// those with the largest remainders.
	quota, left := make([]int, n), size
	for _, i := range order {
		quota[i] = min(left, int(p.share[i]*float64(size)))
		left -= quota[i]
	}
	if left > 0 {
		byRest := slices.Clone(order)
		rest := func(i int32) float64 { return p.share[i]*float64(size) - float64(quota[i]) }
		slices.SortStableFunc(byRest, func(a, b int32) int { return cmp.Compare(rest(b), rest(a)) })
		for k := range left {
			quota[byRest[k%n]]++
		}
	}
	// When: the k-th of q turns in round k/q of the longest.
	rounds := slices.Max(quota)
	start := make([]int, rounds+1)
	for _, i := range order {
		for k := range quota[i] {
			start[k*rounds/quota[i]+1]++
		}
	}
	for r := range rounds {
		start[r+1] += start[r]
	}
	turns := make([]int32, size)
	for _, i := range order {
		for k := range quota[i] {
			r := k * rounds / quota[i]
			turns[start[r]] = i
			start[r]++
		}
	}
	return turns
}

// Pick implements core.Picker.
func (p *maglev) Pick(h core.Hint) int {
	if !h.Keyed {
		return p.pick()
	}
	if len(p.table) == 0 {
		return -1
	}
	key := mix(h.Key)
	owner := int(p.table[reduce(key, len(p.table))])
	if p.bound.fits(&p.fleet, owner) {
		return owner
	}
	return p.again(key, owner)
}

// again finds another endpoint for a key whose owner cannot have it.
func (p *maglev) again(key uint64, owner int) int {
	if p.bound.reconsider(&p.fleet, owner) {
		return owner
	}
	x := key
	for range hops {
		x = mix(x + golden)
		if i := int(p.table[reduce(x, len(p.table))]); p.bound.fits(&p.fleet, i) {
			return i
		}
	}
	return p.last(key, owner)
}

// reduce maps x, a hash, to 0..n-1.
func reduce(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}
