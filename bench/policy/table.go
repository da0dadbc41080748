package main

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

// table writes a row for each goal whose scenario matches, then why goals are missed.
func table(w io.Writer, g *stage, match *regexp.Regexp) {
	fmt.Fprint(w, "\n| scenario | figure | target | best peer ")
	for _, a := range peers() {
		fmt.Fprintf(w, "| %s ", a.name)
	}
	fmt.Fprintf(w, "| **multipool** | |\n|---|---|--:|--:%s|--:|---|\n", strings.Repeat("|--:", len(peers())))
	var why []string
	for _, l := range goals(1e7) {
		if !match.MatchString(l.scenario.name) {
			continue
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s ", l.scenario.name, l.name, l.bound(), l.quoted())
		for _, a := range peers() {
			cell := ""
			if !l.alone {
				cell = l.format(g.figure(l, a))
			}
			fmt.Fprintf(w, "| %s ", cell)
		}
		got := g.figure(l, ours())
		fmt.Fprintf(w, "| **%s** | %s |\n", l.format(got), l.verdict(got))
		if !l.met(got) {
			why = append(why, fmt.Sprintf("- **%s, %s**: %s, not %s. %s\n",
				l.scenario.name, l.name, l.format(got), l.format(l.target), l.why))
		}
	}
	if len(why) > 0 {
		fmt.Fprintf(w, "\n## What is missed, and why\n\n%s", strings.Join(why, ""))
	}
}

func (l goal) met(got float64) bool { return l.target < 0 || round(got) <= l.target }

func (l goal) verdict(got float64) string {
	if l.target < 0 {
		return ""
	}
	return report.Verdict(l.met(got))
}

// bound returns the cell of the target.
func (l goal) bound() string {
	if l.target < 0 {
		return ""
	}
	return "<= " + l.format(l.target)
}

func (l goal) quoted() string {
	if l.peer == "" || l.unit == "" {
		return l.peer
	}
	return l.peer + " " + l.unit
}

func (l goal) format(x float64) string {
	s := strconv.FormatFloat(round(x), 'f', -1, 64)
	switch {
	case l.unit != "":
		s += " " + l.unit
	case x < 10 && strings.HasSuffix(l.name, "to omniscient"):
		s = strconv.FormatFloat(x, 'f', 2, 64)
	}
	return s
}

// round keeps the digits that mean something: two or three.
func round(x float64) float64 {
	scale := 1000.0
	switch {
	case x >= 10:
		scale = 10
	case x >= 1:
		scale = 100
	case x < 0.1:
		scale = 10_000
	}
	return math.Round(x*scale)/scale + 0 // never -0
}
