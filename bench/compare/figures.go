package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// limit is how much slower than the old build the new one may be: what a contender comes out at against itself.
const limit = 1.02

// figures are those of both builds, in the order of the reports.
type figures struct {
	names  []string
	byName map[string]*figure
}

func newFigures() *figures { return &figures{byName: map[string]*figure{}} }

// figure is one figure of the old build and the new one, per round. It is a peer's if the code is the same in both.
type figure struct {
	peer         bool
	time, allocs [2][]float64
}

var (
	timed = regexp.MustCompile(`^CPU ns/op$|^[0-9,]+$|, [nm]s$`)      // columns of times
	own   = regexp.MustCompile(`^multipool|^balance\.|^the default$`) // rows that are this repository's
	bars  = regexp.MustCompile(` *\| *`)                              // between cells, of which the first is empty
)

// add adds the figures of a report, which is Markdown: the one form that bench prints in every commit.
func (f *figures) add(build int, text string) {
	var heading string
	var columns []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch cells := bars.Split(line, -1); {
		case strings.HasPrefix(line, "## "):
			heading = line[len("## "):]
		case len(cells) == 1:
			columns = nil
		case columns == nil:
			columns = cells
		case len(cells) == len(columns):
			f.row(build, heading, columns, cells)
		}
	}
}

func (f *figures) row(build int, heading string, columns, cells []string) {
	number := func(k int) (float64, error) { return strconv.ParseFloat(strings.ReplaceAll(cells[k], ",", ""), 64) }
	allocs := max(0, slices.IndexFunc(columns, func(c string) bool { return strings.HasPrefix(c, "allocs") })) // 0 is empty
	for k, c := range columns {
		x, err := number(k)
		if err != nil || !timed.MatchString(c) {
			continue
		}
		name := heading + ": " + cells[1] + ", " + c
		if f.byName[name] == nil {
			f.names = append(f.names, name)
			f.byName[name] = &figure{peer: !own.MatchString(cells[1])}
		}
		g := f.byName[name]
		g.time[build] = append(g.time[build], x)
		if x, err := number(allocs); err == nil {
			g.allocs[build] = append(g.allocs[build], x)
		}
	}
}

// table writes the figures that both builds have, and a line on those of peers.
func (f *figures) table(w io.Writer) {
	var peers []float64
	var alone []string
	fmt.Fprintln(w, "| | old | new | new to old | quartiles | allocs old | new | target | |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|---|")
	for _, name := range f.names {
		g := f.byName[name]
		if len(g.time[0]) != len(g.time[1]) {
			alone = append(alone, name)
			continue
		}
		ratio := measure.Ratio(g.time[1], g.time[0])
		if g.peer {
			peers = append(peers, ratio.Median)
			continue
		}
		before, after := measure.Median(g.allocs[0]), measure.Median(g.allocs[1])
		verdict := "met"
		switch {
		case ratio.Q1 > limit || after >= before+0.05: // less is the runtime's
			verdict = "**missed**"
		case !(ratio.Median <= limit):
			verdict = "unclear"
		}
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.3f | %.3f-%.3f | %.2f | %.2f | <= %.2f | %s |\n", name, measure.Median(g.time[0]),
			measure.Median(g.time[1]), ratio.Median, ratio.Q1, ratio.Q3, before, after, limit, verdict)
	}
	if s := measure.SpreadOf(peers); len(peers) > 0 {
		fmt.Fprintf(w, "\nThe noise: %d figures of peers, the same code in both, have ratios of %.3f (quartiles %.3f-%.3f).\n",
			len(peers), s.Median, s.Q1, s.Q3)
	}
	if len(alone) > 0 {
		fmt.Fprintf(w, "\nOnly in one of the two: %s.\n", strings.Join(alone, "; "))
	}
}
