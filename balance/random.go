package balance

import (
	"math/bits"
	"math/rand/v2"
)

// Random returns a balancer that draws the endpoint of each call at random, in
// proportion to its weight. A keyed call goes as with [Rendezvous], without its
// bound.
//
// Random draws from an alias table (Walker, "An Efficient Method for
// Generating Discrete Random Variables with General Distributions", ACM TOMS
// 3(3), 1977; built as in Vose, IEEE TSE 17(9), 1991).
func Random() Balancer {
	return builder{build: func(_ Picker, members []Member) Picker {
		p := &random{fleet: newFleet(members)}
		p.init()
		return p
	}}
}

// random is a fleet that can be drawn from in constant time.
type random struct {
	fleet
	// Column i belongs to endpoint i up to limit[i] of 2^64, and to other[i]
	// above.
	limit []uint64
	other []int32
}

func (p *random) init() {
	n := len(p.members)
	p.limit, p.other = make([]uint64, n), make([]int32, n)
	rest := make([]float64, n) // of each share, in columns
	var small, large []int32
	for i, s := range p.share {
		p.limit[i], p.other[i] = ^uint64(0), int32(i)
		if rest[i] = s * float64(n); rest[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		p.limit[s], p.other[s] = fraction(rest[s]), l
		if rest[l] -= 1 - rest[s]; rest[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// Rounding may leave some of either; they count as 1.
}

// draw returns a random endpoint, available or not. There must be one.
func (p *random) draw() int {
	i, below := bits.Mul64(rand.Uint64(), uint64(len(p.members)))
	if below > p.limit[i] {
		return int(p.other[i])
	}
	return int(i)
}

// drawAvailable returns a random endpoint that is available, or any if none is.
func (p *random) drawAvailable() int {
	for range maxDraws {
		if i := p.draw(); !p.members[i].Unavailable() {
			return i
		}
	}
	if i := p.available(); i >= 0 {
		return i
	}
	return p.draw()
}

// Pick implements [Picker].
func (p *random) Pick(info PickInfo) int {
	switch {
	case info.Keyed:
		return p.keyed(info.Hash, nil)
	case len(p.members) == 0:
		return -1
	default:
		return p.drawAvailable()
	}
}

// fraction returns x, from 0 to 1, in units of 2^-64.
func fraction(x float64) uint64 {
	if x >= 1 {
		return ^uint64(0)
	}
	return uint64(x * (1 << 64))
}
