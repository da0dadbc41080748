// Package policy is the default choice of endpoint: the least of a few random
// ones by expected latency times in-flight calls.
//
//	score = cost x (in-flight + 1),  cost = latency / weight
//
// All endpoints are looked at when there are at most Choices, else so many at
// random. Equal scores are decided at random. What the figures below lead to is
// shown by bench/policy.
//
// The package knows no pool and no clock: time is a parameter, so that a
// simulation can drive it.
package policy

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Config is the parameters; Default has those that the pool begins with.
type Config struct {
	// Choices is how many endpoints one pick looks at, from 1 to MaxChoices.
	Choices int
	// Window is the time constant of the latency average, and Relax that in
	// which an endpoint that gets no calls returns to the fleet's latency.
	Window, Relax time.Duration
	// Clip: one answer counts for no more than this many times the average it
	// goes into.
	Clip float64
	// Band: latencies within this factor of the fleet's, and grain more, count
	// as equal while calls do not meet.
	Band float64
	// Penalty is the least latency of a failed call, in fleet latencies; Worst
	// at most.
	Penalty float64
	// SlowStart is how long the share of an endpoint that is new, or was out,
	// grows.
	SlowStart time.Duration
}

// Default is the pool's configuration.
func Default() Config {
	return Config{Choices: MaxChoices, Window: 2 * time.Second, Relax: 15 * time.Second, Clip: 8, Band: 1.5, Penalty: 4}
}

const (
	// MaxChoices is how many choices fit a pick's word.
	MaxChoices = 1 << choiceBits
	// Worst is the most that a failed call counts for, in fleet latencies.
	// Where most calls fail, each counts as twice the endpoint's own average,
	// so that it gets ever dearer, up to this: a server that fails at once
	// would else be worth its price to busy callers.
	Worst = 64
)

const (
	// samples is one over the least weight of one sample in the average, so
	// that a burst of calls counts too.
	samples = 32
	// An endpoint without calls is back at the fleet's latency after this many
	// calls to an average endpoint, if that is sooner than Relax. It bounds
	// what trying a slow server costs: about one call in a thousand. Where the
	// last caller gave up, as who had hedged, all that is known is that the
	// answer would have taken longer, and a try costs no more than that: it is
	// back after so many calls times its latency in those of the fleet, if that
	// is sooner still.
	relaxCalls   = 200
	relaxAtLeast = 10
	// Where calls meet, those in flight correct a preference that is a mistake,
	// and the band shrinks, with the square of meeting times the calls in
	// flight beyond the first.
	meeting = 12
	// grain is how far apart two latencies may be by the doing of the caller's
	// own machine, where many goroutines run on few processors.
	grain = float64(100 * time.Microsecond)
	// An endpoint that starts slowly costs more by this factor, at first all
	// the time and in the end never, as decided anew each tick: a price that
	// falls would mean nothing where calls seldom meet.
	cold = 10
	// unknown is the latency of an endpoint while nothing was ever measured.
	unknown = float64(time.Millisecond)

	// A word compares scores and carries the winner below: 28 bits of cost
	// (latency over relative weight, in units of 64 ns: up to 17 s), 16 of
	// in-flight calls, then 8 random bits to decide between equals, and 3 of
	// the number of the choice.
	costUnit   = 64
	maxCost    = 1<<28 - 1
	tieBits    = 8
	tieMask    = 1<<tieBits - 1
	choiceBits = 3
	choiceMask = MaxChoices - 1
	scoreShift = 20
	// out is the least score of an endpoint that is out.
	out = maxCost * (slots.OutPressure + 1) << scoreShift

	// sumBits is how many bits of a node's answers are the sum of their
	// latencies, in units as those of costs; above it are 22 of their number.
	sumBits = 42
	// moment: the time of a report is noted if the last one noted is further
	// back than that.
	moment = int64(2 * time.Millisecond)
	// never is when an endpoint began to serve that does not start slowly.
	never = math.MinInt64 / 2

	// golden is 2^64 over the golden ratio: a multiple of it is another random
	// number.
	golden = 0x9e3779b97f4a7c15
)

// Max is how many endpoints a picker chooses from; further ones are ignored.
const Max = 1 << 18

// Outcome is what a report says of the server.
type Outcome uint8

const (
	// Answered: the latency is that of an answer.
	Answered Outcome = iota
	// Failed: the call failed by the server's fault.
	Failed
	// AtLeast: the caller gave up; the answer would have taken longer.
	AtLeast
)

// Member is one endpoint as the policy is told of it.
type Member struct {
	// Key identifies the endpoint across pickers.
	Key string
	// Weight is its relative capacity, above zero.
	Weight float64
	Load   *slots.Load
}

