// Command policy plays what happens to fleets of servers in simulated time, with the project's own picker and ejector
// beside other policies, and prints in Markdown how far each is from a balancer that knows everything.
//
//	go run ./policy [-goals regexp] [-seeds n] [-o file]
//
// No clock is read: a run is the same on every machine, but for the random numbers that the pickers draw. Scenarios are
// in scenario.go, policies in arm.go, targets in goal.go.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	goals := flag.String("goals", "", "play only the scenarios whose name matches this regular `expression`")
	seeds := flag.Int("seeds", 9, "how often each scenario is played; figures are medians")
	file := flag.String("o", "", "write the report to this `file` as well")
	flag.Parse()
	if err := report(os.Stdout, *goals, *seeds, *file); err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

// report plays the scenarios that match and prints each row as soon as it is known.
func report(stdout io.Writer, pattern string, seeds int, file string) error {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	out := io.MultiWriter(stdout, &text)
	command := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	fmt.Fprintf(out, "# Policies in simulated time\n\nMedians of %d seeds. Command: `%s`.\n", seeds, strings.Join(command, " "))
	fmt.Fprint(out, introduction)
	table(out, newStage(seeds), match)
	if file == "" {
		return nil
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

const introduction = `
Ten servers answer four calls at a time each, first come, first served; the work of a call is lognormal with a mean of
10 ms (deviation of the logarithm 0.5), and callers wait for 1 s. Calls come at random moments, at 70 % of what the fleet
can do unless something else is said, from 20 processes that know nothing of each other. Faults begin after 10 s; counted
are the calls of 40 s. A balancer that knows every queue, the work of every call and which server is broken has the same
arrivals and sizes: "to omniscient" is the quotient of the two. With retry, a call that failed is made again on up to two
other servers, within the pool's budget.

"Best peer" is the best figure of another policy in the comparison that the targets were taken from; how many calls its
servers answered at a time is not known, and four brings the rows of the peers closest to it. The peers here
are this project's own, in package balance, and eject nobody.
`
