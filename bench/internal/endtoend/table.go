package endtoend

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

// table writes the results of a workload in Markdown, and its goals below.
func (c Comparison) table(w io.Writer, load Workload, results []Result) {
	byName := make(map[string]Result, len(results))
	for _, r := range results {
		byName[r.name] = r
	}
	fmt.Fprintf(w, "\n## %s\n\n| | calls/s | p50 µs | p99 µs | CPU µs/call | allocs/call |", load.Name())
	for _, b := range c.Bases {
		fmt.Fprintf(w, " x %s: throughput / p50 / p99 / CPU |", b.Label)
	}
	fmt.Fprintf(w, "\n|---|--:|--:|--:|--:|--:|%s\n", strings.Repeat("---|", len(c.Bases)))
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.2f | %.1f |", r.name, measure.Median(r.Rate), measure.Median(r.P50),
			measure.Median(r.P99), measure.Median(r.CPU), measure.Median(r.Allocs))
		for _, b := range c.Bases {
			to := byName[b.Arm]
			fmt.Fprintf(w, " %.2f / %.2f / %.2f / %.2f |", Ratio(r.Rate, to.Rate), Ratio(r.P50, to.P50), Ratio(r.P99, to.P99), Ratio(r.CPU, to.CPU))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\n| goal | target | here | |\n|---|---|--:|---|\n")
	for _, g := range c.Goals(load, byName) {
		relation, met := "<=", g.Got <= g.Target
		if g.AtLeast {
			relation, met = ">=", g.Got >= g.Target
		}
		fmt.Fprintf(w, "| %s | %s %.2f | %.3f | %s |\n", g.Name, relation, g.Target, g.Got, report.Verdict(met))
	}
}

// Goal is a bound on a figure: the least, or the most.
type Goal struct {
	Name        string
	AtLeast     bool
	Target, Got float64
}

// Ratio is the median of the ratios inside each round.
func Ratio(a, b []float64) float64 { return measure.Ratio(a, b).Median }

// Beyond is how many more objects per call r allocates than base, in whole ones.
func (r Result) Beyond(base Result) float64 {
	return math.Round(measure.Median(r.Allocs)-measure.Median(base.Allocs)) + 0 // never -0
}
