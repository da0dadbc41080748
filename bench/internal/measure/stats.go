package measure

import (
	"iter"
	"math"
	"slices"
)

// Turns yields 0 to n-1 and starts one further each round, so that each contender comes first, and none always runs
// with the caches as the same other one has left them.
func Turns(n, round int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield((i + round) % n) {
				return
			}
		}
	}
}

// Spread is the median of figures and the quartiles around it.
type Spread struct{ Q1, Median, Q3 float64 }

// SpreadOf returns the spread of figures; of none, NaN. It leaves out those that are NaN: on a busy machine a slice may
// pass without an operation.
func SpreadOf(figures []float64) Spread {
	sorted := slices.DeleteFunc(slices.Clone(figures), math.IsNaN)
	slices.Sort(sorted)
	return Spread{Quantile(sorted, 0.25), Quantile(sorted, 0.5), Quantile(sorted, 0.75)}
}

// Median returns the median of figures; of none, NaN.
func Median(figures []float64) float64 { return SpreadOf(figures).Median }

// Ratio returns the spread of a[i]/b[i], where the i-th figures are of one round.
func Ratio(a, b []float64) Spread {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return SpreadOf(ratios)
}

// Quantile returns the interpolated q-th quantile of sorted figures; of none, NaN.
func Quantile[T ~int64 | ~float64](sorted []T, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	part := at - float64(low)
	return float64(sorted[low])*(1-part) + float64(sorted[high])*part
}
