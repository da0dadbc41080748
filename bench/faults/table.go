package main

import (
	"fmt"
	"io"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

// table writes the outcome of the arms of a protocol under a fault in Markdown, and below it whether the goals are met.
func table(w io.Writer, f fault, p protocol, rows []row) {
	fmt.Fprintf(w, "\n## %s: %s\n\n", p.name, f.name)
	fmt.Fprintln(w, "| | failed | p99 calm | p99 | p99.9 | its share | back after | at most then | shares in the end |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %d", r.arm, r.failed())
		for _, figure := range []func(outcome) time.Duration{
			func(o outcome) time.Duration { return o.calmP99 },
			func(o outcome) time.Duration { return o.p99 },
			func(o outcome) time.Duration { return o.p999 },
		} {
			median, worst := spread(r, figure)
			fmt.Fprintf(w, " | %s (%s)", text(median), text(worst))
		}
		if f.all {
			fmt.Fprint(w, " | | | ")
		} else {
			share, _ := spread(r, func(o outcome) float64 { return o.share })
			median, worst := spread(r, outcome.returned)
			peak, _ := spread(r, func(o outcome) float64 { return o.peak })
			fmt.Fprintf(w, " | %s | %s (%s) | %s", percent(share), text(median), text(worst), percent(peak))
		}
		unfair, _ := spread(r, func(o outcome) float64 { return -o.least })
		most, _ := spread(r, func(o outcome) float64 { return o.most })
		fmt.Fprintf(w, " | %.0f-%.0f %% |\n", -100*unfair, 100*most)
	}
	fmt.Fprint(w, "\n| goal | target | here | |\n|---|---|--:|---|\n")
	for _, g := range f.goals {
		for _, r := range rows {
			if r.arm != g.arm {
				continue
			}
			figure, met := g.judge(r)
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", g.name, g.target, figure, report.Verdict(met))
		}
	}
}

func text(d time.Duration) string {
	if d >= never {
		return "never"
	}
	return d.Round(100 * time.Microsecond).String()
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
