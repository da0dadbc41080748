package balance

import (
	"math"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// points is how many points of the ring an average endpoint has, as in
	// libketama, and most how many all have together, or else as many as there
	// are endpoints.
	points = 160
	most   = 1 << 20
	// hops is how often a key that cannot go where it belongs is sent on,
	// before all endpoints are looked at.
	hops = 64
)

// RingHash returns a balancer that sends the calls with a key to the endpoint
// that owns the next point on a ring of hashes (Karger et al., "Consistent
// Hashing and Random Trees", STOC 1997). Calls without a key go as with
// [LeastInFlight].
//
// The least that can move does: an endpoint that leaves, is out, or is full
// (see [LoadBound]) leaves its keys to the owners of the points after its own,
// and one that comes takes only what becomes its own. With 160 points each,
// the parts of the ring that equal endpoints own differ by about 8 %. Where
// that is too uneven, and for the speed of it, there is [Maglev].
func RingHash(opts ...HashOption) core.Balancer {
	h := newHashing(opts)
	return build(func(_ core.Picker, set core.Snapshot) core.Picker {
		p := &ring{hashed: newHashed(set, h)}
		p.fill()
		return p
	})
}

type ring struct {
	*hashed
	// points are sorted. start has where each of equal parts of the ring
	// begins in them.
	points []point
	start  []int32
	shift  int
}

type point struct {
	at     uint64
	member int32
}

// fill makes the ring: points into the parts of the ring they are in, which
// hold about one each, then each part sorted.
func (p *ring) fill() {
	n := len(p.members)
	if n == 0 {
		return
	}
	mean := float64(min(points, max(1, most/n)) * n)
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

// Pick implements core.Picker.
func (p *ring) Pick(h core.Hint) int {
	if !h.Keyed {
		return p.pick()
	}
	if len(p.points) == 0 {
		return -1
	}
	key := mix(h.Key)
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
	for range hops {
		if at++; at == len(p.points) {
			at = 0
		}
		if i := int(p.points[at].member); p.bound.fits(&p.fleet, i) {
			return i
		}
	}
	return p.last(key, owner)
}
