// Command pick times the choice of a server and nothing else, beside the pickers of other load balancers, and the
// look-up of keys, in one interleaved run, and prints the figures and their targets in Markdown.
//
//	go run ./pick [-rounds n] [-slice duration] [-o file]
//
// There are no servers: an endpoint is what its picker keeps of it. See package measure for how ratios are taken,
// arm*.go for what is compared, table.go for the targets.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

func main() {
	rounds := flag.Int("rounds", 30, "how often each contender takes its turn")
	slice := flag.Duration("slice", 20*time.Millisecond, "how long each turn lasts")
	file := flag.String("o", "", "write the report to this `file` as well")
	flag.Parse()
	if err := report(os.Stdout, settings{*rounds, *slice}, *file); err != nil {
		fmt.Fprintln(os.Stderr, "pick:", err)
		os.Exit(1)
	}
}

// report runs everything, since the targets are ratios inside one run, and prints it.
func report(stdout io.Writer, set settings, file string) error {
	var text bytes.Buffer
	out := io.MultiWriter(stdout, &text)
	fmt.Fprint(out, "# The choice of a server\n\n", measure.Conditions())
	fmt.Fprintf(out, "%d rounds, %v per turn, one goroutine; medians. CPU is that of the whole process: the collection of what was "+
		"allocated is in it.\n", set.rounds, set.slice)
	r, err := run(set)
	if err != nil {
		return err
	}
	r.table(out)
	if file == "" {
		return nil
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}
