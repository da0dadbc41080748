package balance

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
)

const (
	// compareAll is up to how many endpoints a pick compares all of them.
	compareAll = 8
	// defaultChoices is Choices when that is not given.
	defaultChoices = 4
	// unavailableCost is what an unavailable endpoint scores more: above any
	// other score.
	unavailableCost = 1e30
)

// LeastInFlight returns a balancer that chooses the least busy of some random
// endpoints: the one with the fewest calls in flight per weight. Endpoints have
// turns by weight, and lose one only to an endpoint that has less to do, so shares
// follow the weights at any load. Of eight endpoints or fewer, all are compared. A
// keyed call goes as with [Rendezvous], without its bound.
//
// A few choices are nearly as good as all of them (Mitzenmacher, "The Power of
// Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001), and do
// not send all clients to the same server.
func LeastInFlight(opts ...InFlightOption) Balancer {
	c := inFlightConfig{choices: defaultChoices}
	c.err = errors.Join(configure(&c, opts), c.err)
	return builder{err: c.err, build: func(_ Picker, members []Member) Picker {
		return newLeast(members, c.choices)
	}}
}

// InFlightOption is a parameter of [LeastInFlight].
type InFlightOption func(*inFlightConfig)

type inFlightConfig struct {
	choices int
	err     error
}

// Choices sets how many random endpoints a call compares, at most as many as there
// are. The default, which 0 means too, is 4. It is at least 2; 1 and negative values
// are errors of core.New.
func Choices(n int) InFlightOption {
	return func(c *inFlightConfig) {
		switch {
		case n >= 2:
			c.choices = n
		case n != 0:
			c.err = fmt.Errorf("balance: Choices(%d): must be at least 2, or 0 for the default", n)
		}
	}
}

// least picks the endpoint with the least cost times calls in flight.
type least struct {
	random
	choices int
	weights byWeight
	// cost is that of one call, float64 bits; nil: the same everywhere.
	cost []*atomic.Uint64
}

func newLeast(members []Member, choices int) *least {
	p := &least{random: random{fleet: newFleet(members)}, choices: min(choices, len(members))}
	p.init()
	p.weights.init(p.share, peakTolerance)
	return p
}

// Pick implements [Picker].
func (p *least) Pick(info PickInfo) int {
	if info.Keyed {
		return p.keyed(info.Hash, nil)
	}
	return p.pick()
}

func (p *least) pick() int {
	n := len(p.members)
	choices := p.choices
	if n <= compareAll {
		choices = n
	}
	switch {
	case n < 2:
		return n - 1
	case p.cost != nil || !p.equal:
		return p.pickByWeight(choices)
	default:
		return p.pickAny(choices)
	}
}

// pickByWeight is pick for costs or different weights.
func (p *least) pickByWeight(choices int) int {
	first := p.weights.nextAvailable(&p.fleet)
	if m := &p.members[first]; p.cost == nil && m.InFlight() == 0 && !m.Unavailable() {
		return first
	}
	best := p.weights.choose(first, choices, func(i int) (cost, calls float64) {
		m := &p.members[i]
		switch {
		case m.Unavailable():
			cost = unavailableCost
		case p.cost != nil:
			cost = float(p.cost[i])
		default:
			cost = 1
		}
		return cost, float64(m.InFlight())
	})
	return p.orAvailable(best)
}

// pickAny is pick for equal weights and no costs. It compares the endpoint drawn
// first with others; of equals the first wins.
func (p *least) pickAny(choices int) int {
	n := len(p.members)
	best := p.drawAvailable()
	top := p.score(best)
	if choices == n {
		i := rand.IntN(n)
		for range n {
			if s := p.score(i); s < top {
				best, top = i, s
			}
			if i++; i == n {
				i = 0
			}
		}
		return best
	}
	for range choices - 1 {
		i := p.draw()
		if s := p.score(i); s < top {
			best, top = i, s
		}
	}
	return best
}

// score orders endpoints by calls in flight; unavailable ones come last.
func (p *least) score(i int) int {
	m := &p.members[i]
	if m.Unavailable() {
		return math.MaxInt
	}
	return m.InFlight()
}
