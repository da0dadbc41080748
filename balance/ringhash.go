package balance

import (
	"math"
	"slices"
)

const (
	// meanPoints is how many points of the ring an endpoint has on average, as in
	// libketama, and maxPoints how many all have together, unless there are more
	// endpoints.
	meanPoints = 160
	maxPoints  = 1 << 20
	// maxHops is how many other endpoints are tried for a key whose owner does
	// not fit, before all of them are compared.
	maxHops = 64
)

// RingHash returns a balancer that sends a keyed call to the endpoint that owns
// the next point on a ring of hashes (Karger et al., "Consistent Hashing and
// Random Trees", STOC 1997). Calls without a key go as with [LeastInFlight].
//
// As few keys as possible move: an endpoint that leaves, is unavailable, or is full
// (see [LoadBound]) passes its keys to the owners of the points after its own, and
// one that comes takes only keys that it owns. With 160 points each, the parts of
// the ring that endpoints of equal weight own differ by about 8 %. [Maglev] is
// more even, and faster.
func RingHash(opts ...HashOption) Balancer {
	c := newHashConfig(opts)
	return builder{err: c.err, build: func(_ Picker, members []Member) Picker {
		p := &ring{hashed: newHashed(members, c)}
		p.fill()
		return p
	}}
}

type ring struct {
	*hashed
	// points are sorted. start has the index of the first point in each of the
	// equal parts of the ring.
	points []point
	start  []int32
	shift  int
}

type point struct {
	at     uint64
	member int32
}

// fill makes the ring: it puts the points into parts that hold about one each,
// then sorts each part.
func (p *ring) fill() {
	n := len(p.members)
	if n == 0 {
		return
	}
	mean := float64(min(meanPoints, max(1, maxPoints/n)) * n)
	count, total := make([]int, n), 0
	for i, s := range p.share {
		count[i] = max(1, int(math.Round(s*mean)))
		total += count[i]
	}
	var size int
	size, p.shift = buckets(total)
	p.start = make([]int32, size+1)
	each := func(yield func(pt point)) {
		for i, c := range count {
			for k := range c {
				yield(point{mix(p.hash[i] + uint64(k)*golden), int32(i)})
			}
		}
	}
	each(func(pt point) { p.start[pt.at>>p.shift+1]++ })
	for b := range size {
		p.start[b+1] += p.start[b]
	}
	free := slices.Clone(p.start)
	p.points = make([]point, total)
	each(func(pt point) {
		b := pt.at >> p.shift
		p.points[free[b]] = pt
		free[b]++
	})
	for b := range size {
		part := p.points[p.start[b]:p.start[b+1]]
		for i := 1; i < len(part); i++ {
			for j := i; j > 0 && part[j].at < part[j-1].at; j-- {
				part[j], part[j-1] = part[j-1], part[j]
			}
		}
	}
}

// Pick implements [Picker].
func (p *ring) Pick(info PickInfo) int {
	if !info.Keyed {
		return p.pick()
	}
	if len(p.points) == 0 {
		return -1
	}
	key := mix(info.Hash)
	at := int(p.start[key>>p.shift])
	for at < len(p.points) && p.points[at].at < key {
		at++
	}
	if at == len(p.points) {
		at = 0
	}
	owner := int(p.points[at].member)
	if p.bound.fits(&p.fleet, owner) || p.bound.reconsider(&p.fleet, owner) {
		return owner
	}
	for range maxHops {
		if at++; at == len(p.points) {
			at = 0
		}
		if i := int(p.points[at].member); p.bound.fits(&p.fleet, i) {
			return i
		}
	}
	return p.fallback(key, owner)
}
