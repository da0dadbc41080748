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
		"| x http.Client: throughput / p50 / p99 / CPU | x httplb: throughput / p50 / p99 / CPU |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|---|---|")
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.2f | %.1f | %s | %s |\n", r.name,
			median(r.rate), median(r.p50), median(r.p99), median(r.cpu), median(r.allocs),
			r.relative(byName[plain]), r.relative(byName[lb]))
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

// goals are those of the pool under this workload. httplb keeps one idle connection per server, which is enough for a
// single caller, and for HTTP/2.
func (l workload) goals(r map[string]result) []goal {
	pool, hand := r[ours], r[plain]
	goals := []goal{
		{"G12 throughput to http.Client", true, 1.00, ratio(pool.rate, hand.rate)},
		{"G12 allocations beyond http.Client", false, 2, whole(median(pool.allocs) - median(hand.allocs))},
	}
	if l.callers >= 16 && !l.http2 {
		goals = append(goals, goal{"G12 throughput to httplb", true, 2.00, ratio(pool.rate, r[lb].rate)})
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
