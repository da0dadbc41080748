package balance

import (
	"math/rand/v2"
	"sync/atomic"
)

// RoundRobin returns a balancer that takes the endpoints in turn, whatever their
// weights. A keyed call goes as with [Rendezvous], without its bound.
//
// An unavailable endpoint loses its turns; no other endpoint gets two turns in a
// row instead.
func RoundRobin() Balancer {
	return builder{build: func(_ Picker, members []Member) Picker {
		p := &roundRobin{fleet: newFleet(members)}
		// The order is another one than that of the picker before, so there is
		// nothing to carry over. The start is random, so that sets that change
		// often do not favor the first endpoints.
		p.turn.Store(rand.Uint64() >> 1)
		return p
	}}
}

type roundRobin struct {
	fleet
	turn atomic.Uint64
}

// Pick implements [Picker].
func (p *roundRobin) Pick(info PickInfo) int {
	if info.Keyed {
		return p.keyed(info.Hash, nil)
	}
	n := uint64(len(p.members))
	if n == 0 {
		return -1
	}
	first := int(p.turn.Add(1) % n)
	i := first
	for skipped := range n {
		if !p.members[i].Unavailable() {
			if skipped > 0 {
				p.turn.Add(skipped) // the turns of unavailable endpoints are over
			}
			return i
		}
		if i++; i == int(n) {
			i = 0
		}
	}
	return first
}
