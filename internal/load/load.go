// Package load has what the pool, balancers and outlier detection share of an
// endpoint: one word of state on one cache line.
//
// The pool's slots count calls in flight and mark the endpoint down, outlier
// detection marks it ejected, and balancers read all of it.
package load

import "sync/atomic"

const (
	// First is the number of low bits that belong to the pool's slots, one for
	// each idle connection; the bits above hold the in-flight count and, on
	// top, the flags.
	First = 48
	// One is one call in flight.
	One = 1 << First

	ejectedBit = 1 << 62
	downBit    = 1 << 63

	// Max is the largest number of calls in flight.
	Max = 1<<14 - 1
)

// Load is the state of one endpoint. It is safe for concurrent use.
type Load struct {
	// Word holds: idle bits of slots 0..47 | in-flight << 48 | ejected << 62 |
	// down << 63.
	//
	// In-flight counts every slot that is taken and not idle: leased, being
	// dialed, being checked or closed.
	Word atomic.Uint64
	// Cost is the balancer's cost of one call here, whatever the weight, for
	// balancers that have one; it shares the word's cache line, so that looking at an endpoint
	// costs one miss.
	Cost atomic.Uint64
	// Balancer is the record that a balancer keeps of the endpoint from one set to
	// the next. Only balancers touch it, while one is built.
	Balancer any
	// Detector is the record of outlier detection, which makes it for the first call
	// that is reported: few endpoints of a large fleet get any.
	Detector atomic.Value
}

// Flagged is the least that being down or ejected adds to the pressure.
const Flagged = ejectedBit >> First

// Pressure orders endpoints by calls in flight. Ejected ones come after every
// one that is not, and down ones after them, since the flags are the top bits.
func (l *Load) Pressure() uint64 { return l.Word.Load() >> First }

// InFlight returns the number of slots taken and not idle.
func (l *Load) InFlight() int { return int(l.Word.Load() &^ (downBit | ejectedBit) >> First) }

// Down reports whether the endpoint has no connection and cannot be dialed.
func (l *Load) Down() bool { return l.Word.Load()&downBit != 0 }

// Ejected reports whether outlier detection has ejected the endpoint.
func (l *Load) Ejected() bool { return l.Word.Load()&ejectedBit != 0 }

// Unavailable reports whether the endpoint is down or ejected.
func (l *Load) Unavailable() bool { return l.Word.Load()&(downBit|ejectedBit) != 0 }

// SetEjected marks the endpoint ejected or not and reports whether that
// changed it.
func (l *Load) SetEjected(ejected bool) bool { return l.mark(ejectedBit, ejected) }

// SetDown marks the endpoint down or up and reports whether that changed it.
func (l *Load) SetDown(down bool) bool { return l.mark(downBit, down) }

func (l *Load) mark(bit uint64, on bool) bool {
	if on {
		return l.Word.Or(bit)&bit == 0
	}
	return l.Word.And(^bit)&bit != 0
}

// Reserve counts one more call in flight.
func (l *Load) Reserve() { l.Word.Add(One) }

// Unreserve counts one less.
func (l *Load) Unreserve() { l.Word.Add(^uint64(One - 1)) }
