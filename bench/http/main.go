// Command http compares ways to call three HTTP servers, end to end over loopback, in one interleaved run.
//
//	go run ./http [-workloads regexp] [-rounds n] [-slice duration] [-o file]
//
// The servers are processes of their own, so that CPU time and allocations are the client's alone. The servers share
// the machine with the client, however: throughput shows less of the client's cost than CPU per call does.
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
	serveIfAsked()
	workloads := flag.String("workloads", "", "run only the workloads whose name matches this regular `expression`")
	rounds := flag.Int("rounds", 30, "how often each arm takes its turn")
	slice := flag.Duration("slice", 150*time.Millisecond, "how long each turn lasts")
	file := flag.String("o", "", "write the report to this `file` as well")
	flag.Parse()
	if err := report(os.Stdout, *workloads, settings{*rounds, *slice}, *file); err != nil {
		fmt.Fprintln(os.Stderr, "http:", err)
		os.Exit(1)
	}
}

// report runs the workloads that match and prints each as soon as it is done.
func report(stdout io.Writer, which string, set settings, file string) error {
	match, err := regexp.Compile(which)
	if err != nil {
		return err
	}
	servers, err := startServers(3)
	if err != nil {
		return err
	}
	defer servers.stop()
	var text bytes.Buffer
	out := io.MultiWriter(stdout, &text)
	fmt.Fprint(out, "# HTTP, end to end\n\n", measure.Conditions())
	fmt.Fprintf(out, "%d rounds, %v per turn; medians. CPU and allocations are the client's.\n", set.rounds, set.slice)
	for _, load := range workloads() {
		if !match.MatchString(load.name()) {
			continue
		}
		results, err := load.run(servers.addrs(), set)
		if err != nil {
			return err
		}
		load.table(out, results)
	}
	if file == "" {
		return nil
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}
