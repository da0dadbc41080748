// Command policy plays what happens to fleets of servers in simulated time: the pool's own picker with outlier detection
// and other policies choose the servers. It prints in Markdown how far each is from a balancer that knows everything.
//
//	go run ./policy [-goals regexp] [-seeds n] [-o file]
//
// It reads no clock: a run is the same on every machine, except for the random numbers that the pickers draw. Scenarios
// are in scenario.go, policies in arm.go, targets in goal.go.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

func main() {
	goals := flag.String("goals", "", "play only the scenarios whose name matches this regular `expression`")
	seeds := flag.Int("seeds", 9, "how often each scenario is played; figures are medians")
	report.Main(func(w io.Writer) error { return write(w, *goals, *seeds) })
}

// write plays the scenarios that match and writes each row as soon as it is known.
func write(out io.Writer, pattern string, seeds int) error {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	command := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	fmt.Fprintf(out, "# Policies in simulated time\n\nMedians of %d seeds. Command: `%s`.\n", seeds, strings.Join(command, " "))
	fmt.Fprint(out, introduction)
	table(out, newStage(seeds), match)
	return nil
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
are this project's own, in package balance, without outlier detection.
`
