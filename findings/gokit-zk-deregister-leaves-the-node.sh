#!/usr/bin/env bash
# go-kit on ZooKeeper: a server that deregisters stays until its session ends.
#
# One would expect: the registrar creates a node for the server, and Deregister deletes it,
# so that a server that stops in order is gone at once.
#
# What happens: Deregister deletes the parent of all the service's nodes in place of its
# own. ZooKeeper refuses that while the parent has children, which it has: the server's own
# node at least. Through sd.Registrar the error is only logged. The node goes with the
# session: when the client is stopped, or after the session's timeout when the program just
# ends. Until then clients call a server that is not there.
#
# Versions: github.com/go-kit/kit v0.13.0, ZooKeeper 3.8.0-11+deb12u2 (Debian 12; its
# package zookeeper must be installed), go1.26.8. Seen on 2026-11-28:
#   nodes after Register: 1
#   Deregister: zk: node has children
#   nodes after Deregister: 1
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod
cat >zoo.cfg <<CFG
tickTime=500
dataDir=$dir/data
clientPort=2181
clientPortAddress=127.15.0.2
admin.enableServer=false
CFG
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os/exec"
	"time"

	"github.com/go-kit/kit/sd/zk"
	"github.com/go-kit/log"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	cmd := exec.Command("java", "-cp", "/etc/zookeeper/conf:/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var client zk.Client
	for err := error(nil); client == nil; time.Sleep(100 * time.Millisecond) {
		if client, err = zk.NewClient([]string{"127.15.0.2:2181"}, log.NewNopLogger()); err != nil {
			client = nil // ZooKeeper is not there yet
		}
	}
	watcher := must(zk.NewClient([]string{"127.15.0.2:2181"}, log.NewNopLogger()))
	service := &zk.Service{Path: "/services", Name: "echo", Data: []byte("10.0.0.1:8080")}
	must(0, client.Register(service))
	nodes, _, err := watcher.GetEntries("/services/echo")
	fmt.Println("nodes after Register:", len(must(nodes, err)))
	fmt.Println("Deregister:", client.Deregister(service))
	nodes, _, err = watcher.GetEntries("/services/echo")
	fmt.Println("nodes after Deregister:", len(must(nodes, err)))
}
GO
go mod init example >/dev/null 2>&1
go get github.com/go-kit/kit@v0.13.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
out=$(go run .)
echo "$out"
[[ $out == "nodes after Register: 1
Deregister: zk: node has children
nodes after Deregister: 1" ]]
