package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// fine is the number of buckets for each doubling of the latency: a quantile
// is at most 1/32 too high.
const (
	fineBits = 5
	fine     = 1 << fineBits
	buckets  = (64 - fineBits) * fine
)

// histogram counts latencies. It is safe for concurrent use.
type histogram struct{ n [buckets]atomic.Uint64 }

func (h *histogram) add(d time.Duration) { h.n[bucket(d)].Add(1) }

// counts copies the histogram into c.
func (h *histogram) counts(c *counts) {
	for i := range h.n {
		c[i] = h.n[i].Load()
	}
}

// counts is a histogram at one moment; the difference of two of them is a
// histogram of the time between.
type counts [buckets]uint64

func (c *counts) add(o *counts) {
	for i := range c {
		c[i] += o[i]
	}
}

func (c *counts) sub(o *counts) {
	for i := range c {
		c[i] -= o[i]
	}
}

func (c *counts) total() (sum uint64) {
	for _, n := range c {
		sum += n
	}
	return sum
}

// quantile returns the latency that the fraction q of the calls did not
// exceed, or 0 when there were no calls.
func (c *counts) quantile(q float64) time.Duration {
	total := c.total()
	if total == 0 {
		return 0
	}
	rank := max(1, uint64(q*float64(total)+0.5))
	var seen uint64
	for i, n := range c {
		if seen += n; seen >= rank {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}

// bucket returns the index for d: linear up to 2*fine ns, and from there fine
// buckets for each power of two.
func bucket(d time.Duration) int {
	ns := uint64(max(d, 0))
	shift := max(0, bits.Len64(ns)-fineBits-1)
	return shift*fine + int(ns>>shift)
}

// upper returns the largest latency of bucket i.
func upper(i int) time.Duration {
	if i < 2*fine {
		return time.Duration(i)
	}
	shift := i/fine - 1
	return time.Duration((uint64(i-shift*fine)+1)<<shift - 1)
}
