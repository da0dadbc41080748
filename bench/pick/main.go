// Command pick times the choice of a server alone, beside the pickers of other load balancers, and the look-up of keys,
// in one interleaved run. It prints the figures and their targets in Markdown.
//
//	go run ./pick [-rounds n] [-slice duration] [-o file]
//
// There are no servers: an endpoint is what its picker stores of it. Package measure takes the ratios, arm*.go has the
// arms, table.go the targets.
package main

import (
	"fmt"
	"io"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

func main() {
	set := measure.Flags(30, 20*time.Millisecond)
	report.Main(func(w io.Writer) error { return write(w, *set) })
}

// write runs everything, since the targets are ratios inside one run, and writes it.
func write(out io.Writer, set measure.Settings) error {
	fmt.Fprint(out, "# The choice of a server\n\n", measure.Conditions())
	fmt.Fprintf(out, "%d rounds, %v per turn, one goroutine; medians. CPU is that of the whole process: the collection of what was "+
		"allocated is in it.\n", set.Rounds, set.Slice)
	r, err := run(set)
	if err != nil {
		return err
	}
	r.table(out)
	return nil
}
