// Command postgres reads and writes through protocol/sqlpool while a cluster of
// PostgreSQL fails over, and writes what the callers saw to a report:
//
//	go -C interop run ./postgres postgres/REPORT.md
//
// Patroni runs a primary and two replicas on loopback and keeps their roles in an etcd.
// One pool follows the primary, the other the replicas. While eight callers read and four
// write, a replica is killed (kill -9), the primary moves because it is asked to, and the
// primary is killed.
//
// Debian's packages postgresql, patroni and etcd-server have what it needs; the variable
// ETCD names another etcd. Started by root, it runs them as the user postgres.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "postgres: the file for the report is missing")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
