package balance

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/load"
)

const (
	// window is LeastLatencyConfig.Window when that is zero.
	window = 2 * time.Second
	// samples is one over the least weight of one sample in the average, so
	// that a burst of calls counts too.
	samples = 32

	// idleDecay is the time constant in which an endpoint returns to the fleet's
	// latency, unless its calls say otherwise, since nobody would try it again
	// otherwise, and how often one that answers nothing is tried.
	idleDecay = 15 * time.Second
	// An endpoint without calls is back at the fleet's latency after decayCalls
	// calls to an average endpoint, if that is sooner than idleDecay, and one with few
	// after as many that it lacks. That bounds the cost of trying a slow server to
	// about one call in a thousand. If the last caller gave up, the pool knows only
	// that the answer would have taken longer, and trying again costs no more than
	// that: the endpoint is back after decayCensored calls times its latency in
	// latencies of the fleet, if that is sooner still.
	decayCalls    = 200
	decayCensored = 10

	// clip is the most that one answer counts for, in averages of its endpoint,
	// so that one slow answer shuts no endpoint out.
	clip = 8
	// tolerance is the factor within which latencies, give or take noiseFloor,
	// count as equal to the fleet's where calls seldom meet at an endpoint, so
	// that the noise of averages makes no favorite among equal servers. Where
	// they do meet, calls in flight correct a wrong preference, and the
	// tolerance shrinks, with the square of correction times the calls in
	// flight beyond the first.
	tolerance  = 1.5
	correction = 12
	// noiseFloor is how far apart two latencies may be only because of the caller's
	// own machine, where many goroutines run on few processors.
	noiseFloor = float64(100 * time.Microsecond)

	// Where averages change from tick to tick, as those of equal servers do while other
	// programs want the processors, latencies count as different when they are apart by
	// significant deviations of such changes, or by mostTolerance, calls in flight or
	// not. mostChange is the most that one change counts for, as a logarithm.
	significant   = 2.0
	mostTolerance = 6.0
	mostChange    = 2.0

	// penalty is the least latency of a failed call, in latencies of the fleet;
	// see failureLatency.
	penalty    = 4
	maxPenalty = 64
	// maxLoad is the most that a server's self-reported load counts for.
	maxLoad = 100

	// cold is the factor by which an endpoint in slow start costs more: at first
	// all the time and in the end never, as decided at random with each tick. A cost
	// that falls slowly would change nothing where calls seldom meet.
	cold = 10
	// unknown is the latency of an endpoint while nothing was ever measured.
	unknown = float64(time.Millisecond)

	// sumBits is how many bits of a record's answers are the sum of their
	// latencies, in costUnit; above it are 22 of their number.
	sumBits = 42
	// moment is the least time between two reports whose times are noted.
	moment = int64(2 * time.Millisecond)
	// longAgo is the start of an endpoint that does not start slowly.
	longAgo = math.MinInt64 / 2
)

// failureLatency returns the latency that a failed call counts as: what it took,
// but at least penalty times the fleet's latency, since a server that fails at once
// would be the fastest of all otherwise. Where most calls fail, each counts as
// twice the endpoint's own average, up to maxPenalty times the fleet's latency.
func failureLatency(took, fleet, own float64) float64 {
	return max(took, min(max(penalty*fleet, 2*own), maxPenalty*fleet))
}

// float returns the float64 whose bits are in a.
func float(a *atomic.Uint64) float64 { return math.Float64frombits(a.Load()) }

// latencies are the average latencies of the endpoints of one picker, and the
// costs that follow from them. Report is safe for concurrent use; Tick is too,
// but not with itself.
type latencies struct {
	records           []*latencyRecord
	window, slowStart time.Duration
	// mean is the fleet's latency per answer in ns, float64 bits; 0: unknown.
	// Failures do not count in it: they count as a multiple of it.
	mean atomic.Uint64
	// least is at most the score of the endpoint of the least cost while no call is
	// in flight there; above that only for the rest of a tick in which the cost fell.
	least atomic.Uint64
	// concurrency is the mean number of calls in flight beyond the first,
	// float64 bits.
	concurrency atomic.Uint64
	// noise is how far the averages that are new in each tick are apart by chance: the
	// standard deviation of their logarithms, float64 bits.
	noise atomic.Uint64
	// Latencies between from and to count as equal to mean; float64 bits.
	from, to atomic.Uint64
	// ticked is the time of the last tick.
	ticked atomic.Int64
}

// latencyRecord is the record of one endpoint; it outlives the pickers it is in.
type latencyRecord struct {
	// What an answer touches is together: on one cache line, or two.

	load *load.Load
	// ewma is the latency in ns, float64 bits; 0: never measured.
	ewma atomic.Uint64
	// last is the time of the last report, or a moment before it.
	last atomic.Int64
	// answers counts those since the last tick, above the sum of their latencies,
	// and others the other reports since then.
	answers, others atomic.Uint64
	// censored means that the caller gave up, in the last report that counted.
	censored atomic.Bool

	// unavailable means that the last tick found the endpoint down or ejected.
	unavailable atomic.Bool
	// idle is the time of the last tick that found no call in flight.
	idle atomic.Int64
	// start is when the endpoint became available, if it starts slowly.
	start atomic.Int64
	hash  uint64

	// Only Tick uses these: the number of reports between the last two ticks, the
	// logarithm of ewma at the last one, or 0, and how far it has moved since then.
	calls, before, change float64
}

