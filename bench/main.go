// Command bench compares the pool with others in one interleaved run and prints the ratios in Markdown.
//
//	go run . [-cases regexp] [-rounds n] [-slice duration] [-o file]
//
// Only ratios mean anything: see package measure for how they are taken, scenario.go for the cases and their targets,
// and contender_*.go for what they are compared with.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

func main() {
	cases := flag.String("cases", "", "run only the cases whose name matches this regular `expression`")
	rounds := flag.Int("rounds", 40, "how often each contender takes its turn")
	slice := flag.Duration("slice", 30*time.Millisecond, "how long each turn lasts")
	file := flag.String("o", "", "write the report to this `file` as well")
	flag.Parse()
	if err := report(os.Stdout, *cases, settings{*rounds, *slice}, *file); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// report runs the cases that match and prints each as soon as it is done.
func report(stdout io.Writer, cases string, set settings, file string) error {
	match, err := regexp.Compile(cases)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	out := io.MultiWriter(stdout, &text)
	fmt.Fprint(out, "# The pool beside others\n\n", measure.Conditions())
	fmt.Fprintf(out, "%d rounds, %v per turn; medians. CPU is that of the whole process, divided by operations.\n",
		set.rounds, set.slice)
	for _, s := range scenarios() {
		if !match.MatchString(s.name) {
			continue
		}
		results, err := s.run(set)
		if err != nil {
			return err
		}
		s.table(out, results)
	}
	if file == "" {
		return nil
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}
