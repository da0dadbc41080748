package metrics

import (
	"encoding/json"
	"math"
	"sync/atomic"
	"time"
)

const (
	// Schema is the resolution of histograms: there are 2^Schema buckets to a power
	// of two, each 9 % wider than the one before. It is the schema of Prometheus'
	// native histograms, and the scale of OpenTelemetry's exponential ones.
	Schema = 3

	perOctave = 1 << Schema
	// Bounds are powers of 2^(1/8) seconds: from 2^-20 s, about a microsecond, to
	// 2^6 s, 64 s.
	minExponent, maxExponent = -20, 6

	// Buckets is the number of buckets of a [Histogram]: one for what is not above
	// the least bound, and one for what is above the greatest.
	Buckets = (maxExponent-minExponent)*perOctave + 2
)

// Histogram counts durations by their magnitude. Its quantiles are off by no more
// than 9 % between a microsecond and 64 s. The zero Histogram is empty.
type Histogram struct {
	// Counts[i] is how many were above Bound(i-1), and not above Bound(i); nothing
	// is the bound of the last one.
	Counts [Buckets]uint64
	Sum    time.Duration
}

// Bound returns the upper bound of bucket i, from 0 to Buckets-2, in seconds:
// 2^(i/8 - 20).
func Bound(i int) float64 { return math.Exp2(float64(Index(i)) / perOctave) }

// Index returns the index of bucket i as Prometheus and OpenTelemetry count them:
// that with the upper bound of one second has index 0.
func Index(i int) int { return i + minExponent*perOctave }

// Count returns the number of durations.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns an upper bound of the given part, from 0 to 1, of the
// durations: the bound of the bucket in which that part ends, of the last but one
// if it is above 64 s. It is 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank, last := uint64(math.Ceil(q*float64(n))), Buckets-2
	for i, c := range h.Counts[:last] {
		if c > 0 && c >= rank {
			return seconds(Bound(i))
		}
		rank -= min(c, rank)
	}
	return seconds(Bound(last))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// MarshalJSON has the number of durations, their sum and some quantiles as text.
func (h Histogram) MarshalJSON() ([]byte, error) {
	text := func(q float64) string { return h.Quantile(q).Round(100 * time.Nanosecond).String() }
	return json.Marshal(struct {
		Count                    uint64
		Sum, P50, P90, P99, P999 string
	}{h.Count(), h.Sum.String(), text(0.5), text(0.9), text(0.99), text(0.999)})
}

// Recorder is a histogram that durations are recorded in. Its zero value is empty.
// It is safe for concurrent use, takes no lock and allocates nothing.
type Recorder struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Int64
}

// Record adds a duration; a negative one counts as 0.
func (r *Recorder) Record(d time.Duration) {
	r.counts[bucket(d)].Add(1)
	r.sum.Add(int64(max(d, 0)))
}

// AddTo adds what was recorded to h.
func (r *Recorder) AddTo(h *Histogram) {
	for i := range r.counts {
		h.Counts[i] += r.counts[i].Load()
	}
	h.Sum += time.Duration(r.sum.Load())
}

const (
	mantissaBits = 52
	exponentBias = 1023
	// cellBits are the bits of a mantissa by which the table is read: a cell of it
	// has at most one bound inside.
	cellBits = 4
)

// bounds are the mantissas of 2^(1/8) to 2^(8/8), and first is, for each cell, how
// many of them are below it.
//
//nolint:gochecknoglobals // constants
var bounds, first = func() (bounds [perOctave]uint64, first [1 << cellBits]uint8) {
	for i := range bounds {
		bounds[i] = math.Float64bits(math.Exp2(float64(i+1)/perOctave))&(1<<mantissaBits-1) | uint64((i+1)/perOctave)<<mantissaBits
	}
	for cell := range first {
		for bounds[first[cell]] <= uint64(cell)<<(mantissaBits-cellBits) {
			first[cell]++
		}
	}
	return bounds, first
}()

// bucket returns the bucket of d. It reads the exponent and the mantissa of d in
// seconds, less the least bit, since a bound belongs to the bucket below it.
func bucket(d time.Duration) int {
	b := math.Float64bits(float64(d)*1e-9) - 1
	octave := int(b>>mantissaBits) - exponentBias - minExponent
	switch {
	case d <= 0 || octave < 0:
		return 0
	case octave >= maxExponent-minExponent:
		return Buckets - 1
	}
	m := b & (1<<mantissaBits - 1)
	i := int(first[m>>(mantissaBits-cellBits)])
	if m >= bounds[i] {
		i++
	}
	return octave*perOctave + i + 1
}
