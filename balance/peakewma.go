package balance

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

const (
	// longest is what any longer latency counts as.
	longest = float64(time.Hour)
	// peakKeeps is how many times as long as a peak lasted it keeps calls away at
	// most. Less would bring calls back to a server that collects garbage, whose
	// next pause is near; see the rows of bench/policy.
	peakKeeps = 300
	// peakTolerance is the factor within which averages differ by chance.
	peakTolerance = 1.5
)

// PeakEWMA returns a balancer that chooses, of two random endpoints, the one where
// latency times calls in flight is less. The latency is an average that rises to
// every peak at once and falls slowly, so that the balancer avoids an endpoint for
// a while after one slow answer: for at most 300 times as long as the answer took,
// if the endpoint's other answers were not as slow. Of eight endpoints or fewer, all are
// compared. A keyed call goes as with [Rendezvous], without its bound.
//
// The source is Finagle's balancer of that name (com.twitter.finagle.
// loadbalancer.PeakEwma), with three differences: the average of an endpoint without
// a recent answer returns to the fleet's latency, not to zero, where a burst would
// all go to one endpoint; failed calls count as slow ones; and a peak is forgotten in
// proportion to its height, where in Finagle 30 ms among answers of 0.2 ms keep calls
// away for most of a minute. An endpoint keeps its average from one set of endpoints
// to the next.
func PeakEWMA(opts ...EWMAOption) Balancer {
	c := ewmaConfig{decay: 10 * time.Second}
	c.err = errors.Join(configure(&c, opts), c.err)
	return builder{err: c.err, build: func(previous Picker, members []Member) Picker {
		return newPeak(previous, members, c)
	}}
}

// EWMAOption is a parameter of [PeakEWMA].
type EWMAOption func(*ewmaConfig)

type ewmaConfig struct {
	decay time.Duration
	err   error
}

// Decay sets the time constant of the average, in which a peak is forgotten at the
// latest. The default, which 0 means too, is 10 s. A negative d is an error of
// core.New.
func Decay(d time.Duration) EWMAOption {
	return func(c *ewmaConfig) {
		switch {
		case d > 0:
			c.decay = d
		case d < 0:
			c.err = fmt.Errorf("balance: Decay(%v): must not be negative", d)
		}
	}
}

// peakRecord is the record of one endpoint; it outlives the pickers it is in.
type peakRecord struct {
	// average is the latency in ns with its peaks, usual that without them, as
	// float64 bits; 0: never measured.
	average, usual atomic.Uint64
	// last is the time of the last report.
	last atomic.Int64
	// answers counts those since the last tick; sum is that of their latencies in
	// ns.
	answers, sum atomic.Uint64
	// cost is what a pick compares, float64 bits.
	cost atomic.Uint64
}

type peak struct {
	*least
	decay   float64
	records []*peakRecord
	known   map[string]*peakRecord // by address
	// mean is the latency of the fleet's answers in ns, float64 bits; 0: unknown.
	mean   atomic.Uint64
	ticked atomic.Int64
}

func newPeak(previous Picker, members []Member, c ewmaConfig) *peak {
	n := len(members)
	p := &peak{
		least: newLeast(members, 2), decay: float64(c.decay),
		records: make([]*peakRecord, n), known: make(map[string]*peakRecord, n),
	}
	before, _ := previous.(*peak)
	if before != nil {
		p.mean.Store(before.mean.Load())
		p.ticked.Store(before.ticked.Load())
	}
	p.cost = make([]*atomic.Uint64, n)
	for i, m := range members {
		var r *peakRecord
		if before != nil {
			r = before.known[m.Endpoint.Addr]
		}
		if r == nil {
			r = new(peakRecord)
			r.last.Store(p.ticked.Load())
		}
		p.records[i], p.known[m.Endpoint.Addr], p.cost[i] = r, r, &r.cost
		p.updateCost(r, time.Duration(p.ticked.Load()))
	}
	return p
}

