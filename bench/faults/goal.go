package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// row is the outcome of one arm under one fault, run by run.
type row struct {
	arm  string
	runs []outcome
}

func (r row) failed() (n int) {
	for _, o := range r.runs {
		n += o.failed
	}
	return n
}

// spread returns the median of a figure over the runs, and the greatest, which is the worst.
func spread[N int | float64 | time.Duration](r row, figure func(outcome) N) (median, worst N) {
	all := make([]N, len(r.runs))
	for i, o := range r.runs {
		all[i] = figure(o)
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}

// goal is a bound on a figure of one arm under a fault.
type goal struct {
	name, target string
	arm          string
	judge        func(r row) (figure string, met bool)
}

func noneFailed() goal {
	return goal{"G5 failed calls, idempotent", "0", idempotent, func(r row) (string, bool) {
		n := r.failed()
		return strconv.Itoa(n), n == 0
	}}
}

// fewFailed bounds the failed calls where calls that may have been executed are not repeated: those in flight when the
// server dies are lost.
func fewFailed() goal {
	return goal{"G5 failed calls, not idempotent", "<= in flight when it began", notIdempotent, func(r row) (string, bool) {
		flying := 0
		for _, o := range r.runs {
			flying += o.flying
		}
		n := r.failed()
		return fmt.Sprintf("%d of %d", n, flying), n <= flying
	}}
}

// within bounds the median of a duration.
func within(name string, figure func(outcome) time.Duration, most time.Duration) goal {
	return goal{name, "<= " + most.String(), idempotent, func(r row) (string, bool) {
		d, _ := spread(r, figure)
		return text(d), d <= most
	}}
}

func tail() goal {
	return within("G6 p99", func(o outcome) time.Duration { return o.p99 }, 10*time.Millisecond)
}

func longTail() goal {
	return within("G6 p99.9", func(o outcome) time.Duration { return o.p999 }, attempt+5*time.Millisecond)
}

func back() goal {
	return within("G8 back at its share", outcome.returned, 500*time.Millisecond)
}

func noBurst() goal {
	return goal{"G8 its greatest share of 200 ms in the second after that", "<= 50 %", idempotent, func(r row) (string, bool) {
		p, _ := spread(r, func(o outcome) float64 { return o.peak })
		return percent(p), p <= 0.5
	}}
}

func shunned() goal {
	return goal{"G7 its share", "<= 1 %", idempotent, func(r row) (string, bool) {
		s, _ := spread(r, func(o outcome) float64 { return o.share })
		return percent(s), s <= 0.01
	}}
}

func asCalm() goal {
	return goal{"G7 p99 to that of the calm", "<= 2", idempotent, func(r row) (string, bool) {
		q, _ := spread(r, func(o outcome) float64 { return float64(o.p99) / float64(o.calmP99) })
		return fmt.Sprintf("%.2f", q), q <= 2
	}}
}

func even() goal {
	return goal{"G9 shares in the end", "33 +- 5 %", idempotent, func(r row) (string, bool) {
		most, _ := spread(r, func(o outcome) float64 { return o.most })
		unfair, _ := spread(r, func(o outcome) float64 { return -o.least })
		return fmt.Sprintf("%.0f-%.0f %%", -100*unfair, 100*most), most <= 0.3833 && -unfair >= 0.2833
	}}
}