func newLatencyRecord(m Member, start, ticked int64) *latencyRecord {
	r := &latencyRecord{hash: Hash(m.Endpoint.Addr), load: m.load}
	r.start.Store(start)
	r.idle.Store(ticked)
	r.last.Store(ticked)
	return r
}

// init makes l ready for n records and carries over what previous knew of the
// whole fleet.
func (l *latencies) init(cfg LeastLatencyConfig, previous *leastLatency, n int) {
	l.records = make([]*latencyRecord, n)
	l.window, l.slowStart = cfg.Window, cfg.SlowStart
	if l.window == 0 {
		l.window = window
	}
	l.least.Store(math.MaxUint64)
	if previous != nil {
		l.mean.Store(previous.mean.Load())
		l.ticked.Store(previous.ticked.Load())
		l.concurrency.Store(previous.concurrency.Load())
		l.noise.Store(previous.noise.Load())
		l.setTolerance(float(&l.mean), float(&l.concurrency))
	}
}

// Report implements [Picker]. A latency of zero means that it was not measured.
func (l *latencies) Report(i int, rep Report) {
	if i < 0 || i >= len(l.records) {
		return
	}
	n := l.records[i]
	sample := float64(rep.Latency)
	mean := float(&l.mean)
	switch rep.Outcome {
	case OutcomeOK:
		if rep.Load > 0 {
			sample *= 1 + min(rep.Load, maxLoad)
		}
	case OutcomeFailure, OutcomeOverload:
		if mean > 0 {
			sample = failureLatency(sample, max(mean, 3*noiseFloor), float(&n.ewma)) // else the tolerance would hide it
		}
	case OutcomeCanceled:
		if sample <= float(&n.ewma) {
			return
		}
	case OutcomeNeutral, OutcomeDialFailure: // a server that cannot be dialed is marked down by its sub-pool
		return
	}
	if sample <= 0 { // not measured: all that is known is that it answers
		n.others.Add(1)
		n.last.Store(int64(rep.At))
		return
	}
	answered := rep.Outcome == OutcomeOK
	now := int64(rep.At)
	dt := now - n.last.Load()
	if dt > min(moment, int64(l.window)/(2*samples)) {
		n.last.Store(now)
	}
	w := 1.0 / samples
	switch {
	case mean == 0:
		w = 1 / (float64(n.reports()) + 1) // the first 100 ms: a plain average
	case dt > int64(l.window)/samples:
		w = max(w, 1-math.Exp(-float64(dt)/float64(l.window)))
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
		if answered && mean > 0 {
			add = min(add, clip*next)
		}
		next += w * (add - next)
		if n.ewma.CompareAndSwap(old, math.Float64bits(next)) {
			break
		}
	}
	if gaveUp := rep.Outcome == OutcomeCanceled; n.censored.Load() != gaveUp {
		n.censored.Store(gaveUp)
	}
	if answered {
		n.answers.Add(1<<sumBits + uint64(min(sample/costUnit, clip*next/costUnit, maxCost)+1))
	} else {
		n.others.Add(1)
	}
	l.updateCost(n, next)
}

