// Command bench compares the pool with other pools in one interleaved run and prints the ratios in Markdown.
//
//	go run . [-cases regexp] [-contenders regexp] [-rounds n] [-slice duration] [-o file]
//
// Only the ratios mean anything. Package measure takes them, scenario.go has the cases and their targets, contender_*.go
// the contenders.
package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

func main() {
	cases := flag.String("cases", "", "run only the cases whose name matches this regular `expression`")
	contenders := flag.String("contenders", "", "run only the contenders whose name matches this regular `expression`")
	set := measure.Flags(40, 30*time.Millisecond)
	report.Main(func(w io.Writer) error { return write(w, *cases, *contenders, *set) })
}

// write runs the cases that match and writes each as soon as it is done.
func write(out io.Writer, cases, contenders string, set measure.Settings) error {
	match, err := regexp.Compile(cases)
	if err != nil {
		return err
	}
	among, err := regexp.Compile(contenders)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "# The pool beside others\n\n", measure.Conditions())
	fmt.Fprintf(out, "%d rounds, %v per turn; medians. CPU is that of the whole process, divided by operations.\n",
		set.Rounds, set.Slice)
	for _, s := range scenarios() {
		if !match.MatchString(s.name) {
			continue
		}
		s.among = among
		results, err := s.run(set)
		if err != nil {
			return err
		}
		s.table(out, results)
	}
	return nil
}
