package main

import (
	"fmt"
	"io"
	"math"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// table writes the results of a workload in Markdown, and its goals below.
func (l workload) table(w io.Writer, results []result) {
	byName := make(map[string]result, len(results))
	for _, r := range results {
		byName[r.name] = r
	}
	fmt.Fprintf(w, "\n## %s\n\n", l.name())
	fmt.Fprintln(w, "| | calls/s | p50 µs | p99 µs | CPU µs/call | allocs/call "+
		"| x raw: throughput / p50 / p99 / CPU | x rawrr: throughput / p50 / p99 / CPU |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|---|---|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.2f | %.1f | %s | %s |\n", r.name,
			median(r.rate), median(r.p50), median(r.p99), median(r.cpu), median(r.allocs),
			r.relative(byName[raw]), r.relative(byName[rawRotated]))
	}
	fmt.Fprint(w, "\n| goal | target | here | |\n|---|---|--:|---|\n")
	for _, g := range l.goals(byName) {
		fmt.Fprintf(w, "| %s | %s %.2f | %.3f | %s |\n", g.name, g.relation(), g.target, g.got, g.verdict())
	}
}

func (r result) relative(to result) string {
	return fmt.Sprintf("%.2f / %.2f / %.2f / %.2f", ratio(r.rate, to.rate), ratio(r.p50, to.p50),
		ratio(r.p99, to.p99), ratio(r.cpu, to.cpu))
}

// goal is a bound on a figure: at least, or at most.
type goal struct {
	name        string
	atLeast     bool
	target, got float64
}

// goals are those of the pool under this workload. Allocations are counted at 100 bytes, in whole objects per call
// beyond those of a bare client.
func (l workload) goals(r map[string]result) []goal {
	stock, own, base, rotated := r[poolStock], r[poolOwn], r[raw], r[rawRotated]
	goals := []goal{
		{"G1 Apache transport, throughput to rawrr", true, 0.98, ratio(stock.rate, rotated.rate)},
		{"G1 Apache transport, CPU to rawrr", false, 1.05, ratio(stock.cpu, rotated.cpu)},
		{"G2 own transport, throughput to rawrr", true, 1.10, ratio(own.rate, rotated.rate)},
		{"G2 own transport, throughput to raw", true, 1.00, ratio(own.rate, base.rate)},
		{"G2 own transport, CPU to raw", false, 0.85, ratio(own.cpu, base.cpu)},
	}
	if l.payload == 100 {
		bare := median(base.allocs)
		goals = append(goals,
			goal{"G3 Apache transport, allocations beyond raw", false, 0, whole(median(stock.allocs) - bare)},
			goal{"G3 own transport, allocations beyond raw", false, -1, whole(median(own.allocs) - bare)})
	}
	return goals
}

func (g goal) relation() string {
	if g.atLeast {
		return ">="
	}
	return "<="
}

func (g goal) verdict() string {
	if g.atLeast && g.got >= g.target || !g.atLeast && g.got <= g.target {
		return "met"
	}
	return "**missed**"
}

func median(figures []float64) float64 { return measure.SpreadOf(figures).Median }

func ratio(a, b []float64) float64 { return measure.Ratio(a, b).Median }

// whole rounds; adding zero makes a negative zero positive.
func whole(objects float64) float64 { return math.Round(objects) + 0 }