// Picker chooses among a fixed set of endpoints. Pick, PickKey and Report are
// safe for concurrent use; Tick is too, but not with itself.
type Picker struct {
	cfg   Config
	loads []*slots.Load
	nodes []*node
	// strides are the steps from one choice of a pick to the next.
	strides []uint32
	// mean is the fleet's latency per answer in ns, float64 bits; 0: unknown.
	// Failures do not count in it: they count as a multiple of it.
	mean atomic.Uint64
	// least is the score of the cheapest endpoint while no call is in flight
	// there, or less; more only for the rest of a tick in which it got cheaper.
	least atomic.Uint64
	// met is the mean number of calls in flight beyond the first, float64 bits.
	met atomic.Uint64
	// from and to are the latencies that count as equal to mean, float64 bits.
	from, to atomic.Uint64
	// ticked is the time of the last tick.
	ticked atomic.Int64
}

// node is the record of one endpoint; it outlives the pickers it is in.
type node struct {
	key  string
	hash uint64
	// share is the weight over the mean weight, float64 bits.
	share atomic.Uint64
	load  *slots.Load
	// ewma is the latency in ns, float64 bits; 0: never measured.
	ewma atomic.Uint64
	// last is the time of the last report, or a moment before it.
	last atomic.Int64
	// answers is those since the last tick, above the sum of their latencies,
	// and others the other reports since then.
	answers, others atomic.Uint64
	// heard: there was a report in the time before the last tick.
	heard atomic.Bool
	// idle is the time of the last tick that found no call in flight.
	idle atomic.Int64
	// atLeast: the last report that counted was of a caller that gave up.
	atLeast atomic.Bool
	// down: the last tick found it down or ejected.
	down atomic.Bool
	// start is when it began to serve, if it starts slowly.
	start atomic.Int64
}

// New returns a picker for members. Endpoints that previous (which may be nil)
// knew keep their averages; new ones begin at the fleet's.
//
// They start slowly, unless they are more than half of the fleet.
func New(cfg Config, previous *Picker, members []Member) *Picker {
	members = members[:min(len(members), Max)]
	p := &Picker{
		cfg: cfg, loads: make([]*slots.Load, len(members)), nodes: make([]*node, len(members)), strides: steps(len(members)),
	}
	p.least.Store(math.MaxUint64)
	heaviest, total := 0.0, 0.0 // in weights of the heaviest, so that no sum is infinite
	for _, m := range members {
		heaviest = max(heaviest, m.Weight)
	}
	for _, m := range members {
		total += m.Weight / heaviest
	}
	if previous != nil {
		p.mean.Store(previous.mean.Load())
		p.ticked.Store(previous.ticked.Load())
		p.met.Store(previous.met.Load())
		p.level(math.Float64frombits(p.mean.Load()), math.Float64frombits(p.met.Load()))
	}
	start, newcomers := p.ticked.Load(), 0
	for _, m := range members {
		if known(previous, m) == nil {
			newcomers++
		}
	}
	if 2*newcomers > len(members) {
		start = never
	}
	for i, m := range members {
		n := known(previous, m)
		if n == nil {
			n = &node{key: m.Key, hash: hash(m.Key), load: m.Load}
			n.start.Store(start)
			n.idle.Store(p.ticked.Load())
			n.last.Store(p.ticked.Load())
			m.Load.Policy = n
		}
		n.share.Store(math.Float64bits(m.Weight / heaviest / total * float64(len(members))))
		p.loads[i], p.nodes[i] = m.Load, n
		p.price(n, p.latency(n))
	}
	return p
}

// known returns the record that m has from the pickers before this one, or nil.
func known(previous *Picker, m Member) *node {
	if previous == nil {
		return nil
	}
	n, _ := m.Load.Policy.(*node)
	return n
}

// Pick returns the index of the endpoint to call, or -1 if there is none.
//
// The first one drawn is taken without a look at the others when none can be
// better: no call is in flight there and nobody is cheaper. Most picks of a fleet
// that is not busy are of this kind, and touch one endpoint's memory instead of
// eight; the choice is the same.
func (p *Picker) Pick() int {
	n := uint64(len(p.loads))
	if n < 2 {
		return int(n) - 1
	}
	r := rand.Uint64()
	first := r >> 32 * n >> 32
	if score(p.loads[first]) <= p.least.Load() {
		return int(first)
	}
	ties, best := r*golden, uint64(math.MaxUint64)
	choices := uint64(p.cfg.Choices)
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
	if best >= out {
		return p.next(int(at))
	}
	return int(at)
}

