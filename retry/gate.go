package retry

import (
	"math/bits"
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

	// The histogram has four buckets per octave, from a microsecond up.
	perOctave = 4
	buckets   = 28 * perOctave
)

// gate decides when a call that is late deserves a second one: after a time that
// few calls take, for few calls, and not while the servers have more to do than
// usual, since then late calls are late for want of capacity (Dean and Barroso,
// "The Tail at Scale", CACM 56(2), 2013). Its zero value is closed until calls
// were measured. It is safe for concurrent use, tick not with itself.
type gate struct {
	count [buckets]atomic.Uint32
	total atomic.Int64 // calls that have brought no tokens yet
	delay atomic.Int64 // 0: closed

	mu     sync.Mutex
	tokens float64

	ticks int
	usual float64
}

// record takes the latency of a call that succeeded.
func (g *gate) record(d time.Duration) {
	g.count[bucket(d)].Add(1)
	g.total.Add(1)
}

func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < perOctave {
		return int(us)
	}
	k := bits.Len64(us) - 1 // the octave, at least 2
	return min((k-1)*perOctave+int(us>>(k-2)&(perOctave-1)), buckets-1)
}

// above returns the upper end of a bucket.
func above(b int) time.Duration {
	b++
	if b < perOctave {
		return time.Duration(b) * time.Microsecond
	}
	k := b/perOctave + 1
	return time.Duration(perOctave+b%perOctave) << (k - 2) * time.Microsecond
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
	var count [buckets]uint64
	total := uint64(0)
	for i := range count {
		count[i] = uint64(g.count[i].Load())
		total += count[i]
	}
	n := float64(inFlight)
	if g.ticks++; g.ticks == 1 {
		g.usual = n
	}
	crowded := n > surge*g.usual+1
	g.usual += usualDecay * (n - g.usual)
	if g.ticks%halveTicks == 0 {
		for i := range count {
			g.count[i].Add(-uint32(count[i] / 2))
		}
	}
	if total < minMeasured || crowded {
		g.delay.Store(0)
		return
	}
	g.delay.Store(int64(max(quantile(&count, total, 0.95), 2*quantile(&count, total, 0.5))))
}

func quantile(count *[buckets]uint64, total uint64, q float64) time.Duration {
	rest := q * float64(total)
	for i, c := range count {
		if rest -= float64(c); rest <= 0 {
			return above(i)
		}
	}
	return above(buckets - 1)
}
