package balance

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// LeastLatencyConfig is the parameters of [LeastLatency]. A field that is zero has
// its default; one out of its bounds is an error of core.New. bench/policy/RESULTS.md
// compares the defaults with other policies.
type LeastLatencyConfig struct {
	// Choices is how many random endpoints a call compares, from 1 to 8; if there
	// are no more, it compares all. The default is 8. Two are the classic
	// (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE
	// TPDS 12(10), 2001). More choices find fast endpoints sooner, and do not herd
	// as long as they see the calls in flight.
	Choices int
	// Window is the time constant of the average latency, in which an answer counts
	// for at least 1/32. It must not be negative. The default is 2 s. A shorter
	// window follows changes sooner, a longer one is steadier. Finagle's peak EWMA
	// uses 10 s, but adopts a peak at once.
	Window time.Duration
	// SlowStart is the time in which the share of an endpoint that is new or has
	// just become available grows from about a tenth to the whole, as in Envoy's
	// slow start. It does not apply when more than half of the fleet is new. It
	// must not be negative. The default, 0, is no slow start: a new endpoint gets no
	// more calls at once than the others have in flight, and its first slow answers
	// raise its cost. Use it for servers that fail when they are cold.
	SlowStart time.Duration
}

// LeastLatency returns the default balancer of a pool. It chooses the endpoint
// where it expects the answer soonest: of up to eight random ones, the one with the
// least average latency times calls in flight over weight. Equal scores are decided
// at random. A keyed call goes as with [Rendezvous], without its bound.
//
//	score = latency x (in-flight + 1) / weight
//
// Where weights differ, endpoints have turns by weight, and lose one only to an
// endpoint that is better placed: of servers that answer equally fast, each gets calls
// in proportion to its weight, under any load. A server that answers later gets fewer.
//
// Failed and overloaded calls count as slow answers. Averages that are apart no more
// than they change by chance count as equal, so equal servers get equal shares on a
// busy machine too. The average of an endpoint that gets fewer calls than others
// returns to that of the fleet, so that it is tried again.
func LeastLatency(c LeastLatencyConfig) Balancer { return leastLatencyBalancer{c} }

type leastLatencyBalancer struct{ cfg LeastLatencyConfig }

// Validate reports every field out of its bounds. core.New calls it.
func (b leastLatencyBalancer) Validate() error {
	var errs []error
	if c := b.cfg.Choices; c < 0 || c > maxChoices {
		errs = append(errs, fmt.Errorf("balance: LeastLatencyConfig.Choices %d is not from 1 to %d, or 0 for the default", c, maxChoices))
	}
	if b.cfg.Window < 0 {
		errs = append(errs, fmt.Errorf("balance: LeastLatencyConfig.Window %v is negative", b.cfg.Window))
	}
	if b.cfg.SlowStart < 0 {
		errs = append(errs, fmt.Errorf("balance: LeastLatencyConfig.SlowStart %v is negative", b.cfg.SlowStart))
	}
	return errors.Join(errs...)
}

func (b leastLatencyBalancer) Build(previous Picker, members []Member) Picker {
	before, _ := previous.(*leastLatency)
	return newLeastLatency(b.cfg, before, members)
}

const (
	// maxChoices is how many choices fit a pick's word.
	maxChoices = 1 << choiceBits

	// One word compares scores and carries the winner: 28 bits of cost (latency
	// in units of 64 ns: up to 17 s), 16 of calls in flight,
	// 8 random bits to decide between equals, and 3 of the number of the choice.
	costUnit   = 64
	maxCost    = 1<<28 - 1
	tieBits    = 8
	tieMask    = 1<<tieBits - 1
	choiceBits = 3
	choiceMask = maxChoices - 1
	scoreShift = 20
	// unavailableScore is the least score of an unavailable endpoint.
	unavailableScore = maxCost * (load.Flagged + 1) << scoreShift

	// maxMembers is how many endpoints a picker chooses from; it ignores
	// further ones.
	maxMembers = 1 << 18
)

// leastLatency chooses among a fixed set of endpoints.
type leastLatency struct {
	latencies
	fleet   fleet
	loads   []*load.Load
	choices int
	// drawn is how many endpoints a call without a key draws from: all, or 0 if
	// there are not two, or if weights decide.
	drawn uint64
	// strides are steps from one choice of a pick to the next.
	strides []uint32
	// weights is nil if all are equal.
	weights *byWeight
}

