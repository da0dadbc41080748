// Command registries runs other projects' registrars and resolvers beside this one's, each
// in real registries, and writes what it saw to a report:
//
//	go -C interop run ./registries REPORT.md ["rpcx on etcd"...]
//
// Names of ecosystems limit it to those.
//
// For each of interop/peers it starts two of their servers and one of ours, in both
// directions: who finds whom, with which address, weight and zone; and how long a server
// stays in the sets of the other side after a clean exit, after kill -9, and when it starts
// again at once after kill -9, so that its old entry is still there.
//
// Then two of theirs and two of ours, with different weights, are called by their balancer
// and by a pool of ours.
//
// etcd and Consul (1.14 or later) are in PATH, or the variables ETCD and CONSUL_BINARY name
// them; ZooKeeper is Debian's package zookeeper, Curator its package
// libcurator-discovery-java with openjdk-17-jdk-headless.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	switch {
	case len(os.Args) == 6 && os.Args[1] == "ours": // this program, as a server of ours
		err = registerOurs(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	case len(os.Args) >= 2:
		err = run(ctx, os.Args[1], os.Args[2:])
	default:
		err = errors.New("registries: the file for the report is missing")
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