// Report implements [Picker].
func (p *peak) Report(i int, rep Report) {
	if i < 0 || i >= len(p.records) {
		return
	}
	r := p.records[i]
	sample := float64(rep.Latency)
	switch rep.Outcome {
	case OutcomeOK:
	case OutcomeFailure, OutcomeOverload:
		sample = failureLatency(sample, float(&p.mean), float(&r.average))
	case OutcomeCanceled: // it would have taken longer
		if sample <= float(&r.average) {
			return
		}
	default: // it says nothing of the server's latency
		return
	}
	if sample <= 0 {
		return
	}
	sample = min(sample, longest)
	if rep.Outcome == OutcomeOK {
		r.answers.Add(1)
		r.sum.Add(uint64(sample))
	}
	// Reports may come late: one from before the last counts as made with it.
	since := max(rep.At-time.Duration(r.last.Swap(int64(rep.At))), 0)
	failed := rep.Outcome == OutcomeFailure || rep.Outcome == OutcomeOverload
	was, usual := p.updateUsual(r, sample, since, failed)
	for {
		before := r.average.Load()
		next := max(sample, usual+p.excess(math.Float64frombits(before)-was, since))
		if r.average.CompareAndSwap(before, math.Float64bits(next)) {
			p.updateCost(r, rep.At)
			return
		}
	}
}

// updateUsual counts a sample in the usual latency of r, and returns what that was
// before and is now. One answer counts as at most clip times the usual, so that a peak
// is none; a failure counts in full.
func (p *peak) updateUsual(r *peakRecord, sample float64, since time.Duration, failed bool) (was, is float64) {
	old := p.remaining(since)
	for {
		before := r.usual.Load()
		was = math.Float64frombits(before)
		from := was
		if from == 0 {
			from = float(&p.mean)
		}
		switch {
		case from == 0 || failed && sample > from:
			is = sample
		case failed:
			is = old*from + (1-old)*sample
		default:
			is = old*from + (1-old)*min(sample, clip*from)
		}
		if r.usual.CompareAndSwap(before, math.Float64bits(is)) {
			return was, is
		}
	}
}

// excess returns what is left after d of that by which a peak exceeds the usual.
func (p *peak) excess(height float64, d time.Duration) float64 {
	return max(0, height*p.remaining(d)-float64(d)/peakKeeps)
}

// Tick implements [Ticker]: it updates the fleet's latency, which the costs of
// endpoints without a recent answer approach.
func (p *peak) Tick(now time.Duration) {
	since := now - time.Duration(p.ticked.Swap(int64(now)))
	var answers, sum float64
	for _, r := range p.records {
		answers += float64(r.answers.Swap(0))
		sum += float64(r.sum.Swap(0))
	}
	if answers > 0 {
		mean := float(&p.mean)
		if mean == 0 {
			mean = sum / answers
		}
		old := p.remaining(since)
		p.mean.Store(math.Float64bits(old*mean + (1-old)*sum/answers))
	}
	for _, r := range p.records {
		p.updateCost(r, now)
	}
}

// updateCost sets the cost of an endpoint from its average, or from the fleet's
// latency while the endpoint was never measured.
func (p *peak) updateCost(r *peakRecord, now time.Duration) {
	mean, average, usual := float(&p.mean), float(&r.average), float(&r.usual)
	switch {
	case mean == 0: // until the first tick calls in flight alone decide
		mean, average, usual = 1, 1, 1
	case average == 0:
		average, usual = mean, mean
	}
	since := max(now-time.Duration(r.last.Load()), 0)
	old := p.remaining(since)
	r.cost.Store(math.Float64bits(old*usual + (1-old)*mean + p.excess(average-usual, since)))
}

// remaining returns the part of an average that is left after d.
func (p *peak) remaining(d time.Duration) float64 {
	return math.Exp(-float64(max(d, 0)) / p.decay)
}
