// Package hedge decides when a call that is late deserves a second one: after
// a time that few calls take, for few calls, and not while the servers have
// more to do than usual, since then late calls are late for want of capacity
// (Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013).
package hedge

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// share is the part of the calls that may be made twice, and saved how
	// many such calls can be saved up.
	share = 0.02
	saved = 10
	// surge is how many times the usual calls in flight are too many.
	surge = 1.5
	// memory is how fast the usual number is forgotten, per tick; halve how
	// many ticks there are between two halvings of the histogram.
	memory = 0.01
	halve  = 100
	// least is how many calls must have been measured.
	least = 100

	// The histogram has four buckets per octave, from a microsecond up.
	octave  = 4
	buckets = 28 * octave
)

// Gate is what one pool knows. Its zero value is closed until calls were
// measured. It is safe for concurrent use, Tick not with itself.
type Gate struct {
	count [buckets]atomic.Uint32
	total atomic.Int64 // calls not yet paid for
	delay atomic.Int64 // zero: closed

	mu     sync.Mutex
	tokens float64

	ticks int
	usual float64
}

// Record takes the latency of a call that went well.
func (g *Gate) Record(d time.Duration) {
	g.count[bucket(d)].Add(1)
	g.total.Add(1)
}

func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < octave {
		return int(us)
	}
	k := bits.Len64(us) - 1 // the octave, at least 2
	return min((k-1)*octave+int(us>>(k-2)&(octave-1)), buckets-1)
}

// above is the upper end of a bucket.
func above(b int) time.Duration {
	b++
	if b < octave {
		return time.Duration(b) * time.Microsecond
	}
	k := b/octave + 1
	return time.Duration(octave+b%octave) << (k - 2) * time.Microsecond
}

// Delay returns how long a call should wait before it is made a second time;
// false says that it should not be.
func (g *Gate) Delay() (time.Duration, bool) {
	d := time.Duration(g.delay.Load())
	return d, d > 0
}

// Take takes the leave for one second call, if there is one.
func (g *Gate) Take() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens = min(saved, g.tokens+share*float64(g.total.Swap(0)))
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}

// Tick lets a tenth of a second pass: inFlight is the number of calls in flight
// now.
func (g *Gate) Tick(inFlight int) {
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
	g.usual += memory * (n - g.usual)
	if g.ticks%halve == 0 {
		for i := range count {
			g.count[i].Add(-uint32(count[i] / 2))
		}
	}
	if total < least || crowded {
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