// Tick implements [Ticker]: it updates the fleet's latency, lets averages return
// to it, and raises the cost of an endpoint that has calls
// in flight and answers none, but for one tick in idleDecay.
func (l *latencies) Tick(now time.Duration) {
	since := int64(now) - l.ticked.Swap(int64(now))
	var sum, answers, calls float64
	inFlight, moved := 0, 0
	var changes float64
	fresh := 1 - math.Exp(-float64(since)/float64(l.window))
	for _, n := range l.records {
		if n.reports() == 0 { // as most of a large fleet: nothing here may be dear
			n.calls, n.before, n.change = 0, 0, math.NaN()
			continue
		}
		a, others := n.answers.Swap(0), n.others.Swap(0)
		answers += float64(a >> sumBits)
		sum += float64(a&(1<<sumBits-1)) * costUnit
		n.calls = float64(a>>sumBits + others)
		calls += n.calls
		inFlight += n.load.InFlight() // a silent endpoint has calls in flight for another reason
		if n.move(1 - math.Exp(-n.calls/samples-float64(since)/float64(l.window))) {
			changes += n.change
			moved++
		}
	}
	concurrency := float(&l.concurrency)
	concurrency += fresh * (max(0, float64(inFlight-1)) - concurrency)
	l.concurrency.Store(math.Float64bits(concurrency))
	mean := float(&l.mean)
	if answers > 0 {
		if mean == 0 {
			mean = sum / answers
		}
		mean += fresh * (sum/answers - mean)
		l.mean.Store(math.Float64bits(mean))
	}
	if moved > 1 {
		l.fluctuate(changes/float64(moved), float64(moved-1), fresh)
	}
	l.setTolerance(mean, concurrency)
	least := uint64(math.MaxUint64)
	calls /= float64(len(l.records))
	for _, n := range l.records {
		old := n.ewma.Load()
		lat := math.Float64frombits(old)
		gone := n.load.Unavailable()
		was := n.unavailable.Load()
		if was != gone {
			n.unavailable.Store(gone)
		}
		if was || gone {
			n.start.Store(int64(now)) // until it is available again
		}
		if was && !gone && n.ewma.CompareAndSwap(old, math.Float64bits(mean)) {
			lat = mean // the old average says nothing of a server that was unavailable
		} else if lat > 0 && (n.calls == 0 || n.calls < calls) {
			within := float64(decayCalls)
			if n.censored.Load() {
				within = min(within, decayCensored*lat/mean)
			}
			missing := 1.0 // the part of an average endpoint's calls that it did not get
			if calls > 0 {
				missing -= n.calls / calls
			}
			next := mean + (lat-mean)*math.Exp(-missing*(float64(since)/float64(idleDecay)+calls/within))
			if n.ewma.CompareAndSwap(old, math.Float64bits(next)) {
				lat = next
			}
		}
		if lat == 0 {
			lat = mean
		}
		if n.load.InFlight() == 0 {
			n.idle.Store(int64(now))
		} else if age := int64(now) - max(n.idle.Load(), n.last.Load()); old != 0 && n.calls == 0 && age/int64(idleDecay) == (age-since)/int64(idleDecay) {
			lat = max(lat, float64(age))
		} // else a call may find out in this one tick whether it answers: a silent endpoint may have one long stream
		least = min(least, l.updateCost(n, lat))
	}
	l.least.Store(least)
}

// move notes how far the average of n has moved since the last tick, and reports
// whether it was known then. The reports of a tick replace the part renewed of it. If
// they are chance, a change has 2*renewed times the variance of averages. What is
// expected to last until the next tick is no chance, so the deviation counts by renewed:
// a slow queue that few calls a tick tell of is still a slow queue then, and a pause
// that hundreds of calls tell of is over.
func (n *latencyRecord) move(renewed float64) bool {
	before := n.before
	n.before, n.change = 0, math.NaN()
	if ewma := float(&n.ewma); ewma > 0 {
		n.before = math.Log(ewma)
	}
	if n.before == 0 || before == 0 {
		return false
	}
	n.change = max(-mostChange, min(mostChange, (n.before-before)*math.Sqrt(renewed/2)))
	return true
}

// fluctuate sets the noise from the changes of a tick, whose mean is given, and their
// number less one. What moves all endpoints alike, as a pause of this process does, is
// no noise: it makes none of them look worse.
func (l *latencies) fluctuate(mean, freedom, fresh float64) {
	sum := 0.0
	for _, n := range l.records {
		if !math.IsNaN(n.change) {
			sum += math.Abs(n.change - mean)
		}
	}
	noise := float(&l.noise)
	noise += fresh * (math.Sqrt(math.Pi/2)*sum/freedom - noise) // as from the mean deviation of a normal distribution
	l.noise.Store(math.Float64bits(noise))
}

// setTolerance sets which latencies count as equal to mean at that concurrency.
func (l *latencies) setTolerance(mean, concurrency float64) {
	concurrency *= correction
	apart := 1 / (1 + concurrency*concurrency)
	near := max(1+(tolerance-1)*apart, min(mostTolerance, math.Exp(significant*float(&l.noise))))
	l.from.Store(math.Float64bits(mean/near - noiseFloor))
	l.to.Store(math.Float64bits(mean*near + noiseFloor))
}

// reports returns how many there were since the last tick.
func (n *latencyRecord) reports() uint64 { return n.answers.Load()>>sumBits + n.others.Load() }

// latency returns the average of n, or the fleet's while n has none.
func (l *latencies) latency(n *latencyRecord) float64 {
	if own := float(&n.ewma); own > 0 {
		return own
	}
	return float(&l.mean)
}

// updateCost sets the cost of n from its latency in ns, and returns its score
// while no call is in flight there.
func (l *latencies) updateCost(n *latencyRecord, latency float64) uint64 {
	switch mean := float(&l.mean); {
	case mean == 0:
		latency = unknown // until the first tick there is nothing to compare with
	case latency == 0, latency < float(&l.to) && latency > float(&l.from):
		latency = mean
	}
	if l.slowStart > 0 {
		ticked := l.ticked.Load()
		served := float64(ticked-n.start.Load()) / float64(l.slowStart)
		if served < 1 && float64(mix(n.hash^uint64(ticked)))/(1<<64) >= served {
			latency *= cold
		}
	}
	cost := max(1, uint64(min(latency/costUnit, maxCost)))
	idle := cost << scoreShift
	if idle < l.least.Load() { // before the cost is seen
		l.least.Store(idle)
	}
	if n.load.Cost.Load() != cost {
		n.load.Cost.Store(cost)
	}
	return idle
}
