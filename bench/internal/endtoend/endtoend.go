// Package endtoend compares ways to call three servers over loopback, in one interleaved run.
//
// The servers are processes of their own, so that CPU time and allocations are the client's alone. The servers share
// the machine with the client, however: throughput shows less of the client's cost than CPU per call does.
package endtoend

import (
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
)

// Comparison is what a protocol brings to be measured.
type Comparison struct {
	Protocol  string
	Listen    servers.Listen
	Workloads []Workload
	// Arms are in the order of the table's rows.
	Arms []Arm
	// Bases are the arms that all others are compared with, in columns of their own.
	Bases []Base
	// Goals returns the goals of a workload with what has become of them.
	Goals func(load Workload, results map[string]Result) []Goal
}

// Base is an arm that others are compared with.
type Base struct{ Arm, Label string }

// Workload is some callers, each of which sends or gets a payload and starts over.
type Workload struct {
	// Callers is their number, Payload its size in bytes.
	Callers, Payload int
	// Version is that of the protocol; empty if it has only one.
	Version string
}

// Name is the heading of the workload's table.
func (l Workload) Name() string {
	name := fmt.Sprintf("%d x %d B", l.Callers, l.Payload)
	if l.Version != "" {
		name += ", " + l.Version
	}
	return name
}

// Arm is one way to reach the servers.
type Arm struct {
	Name string
	Open func(addrs []string, load Workload) (Way, error)
}

// Way is an open arm.
type Way interface {
	// Caller returns a call for one caller, which makes it again and again, concurrently with the others. The call checks
	// the answer.
	Caller(i int) func(context.Context) error
	io.Closer
}

// Main is the program.
func (c Comparison) Main() {
	c.ServeIfAsked()
	workloads := flag.String("workloads", "", "run only the workloads whose name matches this regular `expression`")
	set := measure.Flags(30, 150*time.Millisecond)
	report.Main(func(w io.Writer) error { return c.Report(w, *workloads, *set) })
}

// ServeIfAsked makes the process one of the servers, instead of returning, if it was started as one.
func (c Comparison) ServeIfAsked() {
	servers.RunIfAsked(map[string]servers.Listen{c.Protocol: c.Listen})
}

// Report runs the workloads that match and writes each as soon as it is done.
func (c Comparison) Report(w io.Writer, workloads string, set measure.Settings) error {
	match, err := regexp.Compile(workloads)
	if err != nil {
		return err
	}
	group, err := servers.StartGroup(c.Protocol, 3)
	if err != nil {
		return err
	}
	defer group.Kill()
	fmt.Fprintf(w, "# %s, end to end\n\n%s", c.Protocol, measure.Conditions())
	fmt.Fprintf(w, "%d rounds, %v per turn; medians. CPU and allocations are the client's.\n", set.Rounds, set.Slice)
	for _, load := range c.Workloads {
		if !match.MatchString(load.Name()) {
			continue
		}
		results, err := c.run(load, group.Addrs(), set)
		if err != nil {
			return fmt.Errorf("%s: %w", load.Name(), err)
		}
		c.table(w, load, results)
	}
	return nil
}
