package balance

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/core"
)

// RoundRobin returns a balancer that takes the endpoints in turn, whatever
// they weigh. A keyed call goes as with [Rendezvous], without its bound.
//
// An endpoint that is out loses its turns; no other one gets two of them in a
// row for it.
func RoundRobin() core.Balancer {
	return build(func(_ core.Picker, set core.Snapshot) core.Picker {
		p := &roundRobin{fleet: newFleet(set)}
		// Nothing is carried over from the picker before: the order is a new
		// one anyway. The start is random, so that sets which change often do
		// not favour those that come first.
		p.turn.Store(rand.Uint64() >> 1)
		return p
	})
}

type roundRobin struct {
	fleet
	turn atomic.Uint64
}

// Pick implements core.Picker.
func (p *roundRobin) Pick(h core.Hint) int {
	if h.Keyed {
		return p.keyed(h.Key, nil)
	}
	n := uint64(len(p.members))
	if n == 0 {
		return -1
	}
	first := int(p.turn.Add(1) % n)
	i := first
	for skipped := range n {
		if !p.members[i].Out() {
			if skipped > 0 {
				p.turn.Add(skipped) // the turns of those that are out are over
			}
			return i
		}
		if i++; i == int(n) {
			i = 0
		}
	}
	return first
}
