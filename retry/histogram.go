package retry

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The histogram has four buckets per octave, from a microsecond up.
const (
	perOctave = 4
	buckets   = 28 * perOctave
)

// histogram counts latencies. It is safe for concurrent use, halve not with
// itself.
type histogram [buckets]atomic.Uint32

func (h *histogram) add(d time.Duration) { h[bucket(d)].Add(1) }

// counts are the contents of a histogram at one time.
type counts struct {
	of    [buckets]uint32
	total uint64
}

func (h *histogram) read() (c counts) {
	for i := range h {
		c.of[i] = h[i].Load()
		c.total += uint64(c.of[i])
	}
	return c
}

// halve forgets half of what c has.
func (h *histogram) halve(c *counts) {
	for i, n := range c.of {
		h[i].Add(-(n / 2))
	}
}

// quantile returns an upper bound of the given part of the latencies.
func (c *counts) quantile(q float64) time.Duration {
	rest := q * float64(c.total)
	for i, n := range c.of {
		if rest -= float64(n); rest <= 0 {
			return above(i)
		}
	}
	return above(buckets - 1)
}

func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < perOctave {
		return int(us)
	}
	k := bits.Len64(us) - 1 // the octave, at least 2
	return min((k-1)*perOctave+int(us>>(k-2)&(perOctave-1)), buckets-1)
}

// above returns the end of a bucket.
func above(b int) time.Duration {
	b++
	if b < perOctave {
		return time.Duration(b) * time.Microsecond
	}
	k := b/perOctave + 1
	return time.Duration(perOctave+b%perOctave) << (k - 2) * time.Microsecond
}
