package balance

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// few is up to how many endpoints all are compared.
	few = 8
	// outCost is what being out adds to a score: more than anything else can.
	outCost = 1e30
)

// LeastInFlight returns a balancer that takes the least busy of some random
// endpoints: the one with the fewest calls in flight per weight. Endpoints are
// drawn as often as their weights say, so an idle fleet is used by weight as
// well. Eight and fewer are all compared. A keyed call goes as with
// [Rendezvous], without its bound.
//
// A few choices are nearly as good as all of them (Mitzenmacher, "The Power of
// Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001), and do
// not send all clients to the same server.
func LeastInFlight(opts ...InFlightOption) core.Balancer {
	c := inFlight{choices: 4}
	for _, o := range opts {
		o(&c)
	}
	return build(func(_ core.Picker, set core.Snapshot) core.Picker {
		return newLeast(set, c.choices)
	})
}

// InFlightOption is a parameter of [LeastInFlight].
type InFlightOption func(*inFlight)

type inFlight struct{ choices int }

// Choices sets how many endpoints a call chooses from. The default is 4; less
// than 2 counts as 2.
func Choices(n int) InFlightOption { return func(c *inFlight) { c.choices = max(n, 2) } }

// least picks the endpoint with the least cost times calls in flight.
type least struct {
	random
	choices int
	// inverse is the mean weight over that of the endpoint.
	inverse []float64
	// cost of one call, float64 bits; nil: the same everywhere.
	cost []*atomic.Uint64
}

func newLeast(set core.Snapshot, choices int) *least {
	p := &least{random: random{fleet: newFleet(set)}, choices: choices}
	p.init()
	p.inverse = make([]float64, len(p.share))
	for i, s := range p.share {
		p.inverse[i] = 1 / (s * float64(len(p.share)))
	}
	return p
}

func (p *least) score(i int) float64 {
	m := &p.members[i]
	s := float64(m.InFlight())*p.inverse[i] + 1
	if p.cost != nil {
		s *= math.Float64frombits(p.cost[i].Load())
	}
	if m.Out() {
		s += outCost
	}
	return s
}

// Pick implements core.Picker.
func (p *least) Pick(h core.Hint) int {
	if h.Keyed {
		return p.keyed(h.Key, nil)
	}
	return p.pick()
}

// pick compares the endpoint drawn first with others; of equals it wins.
func (p *least) pick() int {
	n := len(p.members)
	if n < 2 {
		return n - 1
	}
	best := p.drawLive()
	top := p.score(best)
	if n <= few {
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
	for range p.choices - 1 {
		i := p.draw()
		if s := p.score(i); s < top {
			best, top = i, s
		}
	}
	return best
}
