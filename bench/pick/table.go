package main

import (
	"fmt"
	"io"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

// cpu returns the median in ns.
func (r results) cpu(t turn) float64      { return measure.Median(r[t].CPU) }
func (r results) allocs(t turn) float64   { return measure.Median(r[t].Allocs) }
func (r results) ratio(a, b turn) float64 { return measure.Ratio(r[a].CPU, r[b].CPU).Median }

// toPeer returns the ratio to the peer's call with the same endpoints.
func (r results) toPeer(t turn) float64 { return r.ratio(t, turn{peer, call, t.n, t.busy}) }

// growth returns the ratio of the cost with the most endpoints to that with the fewest.
func (r results) growth(t turn) float64 {
	few, many := t, t
	few.n, many.n = sizes()[0], sizes()[len(sizes())-1]
	return r.ratio(many, few)
}

// worst returns the largest f of t over all numbers of endpoints.
func worst(t turn, f func(turn) float64) (most float64) {
	for _, t.n = range sizes() {
		most = max(most, f(t))
	}
	return most
}

// table writes all figures in Markdown, and the targets below.
func (r results) table(w io.Writer) {
	var goals []string
	allocs, growth := 0.0, 0.0
	goal := func(name string, target, got float64) {
		goals = append(goals, fmt.Sprintf("| %s | <= %.3f | %.3f | %s |", name, target, got, report.Verdict(got <= target)))
	}
	for _, busy := range []int{0, inFlight} {
		fmt.Fprintf(w, "\n## Pick, %d calls in flight on each endpoint\n\nCPU ns by the number of endpoints; of the other figures "+
			"the worst of the four.\n\n| | 10 | 100 | 1,000 | 10,000 | 10,000 to 10 | allocs | to %s |\n"+
			"|---|--:|--:|--:|--:|--:|--:|--:|\n", busy, peer)
		row := func(t turn) {
			fmt.Fprintf(w, "| %s: %s ", t.name, t.op)
			for _, t.n = range sizes() {
				fmt.Fprintf(w, "| %.1f ", r.cpu(t))
			}
			fmt.Fprintf(w, "| %.2f | %.2f | %.3f |\n", r.growth(t), worst(t, r.allocs), worst(t, r.toPeer))
		}
		for _, op := range []string{pick, count, call} {
			t := turn{ours, op, 0, busy}
			goal(fmt.Sprintf("%s, %d in flight: to %s", op, busy, peer), 1.0/6, worst(t, r.toPeer))
			allocs, growth = max(allocs, worst(t, r.allocs)), max(growth, r.growth(t))
			row(t)
		}
		for _, a := range arms()[1:] {
			row(turn{a.name, call, 0, busy})
		}
	}
	goal("any of these: 10,000 endpoints to 10", 1.5, growth)
	goal("any of these: allocations", 0.005, allocs) // one in 200 calls is the runtime's
	fmt.Fprintf(w, "\n## Keys, %d endpoints\n\n| | look-up, ns | allocs | rebuild with one more, ms |\n|---|--:|--:|--:|\n", keyed)
	for _, h := range hashing() {
		key, again := turn{h.name, lookUp, keyed, 0}, turn{h.name, rebuild, keyed, 0}
		fmt.Fprintf(w, "| %s | %.1f | %.2f | %.2f |\n", h.name, r.cpu(key), r.allocs(key), r.cpu(again)/1e6)
		if h.name == best {
			goal(best+": look-up, ns", 10, r.cpu(key))
			goal(best+": rebuild, ms", 10, r.cpu(again)/1e6)
		}
	}
	fmt.Fprint(w, "\n## Targets\n\n| goal | target | here | |\n|---|--:|--:|---|\n")
	for _, g := range goals {
		fmt.Fprintln(w, g)
	}
}