// newLeastLatency returns a picker for members. Endpoints that previous, which
// may be nil, knew keep their averages; new ones begin at the fleet's. They
// start slowly, unless they are more than half of the fleet.
func newLeastLatency(cfg LeastLatencyConfig, previous *leastLatency, members []Member) *leastLatency {
	members = members[:min(len(members), maxMembers)]
	p := &leastLatency{
		fleet: weigh(members), loads: make([]*load.Load, len(members)), choices: cfg.Choices, strides: strides(len(members)),
	}
	if p.choices == 0 {
		p.choices = maxChoices
	}
	if !p.fleet.equal {
		p.weights = new(byWeight)
		p.weights.init(p.fleet.share, tolerance)
	} else if len(members) > 1 {
		p.drawn = uint64(len(members))
	}
	p.init(cfg, previous, len(members))
	start := p.ticked.Load()
	newcomers := 0
	for _, m := range members {
		if known(previous, m) == nil {
			newcomers++
		}
	}
	if 2*newcomers > len(members) {
		start = longAgo
	}
	for i, m := range members {
		r := known(previous, m)
		if r == nil {
			r = newLatencyRecord(m, start, p.ticked.Load())
			m.load.Balancer = r
		}
		p.loads[i], p.records[i], p.fleet.hash[i] = m.load, r, r.hash
		p.updateCost(r, p.latency(r))
	}
	return p
}

// known returns the record that m has from the pickers before this one, or nil.
func known(previous *leastLatency, m Member) *latencyRecord {
	if previous == nil {
		return nil
	}
	r, _ := m.load.Balancer.(*latencyRecord)
	return r
}

// Pick implements [Picker].
//
// The first endpoint drawn is taken without a look at the others if none can be
// better: no call is in flight there and no endpoint costs less. Most picks of a
// fleet that is not busy are of this kind, and read one endpoint's memory instead of
// eight; the choice is the same.
func (p *leastLatency) Pick(info PickInfo) int {
	if info.Keyed {
		return p.fleet.keyed(info.Hash, nil)
	}
	n := p.drawn
	if n == 0 {
		return p.pickByWeight()
	}
	r := rand.Uint64()
	first := r >> 32 * n >> 32
	if score(p.loads[first]) <= p.least.Load() {
		return int(first)
	}
	ties, best := r*golden, uint64(math.MaxUint64)
	choices := uint64(p.choices)
	if n <= choices {
		for i, l := range p.loads {
			best = min(best, score(l)|ties&tieMask<<choiceBits|uint64(i))
			ties >>= tieBits
		}
		return int(best & choiceMask)
	}
	stride := uint64(p.strides[r&math.MaxUint32*uint64(len(p.strides))>>32])
	at := first
	for k := range choices {
		best = min(best, score(p.loads[at])|ties&tieMask<<choiceBits|k)
		ties >>= tieBits
		at = less(at+stride, n)
	}
	at = first + best&choiceMask*stride
	at = less(less(less(at, 4*n), 2*n), n)
	if best >= unavailableScore {
		return p.next(int(at))
	}
	return int(at)
}

// pickByWeight is Pick for different weights, and for fewer endpoints than two.
func (p *leastLatency) pickByWeight() int {
	if len(p.loads) < 2 {
		return len(p.loads) - 1
	}
	first := p.weights.nextAvailable(&p.fleet)
	if score(p.loads[first]) <= p.least.Load() {
		return first
	}
	best := p.weights.choose(first, p.choices, func(i int) (cost, calls float64) {
		l := p.loads[i]
		cost, calls = float64(l.Cost.Load()), float64(l.InFlight())
		if l.Unavailable() {
			cost = unavailableCost
		}
		return cost, calls
	})
	return p.fleet.orAvailable(best)
}

// next is for a pick whose choices are all unavailable: it returns the next
// available endpoint after from on a random way around the fleet, or from if there is
// none.
func (p *leastLatency) next(from int) int {
	n := len(p.loads)
	stride := int(p.strides[rand.IntN(len(p.strides))])
	for i := (from + stride) % n; i != from; i = (i + stride) % n {
		if !p.loads[i].Unavailable() {
			return i
		}
	}
	return from
}

// less returns x minus n, or x if that is smaller, without a branch.
func less(x, n uint64) uint64 {
	d := x - n
	return d + n&uint64(int64(d)>>63)
}

// strides returns steps that lead around n endpoints without coming upon one
// twice, which are those that have no divisor in common with n: all, or some if
// there are many.
func strides(n int) []uint32 {
	const some = 64
	var s []uint32
	for k := 1; k < n && len(s) < some; k++ {
		step := k
		if n > some {
			step = 1 + rand.IntN(n-1)
		}
		a, b := n, step
		for b > 0 {
			a, b = b, a%b
		}
		if a == 1 {
			s = append(s, uint32(step))
		}
	}
	return s
}

// score returns what a pick compares, with room below for the random bits and the
// winner. An unavailable endpoint scores the largest cost times more calls than an
// available one can have: it comes last, whatever the others cost.
func score(l *load.Load) uint64 {
	calls := l.Pressure()
	cost := l.Cost.Load() | -(calls/load.Flagged)&maxCost
	return cost * (calls + 1) << scoreShift
}
