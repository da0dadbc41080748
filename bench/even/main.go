// Command even calls three equal servers while other processes want the processors, and reports how evenly.
//
//	go run ./even [-arms regexp] [-noises regexp] [-rate n] [-work duration] [-seconds n] [-window duration] [-runs n] [-o file]
//
// Servers, and the processes that want the processors, are processes of their own, on loopback.
package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

func main() {
	servers.RunIfAsked(listeners())
	var set settings
	flag.StringVar(&set.arms, "arms", "", "only the arms whose name matches this regular `expression`")
	flag.StringVar(&set.noises, "noises", "", "only the noises whose name matches this regular `expression`")
	flag.IntVar(&set.rate, "rate", 2000, "calls per second")
	flag.DurationVar(&set.work, "work", 0, "how long a server sleeps before it answers")
	flag.IntVar(&set.seconds, "seconds", 21, "how long a run takes; the first second does not count")
	flag.DurationVar(&set.window, "window", 4*time.Second, "the windows in which shares are counted")
	flag.IntVar(&set.runs, "runs", 3, "how often each arm meets each noise")
	report.Main(func(w io.Writer) error { return write(w, set) })
}

type settings struct {
	arms, noises        string // regular expressions
	rate, seconds, runs int
	work, window        time.Duration
}

const introduction = `
%d calls/s on three servers, of %s each; %d runs of %d s. In each cell: the least and the largest share that any server had in
any window of %v after the first second, and the 99th percentile of the time of a call. Then, in the same noise, one server that
answers 50 ms later, and one that answers ten times as late as the others: its share from two seconds on.

| noise | arm | least share | largest share | p99 | calls failed | share of the 50 ms later | of the ten times later |
|---|---|--:|--:|--:|--:|--:|--:|
`

func write(out io.Writer, set settings) error {
	ways, err := regexp.Compile(set.arms)
	if err != nil {
		return err
	}
	loud, err := regexp.Compile(set.noises)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "# Equal servers on a busy machine\n\n", measure.Conditions())
	fmt.Fprintf(out, introduction, set.rate, set.work, set.runs, set.seconds, set.window)
	for _, n := range noises() {
		if !loud.MatchString(n.name) {
			continue
		}
		for _, a := range arms() {
			if !ways.MatchString(a.name) {
				continue
			}
			if err := row(out, n, a, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// row plays an arm in a noise, and writes what came of it.
func row(out io.Writer, n noise, a arm, set settings) error {
	least, most := 1.0, 0.0
	var p99, later, slower []float64
	failed := 0
	for range set.runs {
		equal, err := play(n, a, set, 0)
		if err != nil {
			return err
		}
		lo, hi := equal.extremes(set.window)
		least, most, failed = min(least, lo), max(most, hi), failed+equal.failed
		p99 = append(p99, equal.p99().Seconds()*1000)
		for figures, delay := range map[*[]float64]time.Duration{&later: 50 * time.Millisecond, &slower: 9 * max(set.work, time.Millisecond)} {
			odd, err := play(n, a, set, delay)
			if err != nil {
				return err
			}
			*figures = append(*figures, odd.share(0, 2*time.Second))
		}
	}
	fmt.Fprintf(out, "| %s | %s | %.1f %% | %.1f %% | %.1f ms | %d | %.2f %% | %.2f %% |\n",
		n.name, a.name, 100*least, 100*most, measure.Median(p99), failed, 100*measure.Median(later), 100*measure.Median(slower))
	return nil
}
