package balance

import (
	"math"
	"math/rand/v2"
)

const (
	// ownTurn is how many calls fewer an endpoint counts as having on its own turn:
	// a little less than the one that it is about to get, so that it loses the turn
	// to an endpoint that would have no more to do with this call than it has
	// without.
	ownTurn = 1 - 1.0/16
)

// byWeight chooses among endpoints of different weights so that their shares of the
// calls follow the weights at any load, as far as they cost the same.
//
// The least of cost x (calls in flight + 1) / weight does that only for a busy fleet:
// while calls seldom meet, it is always the heaviest. Preferring idle endpoints does
// not do it either: three calls at a time to three endpoints are one to each. So the
// endpoints have turns by weight, as with [WeightedRoundRobin], and one loses its turn
// only to an endpoint that is expected to answer sooner, and either costs less or has
// less to do for its weight.
type byWeight struct {
	turns
	// tolerance is the factor by which costs may differ by chance: an endpoint
	// keeps its turn if it costs up to so many times as much as another one.
	tolerance float64
	// inverse is the mean weight over the endpoint's.
	inverse []float64
}

func (b *byWeight) init(share []float64, tolerance float64) {
	b.tolerance = tolerance
	b.turns.init(share)
	b.inverse = inverse(share)
}

// inverse returns the mean share over each.
func inverse(share []float64) []float64 {
	all := make([]float64, len(share))
	for i, s := range share {
		all[i] = 1 / (s * float64(len(share)))
	}
	return all
}

// choose returns the endpoint of a call: first, whose turn it is, or the best of some
// others. There are at least two endpoints. cost returns what a call to an endpoint
// costs, whatever its weight, and how many are in flight there; an unavailable one
// costs more than unavailableCost.
func (b *byWeight) choose(first, choices int, cost func(i int) (cost, calls float64)) int {
	n := len(b.inverse)
	own, calls := cost(first)
	answer := own * (calls*b.inverse[first] + 1)
	load := (calls + 1 - ownTurn) * b.inverse[first]
	best, top := first, math.Inf(1)
	at, rounds := rand.IntN(n), n
	if n > choices {
		rounds = choices - 1
	}
	for range rounds {
		if n > choices {
			at = b.at(rand.Uint64())
		} else if at++; at == n {
			at = 0
		}
		if at == first {
			continue
		}
		c, k := cost(at)
		soon, after := c*(k*b.inverse[at]+1), (k+1)*b.inverse[at]
		if soon >= answer || after >= load && c*b.tolerance >= own {
			continue
		}
		s := c * after
		if calls == 0 {
			s = soon
		}
		if s < top {
			best, top = at, s
		}
	}
	return best
}