// next is for a pick whose choices are all out: it returns an endpoint that is
// not, from a random place on the way around, or from if all are.
func (p *Picker) next(from int) int {
	n := len(p.loads)
	stride := int(p.strides[rand.IntN(len(p.strides))])
	for i := (from + stride) % n; i != from; i = (i + stride) % n {
		if !p.loads[i].Out() {
			return i
		}
	}
	return from
}

// less returns x less n, or x if that is smaller, without a branch.
func less(x, n uint64) uint64 {
	d := x - n
	return d + n&uint64(int64(d)>>63)
}

// steps returns strides that lead around n endpoints without coming upon one
// twice, which are those that have no divisor in common with n: all, or some if
// there are many.
func steps(n int) []uint32 {
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

// score is what a pick compares, with room below it for what decides between
// equals and the winner. An endpoint that is out costs about the
// most there is, times more calls than one that is not can have: it comes last
// whatever the others cost.
func score(l *slots.Load) uint64 {
	calls := l.Pressure()
	cost := l.Cost.Load() | -(calls/slots.OutPressure)&maxCost
	return cost * (calls + 1) << scoreShift
}

// PickKey returns the index of the endpoint that key belongs to, or -1 if
// there is none: the highest random weight (rendezvous hashing, Thaler and
// Ravishankar, 1998) among those that are not out, or among all if all are.
func (p *Picker) PickKey(key uint64) int {
	best, bestDown := -1, -1
	var top, topDown uint64
	for i, n := range p.nodes {
		h := mix(key ^ n.hash)
		if n.load.Out() {
			if bestDown < 0 || h > topDown {
				bestDown, topDown = i, h
			}
		} else if best < 0 || h > top {
			best, top = i, h
		}
	}
	if best < 0 {
		return bestDown
	}
	return best
}

// Report takes the outcome of a call to endpoint i. A latency of zero means
// that it was not measured.
func (p *Picker) Report(i int, o Outcome, latency, now time.Duration) {
	if i < 0 || i >= len(p.nodes) {
		return
	}
	n := p.nodes[i]
	sample := float64(latency)
	mean := math.Float64frombits(p.mean.Load())
	switch o {
	case Failed:
		own := math.Float64frombits(n.ewma.Load())
		if mean > 0 {
			of := max(mean, 3*grain) // or the band would hide it
			sample = max(sample, min(max(p.cfg.Penalty*of, 2*own), Worst*of))
		}
	case AtLeast:
		if sample <= math.Float64frombits(n.ewma.Load()) {
			return
		}
	case Answered:
	}
	if sample <= 0 {
		return
	}
	dt := int64(now) - n.last.Load()
	if dt > min(moment, int64(p.cfg.Window)/(2*samples)) {
		n.last.Store(int64(now))
	}
	w := 1.0 / samples
	switch {
	case mean == 0:
		w = 1 / (float64(n.reports()) + 1) // the first 100 ms: a plain average
	case dt > int64(p.cfg.Window)/samples:
		w = max(w, 1-math.Exp(-float64(dt)/float64(p.cfg.Window)))
	}
	var next float64
	for {
		old := n.ewma.Load()
		next = math.Float64frombits(old)
		if next == 0 {
			// The first answer: begin at the fleet's latency, if any is known.
			next = mean
		}
		if next == 0 {
			next = sample
		}
		add := sample
		if o == Answered && mean > 0 {
			add = min(add, p.cfg.Clip*next)
		}
		next += w * (add - next)
		if n.ewma.CompareAndSwap(old, math.Float64bits(next)) {
			break
		}
	}
	if gaveUp := o == AtLeast; n.atLeast.Load() != gaveUp {
		n.atLeast.Store(gaveUp)
	}
	if o == Answered {
		n.answers.Add(1<<sumBits + uint64(min(sample/costUnit, p.cfg.Clip*next/costUnit, maxCost)+1))
	} else {
		n.others.Add(1)
	}
	p.price(n, next)
}

// Tick lets time pass: the fleet's latency is taken anew, averages of
// endpoints without calls relax, and an endpoint that has calls in flight and
// answers none gets dearer with every tick, but for one tick in Relax.
func (p *Picker) Tick(now time.Duration) {
	since := int64(now) - p.ticked.Swap(int64(now))
	var sum, answers, calls float64
	inFlight := 0
	for _, n := range p.nodes {
		a, others := n.answers.Swap(0), n.others.Swap(0)
		answers += float64(a >> sumBits)
		sum += float64(a&(1<<sumBits-1)) * costUnit
		calls += float64(a>>sumBits + others)
		heard := a>>sumBits+others > 0
		n.heard.Store(heard)
		if heard { // what is silent has calls in flight for another reason
			inFlight += n.load.InFlight()
		}
	}
	fresh := 1 - math.Exp(-float64(since)/float64(p.cfg.Window))
	met := math.Float64frombits(p.met.Load())
	met += fresh * (max(0, float64(inFlight-1)) - met)
	p.met.Store(math.Float64bits(met))
	mean := math.Float64frombits(p.mean.Load())
	if answers > 0 {
		if mean == 0 {
			mean = sum / answers
		}
		mean += fresh * (sum/answers - mean)
		p.mean.Store(math.Float64bits(mean))
	}
	p.level(mean, met)
	least := uint64(math.MaxUint64)
	calls /= float64(len(p.nodes))
	for _, n := range p.nodes {
		old := n.ewma.Load()
		lat := math.Float64frombits(old)
		if down := n.load.Out(); n.down.Swap(down) && !down && n.ewma.CompareAndSwap(old, math.Float64bits(mean)) {
			lat = mean // what it was before it went down says nothing of it now
		} else if lat > 0 && !n.heard.Load() {
			within := float64(relaxCalls)
			if n.atLeast.Load() {
				within = min(within, relaxAtLeast*lat/mean)
			}
			next := mean + (lat-mean)*math.Exp(-float64(since)/float64(p.cfg.Relax)-calls/within)
			if n.ewma.CompareAndSwap(old, math.Float64bits(next)) {
				lat = next
			}
		}
		if n.down.Load() {
			n.start.Store(int64(now)) // it starts when it is back
		}
		if lat == 0 {
			lat = mean
		}
		if n.load.InFlight() == 0 {
			n.idle.Store(int64(now))
		} else if age := int64(now) - max(n.idle.Load(), n.last.Load()); old != 0 && !n.heard.Load() && age/int64(p.cfg.Relax) == (age-since)/int64(p.cfg.Relax) {
			lat = max(lat, float64(age))
		} // else for this one tick it may show that it answers: what is silent may be one long stream
		least = min(least, p.price(n, lat))
	}
	p.least.Store(least)
}

// Latency returns the average latency of endpoint i; zero if it is not known.
func (p *Picker) Latency(i int) time.Duration {
	return time.Duration(math.Float64frombits(p.nodes[i].ewma.Load()))
}

// Mean returns the average latency of the fleet; zero if it is not known.
func (p *Picker) Mean() time.Duration { return time.Duration(math.Float64frombits(p.mean.Load())) }

// level sets which latencies count as equal to mean, where so many calls have met.
func (p *Picker) level(mean, met float64) {
	met *= meeting
	apart := 1 / (1 + met*met)
	near := 1 + (p.cfg.Band-1)*apart
	more := 0.0
	if p.cfg.Band > 1 {
		more = grain * apart
	}
	p.from.Store(math.Float64bits(mean/near - more))
	p.to.Store(math.Float64bits(mean*near + more))
}

// reports is how many there were since the last tick.
func (n *node) reports() uint64 { return n.answers.Load()>>sumBits + n.others.Load() }

// latency returns the average of n, or the fleet's while n has none.
func (p *Picker) latency(n *node) float64 {
	if l := math.Float64frombits(n.ewma.Load()); l > 0 {
		return l
	}
	return math.Float64frombits(p.mean.Load())
}

// price sets the cost of n from its latency in ns, and returns its score while
// no call is in flight there.
func (p *Picker) price(n *node, latency float64) uint64 {
	switch mean := math.Float64frombits(p.mean.Load()); {
	case mean == 0:
		latency = unknown // until the first tick there is nothing to compare with
	case latency == 0, latency < math.Float64frombits(p.to.Load()) && latency > math.Float64frombits(p.from.Load()):
		latency = mean
	}
	share := math.Float64frombits(n.share.Load())
	if p.cfg.SlowStart > 0 {
		ticked := p.ticked.Load()
		served := float64(ticked-n.start.Load()) / float64(p.cfg.SlowStart)
		if served < 1 && float64(mix(n.hash^uint64(ticked)))/(1<<64) >= served {
			share /= cold
		}
	}
	cost := max(1, uint64(min(latency/costUnit/share, maxCost)))
	idle := cost << scoreShift
	if idle < p.least.Load() { // before the cost is seen
		p.least.Store(idle)
	}
	if n.load.Cost.Load() != cost {
		n.load.Cost.Store(cost)
	}
	return idle
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// Hash hashes a caller's key.
func Hash(s string) uint64 { return mix(hash(s)) }

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
