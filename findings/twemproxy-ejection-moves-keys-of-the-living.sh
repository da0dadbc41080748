#!/usr/bin/env bash
# twemproxy: a server that is ejected moves keys of the servers that stay.
#
# One would expect: "distribution: ketama" is consistent hashing, so with auto_eject_hosts
# a server that dies loses its own keys to the others, and no other key moves. That is so
# if all servers have the same weight.
#
# What happens: with different weights keys move between servers that are alive too: a
# part of the cache is cold that lost nothing, and again when the server is back. How many
# points a server has depends on the mean weight of the live servers, and twemproxy makes
# the whole ring again when it ejects one.
#
# Version: nutcracker 0.5.0+dfsg-2 (Debian 12). Seen on 2026-11-28:
#   equal weights: 236 keys of the dead server, 0 of 764 other keys moved
#   weights 1, 3, 1, 1: 153 keys of the dead server, 47 of 847 other keys moved
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off
apt-get download nutcracker=0.5.0+dfsg-2 libyaml-0-2 >/dev/null 2>&1
for deb in *.deb; do dpkg-deb -x "$deb" .; done
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(dirname "$(find "$dir" -name 'libyaml-0.so.2')")
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// server answers memcached's get with its number.
func server(ln net.Listener, number int) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := bufio.NewScanner(c); r.Scan(); {
				fmt.Fprintf(c, "VALUE %s 0 1\r\n%d\r\nEND\r\n", strings.Fields(r.Text())[1], number)
			}
		}()
	}
}

// owners asks twemproxy for the server of each key, while server 0 is there or not.
func owners(weights []int, dead bool) (all [1000]string) {
	servers := ""
	for i, w := range weights {
		addr := fmt.Sprintf("127.13.0.%d:9001", i+1)
		servers += fmt.Sprintf("   - %s:%d\n", addr, w)
		if i == 0 && dead {
			continue
		}
		ln := must(net.Listen("tcp", addr))
		defer ln.Close()
		go server(ln, i)
	}
	conf := `fleet:
  listen: 127.13.0.9:9002
  hash: md5
  distribution: ketama
  auto_eject_hosts: true
  server_failure_limit: 1
  server_retry_timeout: 1000000
  servers:
` + servers
	must(0, os.WriteFile("conf", []byte(conf), 0o600))
	cmd := exec.Command("usr/sbin/nutcracker", "-c", "conf", "-a", "127.13.0.9", "-s", "9003")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var c net.Conn
	for c == nil {
		c, _ = net.Dial("tcp", "127.13.0.9:9002")
		time.Sleep(20 * time.Millisecond)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for k := range all {
		for all[k] == "" { // the first call to the dead server is an error
			fmt.Fprintf(c, "get user:%d\r\n", k)
			if line := must(r.ReadString('\n')); strings.HasPrefix(line, "VALUE") {
				all[k] = strings.TrimSpace(must(r.ReadString('\n')))
				must(r.ReadString('\n'))
			}
		}
	}
	return all
}

func main() {
	for _, c := range []struct {
		name    string
		weights []int
	}{{"equal weights", []int{1, 1, 1, 1}}, {"weights 1, 3, 1, 1", []int{1, 3, 1, 1}}} {
		before, after := owners(c.weights, false), owners(c.weights, true)
		its, moved := 0, 0
		for k := range before {
			switch {
			case before[k] == "0":
				its++
			case before[k] != after[k]:
				moved++
			}
		}
		fmt.Printf("%s: %d keys of the dead server, %d of %d other keys moved\n", c.name, its, moved, len(before)-its)
	}
}
GO
cat >go.mod <<'MOD'
module example

go 1.26
MOD
out=$(go run .)
echo "$out"
[[ $out == "equal weights: 236 keys of the dead server, 0 of 764 other keys moved
weights 1, 3, 1, 1: 153 keys of the dead server, 47 of 847 other keys moved" ]]
