#!/usr/bin/env bash
# twemproxy: with its default hash, numbered keys crowd on a few servers.
#
# One would expect: ketama has 160 points for each of 25 equal servers, so that of 1000
# keys each server gets about 40, the fewest perhaps 20 and the most 60, as with md5.
#
# What happens: the default hash of keys, fnv1a_64, is cut to 32 bits of which those on
# top hardly differ between keys that end in different digits. Neighbors in number are
# neighbors on the ring: whole runs of keys belong to one server, and some servers get
# nothing at all. "hash: md5" spreads the same keys evenly.
#
# Version: nutcracker 0.5.0+dfsg-2 (Debian 12). Seen on 2026-11-28:
#   the default hash: 20 of 25 servers have keys, from 10 to 220 of 1000
#   md5: 25 of 25 servers have keys, from 27 to 58 of 1000
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
				fmt.Fprintf(c, "VALUE %s 0 2\r\n%02d\r\nEND\r\n", strings.Fields(r.Text())[1], number)
			}
		}()
	}
}

// owners asks twemproxy for the server of each key.
func owners(hash string) (all [1000]string) {
	servers := ""
	for i := range 25 {
		addr := fmt.Sprintf("127.14.0.%d:9001", i+1)
		servers += fmt.Sprintf("   - %s:1\n", addr)
		ln := must(net.Listen("tcp", addr))
		defer ln.Close()
		go server(ln, i)
	}
	conf := `fleet:
  listen: 127.14.1.1:9002
` + hash + `  distribution: ketama
  servers:
` + servers
	must(0, os.WriteFile("conf", []byte(conf), 0o600))
	cmd := exec.Command("usr/sbin/nutcracker", "-c", "conf", "-a", "127.14.1.1", "-s", "9003")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var c net.Conn
	for c == nil {
		c, _ = net.Dial("tcp", "127.14.1.1:9002")
		time.Sleep(20 * time.Millisecond)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for k := range all {
		fmt.Fprintf(c, "get user:%d\r\n", k)
		must(r.ReadString('\n')) // VALUE ...
		all[k] = strings.TrimSpace(must(r.ReadString('\n')))
		must(r.ReadString('\n')) // END
	}
	return all
}

func main() {
	for _, c := range []struct{ name, line string }{{"the default hash", ""}, {"md5", "  hash: md5\n"}} {
		keys := make(map[string]int)
		for _, owner := range owners(c.line) {
			keys[owner]++
		}
		most, least := 0, 1000
		for _, n := range keys {
			most, least = max(most, n), min(least, n)
		}
		fmt.Printf("%s: %d of 25 servers have keys, from %d to %d of 1000\n", c.name, len(keys), least, most)
	}
}
GO
cat >go.mod <<'MOD'
module example

go 1.26
MOD
out=$(go run .)
echo "$out"
[[ $out == "the default hash: 20 of 25 servers have keys, from 10 to 220 of 1000
md5: 25 of 25 servers have keys, from 27 to 58 of 1000" ]]
