package measure

import (
	"iter"
	"math"
	"slices"
)

// Turns yields 0 to n-1, starting one further each round, so that nobody always follows the same neighbour out of a
// cold cache or a warm one.
func Turns(n, round int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield((i + round) % n) {
				return
			}
		}
	}
}

// Spread is the median of some figures and the quartiles around it.
type Spread struct{ Q1, Median, Q3 float64 }

// SpreadOf returns the spread of figures; of none, NaN.
func SpreadOf(figures []float64) Spread {
	sorted := slices.Sorted(slices.Values(figures))
	return Spread{Quantile(sorted, 0.25), Quantile(sorted, 0.5), Quantile(sorted, 0.75)}
}

// Ratio is the spread of a[i]/b[i]: the i-th figures are of one round.
func Ratio(a, b []float64) Spread {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return SpreadOf(ratios)
}

// Quantile returns the q-th quantile of sorted figures, interpolated; of none, NaN.
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
