package main

import (
	"fmt"
	"io"
	"time"
)

type row struct {
	arm string
	outcome
}

// worst puts several runs together.
func worst(arm string, all []outcome) row {
	r := row{arm, all[0]}
	for _, o := range all[1:] {
		r.failed += o.failed
		r.calmP99, r.p99, r.p999 = max(r.calmP99, o.calmP99), max(r.p99, o.p99), max(r.p999, o.p999)
		r.share, r.most, r.least = max(r.share, o.share), max(r.most, o.most), min(r.least, o.least)
		if o.back < 0 || r.back < 0 {
			r.back = -1
		} else {
			r.back = max(r.back, o.back)
		}
	}
	return r
}

func table(w io.Writer, f fault, rows []row) {
	fmt.Fprintf(w, "\n## %s\n\nGoal: %s.\n\n", f.name, f.goal)
	fmt.Fprintln(w, "| | failed | p99 calm | p99 | p99.9 | its share | back after | shares in the end |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range rows {
		back := "never"
		if r.back >= 0 {
			back = r.back.String()
		}
		fmt.Fprintf(w, "| %s | %d | %v | %v | %v | %.1f %% | %s | %.0f-%.0f %% |\n", r.arm, r.failed, r.calmP99.Round(100*time.Microsecond),
			r.p99.Round(100*time.Microsecond), r.p999.Round(100*time.Microsecond), 100*r.share, back, 100*r.least, 100*r.most)
	}
}
