package balance

import (
	"cmp"
	"math/bits"
	"slices"
)

const (
	// tableSize is the size of the look-up table, a prime, and largeTableSize that
	// for more than manyEndpoints: the two sizes in section 5.3 of the paper.
	tableSize      = 65537
	largeTableSize = 655373
	manyEndpoints  = 8192
)

// Maglev returns a balancer that looks up the endpoint of a key in a table of
// 65537 entries (Eisenbud et al., "Maglev: A Fast and Reliable Software Network
// Load Balancer", NSDI 2016, section 3.4). Calls without a key go as with
// [LeastInFlight].
//
// Maglev is the fastest and the most even of the hashing balancers: shares are
// exact to one entry of the table. In return a few more keys than necessary move
// when an endpoint comes or leaves. An endpoint that is unavailable or full (see
// [LoadBound]) changes nothing in the table: its keys are hashed again, and go to
// all others until it is back. A new set of endpoints costs a new table: a few
// milliseconds, off the path of calls, and 256 KiB. Above 8192 endpoints the table
// has 655373 entries.
func Maglev(opts ...HashOption) Balancer {
	c := newHashConfig(opts)
	return builder{err: c.err, build: func(_ Picker, members []Member) Picker {
		p := &maglev{hashed: newHashed(members, c)}
		p.fill()
		return p
	}}
}

type maglev struct {
	*hashed
	table []int32
}

// fill makes the table. Each endpoint in turn takes the next free entry of its own
// permutation. In the paper all have the same number of turns; here an endpoint
// has turns in proportion to its weight, at even distances.
func (p *maglev) fill() {
	n := len(p.members)
	if n == 0 {
		return
	}
	size := tableSize
	if n > manyEndpoints {
		size = largeTableSize
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

// turns returns the endpoint that takes each entry in turn, the same in all
// clients.
func (p *maglev) turns(size int) []int32 {
	n := len(p.members)
	order := make([]int32, n) // by hash: the members have another order in each client
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(p.hash[a], p.hash[b]) })
	// The number of turns is the whole part of the share; the turns left go one
	// by one to the endpoints with the largest remainders.
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
	// The k-th of q turns is in round k/q of the largest number of turns.
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

// Pick implements [Picker].
func (p *maglev) Pick(info PickInfo) int {
	if !info.Keyed {
		return p.pick()
	}
	if len(p.table) == 0 {
		return -1
	}
	key := mix(info.Hash)
	owner := int(p.table[reduce(key, len(p.table))])
	if p.bound.fits(&p.fleet, owner) {
		return owner
	}
	return p.again(key, owner)
}

// again finds another endpoint for a key whose owner does not fit.
func (p *maglev) again(key uint64, owner int) int {
	if p.bound.reconsider(&p.fleet, owner) {
		return owner
	}
	x := key
	for range maxHops {
		x = mix(x + golden)
		if i := int(p.table[reduce(x, len(p.table))]); p.bound.fits(&p.fleet, i) {
			return i
		}
	}
	return p.fallback(key, owner)
}

// reduce maps x, a hash, to 0..n-1.
func reduce(x uint64, n int) int {
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}
