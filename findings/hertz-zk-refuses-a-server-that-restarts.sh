#!/usr/bin/env bash
# hertz on ZooKeeper: a server that is killed and starts again at once is not registered.
#
# One would expect: the node of the killed server is there until its session ends. The new
# process takes it over, or tries again once it is gone, as with Curator, Dubbo, go-kit and
# rpcx.
#
# What happens: Register fails since the node exists, and is not tried again. A server that
# goes on all the same has the old node for what is left of the session, and then none.
#
# Versions: github.com/hertz-contrib/registry/zookeeper v0.0.0-20250319055937-8a220332e808,
# ZooKeeper 3.8.0-11+deb12u2 (Debian 12; its package zookeeper must be installed), go1.26.8.
# Seen on 2026-11-28:
#   first start: registered
#   killed, started at once: create node [/echo/10.0.0.1:8888] error, cause zk: node already exists
#   nodes once the session has ended: 0
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
clientPortAddress=127.15.0.4
admin.enableServer=false
CFG
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/cloudwego/hertz/pkg/app/server/registry"
	"github.com/go-zookeeper/zk"
	"github.com/hertz-contrib/registry/zookeeper"
)

var servers = []string{"127.15.0.4:2181"}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// serve is the server: it says how it went, and stays.
func serve() {
	r := must(zookeeper.NewZookeeperRegistry(servers, 5*time.Second))
	at := must(net.ResolveTCPAddr("tcp", "10.0.0.1:8888"))
	if err := r.Register(&registry.Info{ServiceName: "echo", Addr: at, Weight: 10}); err != nil {
		fmt.Println(err)
	} else {
		fmt.Println("registered")
	}
	time.Sleep(time.Hour)
}

// start starts a server, and returns it and what it says.
func start() (*exec.Cmd, string) {
	cmd := exec.Command(os.Args[0], "serve")
	out := must(cmd.StdoutPipe())
	must(0, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Scan()
	return cmd, lines.Text()
}

func main() {
	if len(os.Args) > 1 {
		serve()
		return
	}
	cmd := exec.Command("java", "-cp", "/etc/zookeeper/conf:/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	client, events, err := zk.Connect(servers, 10*time.Second, zk.WithLogInfo(false))
	must(0, err)
	for e := range events {
		if e.State == zk.StateHasSession {
			break
		}
	}
	first, said := start()
	fmt.Println("first start:", said)
	_ = first.Process.Kill()
	_ = first.Wait()
	second, said := start()
	fmt.Println("killed, started at once:", said)
	time.Sleep(20 * time.Second)
	nodes, _, err := client.Children("/echo")
	fmt.Println("nodes once the session has ended:", len(must(nodes, err)))
	_ = second.Process.Kill()
	_ = second.Wait()
}
GO
go mod init example >/dev/null 2>&1
go get github.com/hertz-contrib/registry/zookeeper@v0.0.0-20250319055937-8a220332e808 github.com/bytedance/sonic@v1.15.5 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go build -o program .
out=$(./program 2>/dev/null)
echo "$out"
[[ $out == "first start: registered
killed, started at once: create node [/echo/10.0.0.1:8888] error, cause zk: node already exists
nodes once the session has ended: 0" ]]
