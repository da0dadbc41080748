package balance

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// longest is what any longer latency counts as.
const longest = float64(time.Hour)

// PeakEWMA returns a balancer that chooses, of two random endpoints, the one where
// latency times calls in flight is less. The latency is an average that rises to
// every peak at once and falls slowly, so that the balancer avoids an endpoint for
// a while after one slow answer. Of eight endpoints or fewer, all are compared. A
// keyed call goes as with [Rendezvous], without its bound.
//
// The source is Finagle's balancer of that name (com.twitter.finagle.
// loadbalancer.PeakEwma), with two differences: the average of an endpoint without
// a recent answer returns to the fleet's latency, not to zero, where a burst would
// all go to one endpoint; and failed calls count as slow ones. An endpoint keeps
// its average from one set of endpoints to the next.
func PeakEWMA(opts ...EWMAOption) Balancer {
	c := ewmaConfig{decay: 10 * time.Second}
	for _, o := range opts {
		o(&c)
	}
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

// Decay sets the time constant in which a peak is forgotten. The default, which 0
// means too, is 10 s. A negative d is an error of core.New.
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
	// average is the latency in ns, float64 bits; 0: never measured.
	average atomic.Uint64
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
	old := p.remaining(rep.At - time.Duration(r.last.Swap(int64(rep.At))))
	for {
		before := r.average.Load()
		next := math.Float64frombits(before)
		if sample > next {
			next = sample
		} else {
			next = old*next + (1-old)*sample
		}
		if r.average.CompareAndSwap(before, math.Float64bits(next)) {
			p.updateCost(r, rep.At)
			return
		}
	}
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
	mean, average := float(&p.mean), float(&r.average)
	switch {
	case mean == 0: // until the first tick calls in flight alone decide
		mean, average = 1, 1
	case average == 0:
		average = mean
	}
	old := p.remaining(now - time.Duration(r.last.Load()))
	r.cost.Store(math.Float64bits(old*average + (1-old)*mean))
}

// remaining returns the part of an average that is left after d.
func (p *peak) remaining(d time.Duration) float64 {
	return math.Exp(-float64(max(d, 0)) / p.decay)
}
