package balance

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// failedMean and failedOwn are what a failed call counts as at least: so
	// many times the fleet's latency, or the endpoint's own average, whichever
	// is more, up to failedMost of the fleet's. A server that fails at once
	// would else look like the fastest.
	failedMean = 4
	failedOwn  = 2
	failedMost = 64
	// longest is what any longer latency counts as.
	longest = float64(time.Hour)
)

// PeakEWMA returns a balancer that takes, of two random endpoints, the one
// where latency times calls in flight is less. The latency is an average that
// jumps up to every peak at once and comes down slowly, so that one slow
// answer is enough to be avoided for a while. Eight and fewer endpoints are
// all compared. A keyed call goes as with [Rendezvous], without its bound.
//
// The source is Finagle's balancer of that name (com.twitter.finagle.
// loadbalancer.PeakEwma). Other than there, endpoints without a recent answer
// return to the fleet's latency and not to zero, where a burst would all go to
// one of them, and failed calls count as slow ones. Averages go with the
// address into the next set of endpoints.
func PeakEWMA(opts ...EWMAOption) core.Balancer {
	c := ewma{decay: 10 * time.Second}
	for _, o := range opts {
		o(&c)
	}
	return build(func(previous core.Picker, set core.Snapshot) core.Picker {
		return newPeak(previous, set, c)
	})
}

// EWMAOption is a parameter of [PeakEWMA].
type EWMAOption func(*ewma)

type ewma struct{ decay time.Duration }

// Decay sets the time constant in which a peak is forgotten. The default is
// 10 s, which zero and less mean too.
func Decay(d time.Duration) EWMAOption {
	return func(c *ewma) {
		if d > 0 {
			c.decay = d
		}
	}
}

// record is what is known of one endpoint. It outlives the pickers it is in.
type record struct {
	// average is the latency in ns, float64 bits; 0: never measured.
	average atomic.Uint64
	// last is the time of the last report.
	last atomic.Int64
	// answers since the last tick, and the sum of their latencies in ns.
	answers, sum atomic.Uint64
	// cost is what a pick compares, float64 bits.
	cost atomic.Uint64
}

type peak struct {
	*least
	decay   float64
	records []*record
	known   map[string]*record
	// mean is the latency of the fleet's answers in ns, float64 bits; 0: none.
	mean   atomic.Uint64
	ticked atomic.Int64
}

func newPeak(previous core.Picker, set core.Snapshot, c ewma) *peak {
	n := len(set.Members)
	p := &peak{
		least: newLeast(set, 2), decay: float64(c.decay),
		records: make([]*record, n), known: make(map[string]*record, n),
	}
	before, _ := previous.(*peak)
	if before != nil {
		p.mean.Store(before.mean.Load())
		p.ticked.Store(before.ticked.Load())
	}
	p.cost = make([]*atomic.Uint64, n)
	for i, m := range set.Members {
		var r *record
		if before != nil {
			r = before.known[m.Endpoint.Addr]
		}
		if r == nil {
			r = new(record)
			r.last.Store(p.ticked.Load())
		}
		p.records[i], p.known[m.Endpoint.Addr], p.cost[i] = r, r, &r.cost
		p.price(r, time.Duration(p.ticked.Load()))
	}
	return p
}

// Report implements core.Picker.
func (p *peak) Report(i int, rep core.Report) {
	if i < 0 || i >= len(p.records) {
		return
	}
	r := p.records[i]
	sample := float64(rep.Latency)
	switch rep.Class {
	case core.OK:
	case core.Failure, core.Overload:
		mean, own := load(&p.mean), load(&r.average)
		sample = max(sample, min(max(failedMean*mean, failedOwn*own), failedMost*mean))
	case core.Cancelled: // it would have taken longer
		if sample <= load(&r.average) {
			return
		}
	default: // says nothing of the server's latency
		return
	}
	if sample <= 0 {
		return
	}
	sample = min(sample, longest)
	if rep.Class == core.OK {
		r.answers.Add(1)
		r.sum.Add(uint64(sample))
	}
	// A report may come late, but nothing is known of the future.
	old := p.fade(rep.At - time.Duration(r.last.Swap(int64(rep.At))))
	for {
		before := r.average.Load()
		next := math.Float64frombits(before)
		if sample > next {
			next = sample
		} else {
			next = old*next + (1-old)*sample
		}
		if r.average.CompareAndSwap(before, math.Float64bits(next)) {
			p.price(r, rep.At)
			return
		}
	}
}

// Tick implements core.Ticker: the fleet's latency is taken anew, and
// endpoints without a recent answer approach it.
func (p *peak) Tick(now time.Duration) {
	since := now - time.Duration(p.ticked.Swap(int64(now)))
	var answers, sum float64
	for _, r := range p.records {
		answers += float64(r.answers.Swap(0))
		sum += float64(r.sum.Swap(0))
	}
	if answers > 0 {
		mean := load(&p.mean)
		if mean == 0 {
			mean = sum / answers
		}
		old := p.fade(since)
		p.mean.Store(math.Float64bits(old*mean + (1-old)*sum/answers))
	}
	for _, r := range p.records {
		p.price(r, now)
	}
}

// price sets the cost of an endpoint from its average, and that from nothing
// but the fleet's latency while it was never measured.
func (p *peak) price(r *record, now time.Duration) {
	mean, average := load(&p.mean), load(&r.average)
	switch {
	case mean == 0: // until the first tick calls in flight alone decide
		mean, average = 1, 1
	case average == 0:
		average = mean
	}
	old := p.fade(now - time.Duration(r.last.Load()))
	r.cost.Store(math.Float64bits(old*average + (1-old)*mean))
}

// fade is what is left after d of something as old.
func (p *peak) fade(d time.Duration) float64 {
	return math.Exp(-float64(max(d, 0)) / p.decay)
}

func load(a *atomic.Uint64) float64 { return math.Float64frombits(a.Load()) }
