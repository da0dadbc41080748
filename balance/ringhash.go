package balance

import (
	"math"
	"slices"
)

const (
	// memberPoints is how many points of the ring an endpoint has, as in
	// libketama. maxPoints is how many all have together, unless there are more
	// endpoints: above that, each has half as many, or a quarter, and so on.
	memberPoints = 160
	maxPoints    = 1 << 20
	// maxHops is how many other endpoints are tried for a key whose owner does
	// not fit, before all of them are compared.
	maxHops = 64
)

// RingHash returns a balancer that sends a keyed call to the endpoint that owns
// the next point on a ring of hashes (Karger et al., "Consistent Hashing and
// Random Trees", STOC 1997). Calls without a key go as with [LeastInFlight].
//
// All endpoints have the same number of points, 160. Where weights differ, a key
// belongs to the endpoint whose next point is nearest, when distances count by the
// inverse of the weight (the linear method of Schindelhauer and Schomaker, "Weighted
// Distributed Hash Tables", SPAA 2005); where they do not, that is the next point.
// The usual way, a number of points in proportion to the weight, moves keys between
// endpoints that stay, since a part of the whole changes with the whole.
//
// As few keys as possible move: an endpoint that leaves, is unavailable, or is full
// (see [LoadBound]) passes its keys to the next points after its own, and one that
// comes takes only keys that it owns. The parts of the ring that endpoints of equal
// weight own differ by about 8 %. [Maglev] is more even, and faster. A look-up takes
// constant time where weights are equal, else time in proportion to the heaviest
// weight over the mean. Above 6553 endpoints, each has fewer points, and keys also
// move between those that stay whenever that number changes: at 6554, 13108, and so
// on.
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
	circle
	// heaviest is the largest share of an endpoint.
	heaviest float64
}

// fill makes the ring.
func (p *ring) fill() {
	n := len(p.members)
	if n == 0 {
		return
	}
	count := perMember(memberPoints, n)
	p.heaviest = slices.Max(p.share)
	points := make([]point, 0, count*n)
	for i := range n {
		for k := range count {
			points = append(points, point{mix(p.hash[i] + uint64(k)*golden), int32(i)})
		}
	}
	p.circle = newCircle(points)
}

// perMember returns how many points each of n endpoints has: count, or less if that is
// too many together.
func perMember(count, n int) int {
	for count > 1 && count*n > maxPoints {
		count /= 2
	}
	return count
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
	at := p.from(key)
	owner := int(p.points[at].member)
	if !p.equal {
		owner = p.nearest(key, at, false)
	}
	if p.bound.fits(&p.fleet, owner) || p.bound.reconsider(&p.fleet, owner) {
		return owner
	}
	if i := p.nearest(key, at, true); i >= 0 {
		return i
	}
	return p.fallback(key, owner)
}

// nearest returns the endpoint whose next point is nearest to key by weight: of
// all, or of those that fit. It looks at the points from index at on, and returns -1
// if it came upon too many that do not fit.
func (p *ring) nearest(key uint64, at int, fitting bool) int {
	best, least, hops := -1, math.Inf(1), 0
	for range p.points {
		pt := p.points[at]
		distance := float64(pt.at - key) // modulo the ring
		if distance >= least*p.heaviest {
			break // no further point can be nearer
		}
		if d := distance / p.share[pt.member]; d < least {
			switch {
			case !fitting || p.bound.fits(&p.fleet, int(pt.member)):
				best, least = int(pt.member), d
			case hops == maxHops:
				return -1
			default:
				hops++
			}
		}
		if at++; at == len(p.points) {
			at = 0
		}
	}
	return best
}
