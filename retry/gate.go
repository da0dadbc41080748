package retry

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// hedgeShare is the part of the calls that may be made twice, and
	// maxHedgeTokens the most tokens for such calls that can be saved up.
	hedgeShare     = 0.02
	maxHedgeTokens = 10
	// surge is how many times the usual number of calls in flight is too many.
	surge = 1.5
	// usualDecay is how fast the usual number is forgotten, per tick; halveTicks how
	// many ticks there are between two halvings of the histogram.
	usualDecay = 0.01
	halveTicks = 100
	// minMeasured is how many calls must be measured before one is made twice.
	minMeasured = 100
)

// gate decides when a call that is late deserves a second one: after a time that
// few calls take, for few calls, and not while the servers have more to do than
// usual, since then late calls are late for want of capacity (Dean and Barroso,
// "The Tail at Scale", CACM 56(2), 2013). Its zero value is closed until calls
// were measured. It is safe for concurrent use, tick not with itself.
type gate struct {
	latencies histogram
	total     atomic.Int64 // calls that have brought no tokens yet
	delay     atomic.Int64 // 0: closed

	mu     sync.Mutex
	tokens float64

	ticks int
	usual float64
}

// record takes the latency of a call that succeeded.
func (g *gate) record(d time.Duration) {
	g.latencies.add(d)
	g.total.Add(1)
}

// after returns how long a call waits before it is made a second time, or false
// while none is.
func (g *gate) after() (time.Duration, bool) {
	d := time.Duration(g.delay.Load())
	return d, d > 0
}

// take takes the token for one second call, if there is one.
func (g *gate) take() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens = min(maxHedgeTokens, g.tokens+hedgeShare*float64(g.total.Swap(0)))
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}

// tick lets a tenth of a second pass: inFlight is the number of calls in flight
// now.
func (g *gate) tick(inFlight int) {
	seen := g.latencies.read()
	n := float64(inFlight)
	if g.ticks++; g.ticks == 1 {
		g.usual = n
	}
	crowded := n > surge*g.usual+1
	g.usual += usualDecay * (n - g.usual)
	if g.ticks%halveTicks == 0 {
		g.latencies.halve(&seen)
	}
	if seen.total < minMeasured || crowded {
		g.delay.Store(0)
		return
	}
	g.delay.Store(int64(max(seen.quantile(0.95), 2*seen.quantile(0.5))))
}
