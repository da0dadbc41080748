// Command rings asks the real programs where they place keys, and writes what they
// answer to the golden tables of package balance, and how many of them our rings place
// alike to a report:
//
//	go -C interop run ./rings ../balance/testdata/rings rings/REPORT.md
//
// It runs nginx, HAProxy, twemproxy (nutcracker), a program that uses libmemcached, and
// gRPC's ring_hash, each before four servers on loopback that answer with their own
// number, and asks for a thousand keys through each. Servers that are down refuse
// connections, and are asked for until the program has noticed.
//
// Debian's packages nginx-light, haproxy, nutcracker, libmemcached-dev and gcc have what
// it needs. It listens on port 80 of some addresses of loopback, so it needs the right to.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "rings: the folder for the tables and the file for the report are missing")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1], os.Args[2])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
