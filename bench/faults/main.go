// Command faults calls three servers, of Thrift or HTTP/1.1, a thousand times a second while one of them is killed,
// stopped, silent or slow, or all are restarted in turn, and reports what callers saw.
//
//	go run ./faults [-protocols regexp] [-faults regexp] [-arms regexp] [-rate n] [-runs n] [-o file]
//
// The servers are processes of their own on loopback. A fault begins after 3 s and lasts 3 s; every call has 500 ms.
package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

func main() {
	servers.RunIfAsked(listeners())
	var set settings
	flag.StringVar(&set.protocols, "protocols", "Thrift", "only the protocols, Thrift and HTTP, whose name matches this regular `expression`")
	flag.StringVar(&set.faults, "faults", "", "only the faults whose name matches this regular `expression`")
	flag.StringVar(&set.arms, "arms", "", "only the arms whose name matches this regular `expression`")
	flag.IntVar(&set.rate, "rate", 1000, "calls per second")
	flag.IntVar(&set.runs, "runs", 3, "how often each arm meets each fault")
	report.Main(func(w io.Writer) error { return write(w, set) })
}

type settings struct {
	protocols, faults, arms string // regular expressions
	rate, runs              int
}

// write writes a table for each fault as soon as it is done.
func write(out io.Writer, set settings) error {
	spoken, err := regexp.Compile(set.protocols)
	if err != nil {
		return err
	}
	fault, err := regexp.Compile(set.faults)
	if err != nil {
		return err
	}
	ways, err := regexp.Compile(set.arms)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "# Faults, end to end\n\n", measure.Conditions())
	fmt.Fprintf(out, "%d calls/s on three servers, %d runs of each: sums of failed calls, medians of the rest (and the worst).\n", set.rate, set.runs)
	for _, f := range faults() {
		if !fault.MatchString(f.name) {
			continue
		}
		for _, p := range protocols() {
			p.arms = slices.DeleteFunc(p.arms, func(a arm) bool { return !ways.MatchString(a.name) })
			if !spoken.MatchString(p.name) || len(p.arms) == 0 {
				continue
			}
			rows := make([]row, len(p.arms))
			for range set.runs { // arms take turns, so that other load on the machine falls on all of them
				for i, a := range p.arms {
					o, err := play(f, p, a, set.rate)
					if err != nil {
						return fmt.Errorf("%s, %s, %s: %w", f.name, p.name, a.name, err)
					}
					rows[i] = row{a.name, append(rows[i].runs, o)}
				}
			}
			table(out, f, p, rows)
		}
	}
	return nil
}
