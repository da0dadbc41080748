package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

// table writes the results of a case in Markdown.
func (s scenario) table(w io.Writer, results []result) {
	var us result
	if i := slices.IndexFunc(results, func(r result) bool { return r.name == ours }); i >= 0 {
		us = results[i]
	}
	fmt.Fprintf(w, "\n## %s\n\n%s.\n\n", s.name, s.why)
	fmt.Fprintln(w, "| contender | CPU ns/op | wall ns/op | allocs/op | multipool to it | quartiles | target | |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|---|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.2f |", r.name,
			measure.Median(r.CPU), measure.Median(r.Wall), measure.Median(r.Allocs))
		if r.name == ours {
			s.ownTargets(w, r)
			continue
		}
		ratio := measure.Ratio(us.CPU, r.CPU)
		fmt.Fprintf(w, " %.3f | %.3f-%.3f |", ratio.Median, ratio.Q1, ratio.Q3)
		if target, ok := s.targets[r.name]; ok {
			fmt.Fprintf(w, " <= %.2f | %s |\n", target, report.Verdict(ratio.Median <= target))
		} else {
			fmt.Fprintln(w, " - | |")
		}
	}
	if s.waiting {
		s.queueTable(w, results)
	}
}

// ownTargets ends the row of this project's pool with the targets that need no peer: no allocation, and the limit if
// there is one. Less than one object in 200 operations is the runtime's.
func (s scenario) ownTargets(w io.Writer, r result) {
	met := measure.Median(r.Allocs) < 0.005
	target := "0 allocs"
	if s.limit > 0 {
		target = fmt.Sprintf("%s, <= %.0f ns", target, s.limit)
		met = met && measure.Median(r.CPU) <= s.limit
	}
	fmt.Fprintf(w, " | | %s | %s |\n", target, report.Verdict(met))
}

func (s scenario) queueTable(w io.Writer, results []result) {
	fmt.Fprint(w, "\nThe wait of each call, and how many others were served between its arrival and its turn:\n\n")
	fmt.Fprintln(w, "| contender | calls that waited | p50 | p99 | max | others p50 | p99 | max |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		q := &r.queueing
		fmt.Fprintf(w, "| %s | %.1f %% | %s | %s | %s | %.0f | %.0f | %.0f |\n", r.name,
			100*q.waited(s.demand.capacity()), micros(measure.Quantile(q.times, 0.5)),
			micros(measure.Quantile(q.times, 0.99)), micros(measure.Quantile(q.times, 1)),
			measure.Quantile(q.served, 0.5), measure.Quantile(q.served, 0.99), measure.Quantile(q.served, 1))
	}
}

func micros(nanoseconds float64) string {
	return fmt.Sprintf("%.0f µs", nanoseconds/float64(time.Microsecond))
}
