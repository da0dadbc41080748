#!/usr/bin/env bash
# ZooKeeper: a node that is read together with others is not watched, although the request asks for it.
#
# One would expect: MultiRead carries the same record for each node as a read of its own,
# path and watch. Whoever sets watch is told of the node's next change, as after a read of
# its own; or else the server refuses what it does not do.
#
# What happens: the answer has the data, no error says anything, and the change is not
# told: the server takes the path out of the record and drops the rest. The watch must be
# set in another way, such as SetWatches with a transaction from before the read.
#
# Version: ZooKeeper 3.8.0-11+deb12u2 (Debian 12; its package zookeeper must be installed), go1.26.8.
# Seen on 2026-11-29:
#   read alone with a watch: data "1", told of the change: true
#   read with others with a watch: data "1", told of the change: false
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off
cat >zoo.cfg <<CFG
tickTime=500
dataDir=$dir/data
clientPort=2181
clientPortAddress=127.15.0.5
admin.enableServer=false
CFG
cat >main.go <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"
)

const at = "127.15.0.5:2181"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// packet has fields in ZooKeeper's encoding behind their size.
func packet(fields ...any) []byte {
	b := make([]byte, 4)
	for _, f := range fields {
		switch f := f.(type) {
		case int32:
			b = binary.BigEndian.AppendUint32(b, uint32(f))
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(f))
		case bool:
			b = append(b, map[bool]byte{true: 1}[f])
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

type conn struct{ net.Conn }

// next reads a packet without its size.
func (c conn) next() []byte {
	size := make([]byte, 4)
	must(io.ReadFull(c, size))
	b := make([]byte, binary.BigEndian.Uint32(size))
	must(io.ReadFull(c, b))
	return b
}

// session begins a session, once the server serves.
func session() conn {
	for {
		time.Sleep(100 * time.Millisecond)
		nc, err := net.Dial("tcp", at)
		if err != nil {
			continue
		}
		must(nc.Write(packet(int32(0), int64(0), int32(10_000), int64(0), "")))
		if _, err := io.ReadFull(nc, make([]byte, 40)); err == nil {
			return conn{nc}
		}
		_ = nc.Close()
	}
}

// change gives the node other data, from another session.
func change(path, data string) {
	c := session()
	defer c.Close()
	must(c.Write(packet(int32(1), int32(5), path, data, int32(-1)))) // setData
	if b := c.next(); binary.BigEndian.Uint32(b[12:]) != 0 {
		panic("the node was not changed")
	}
}

// told reports whether the next packet is an event, or the answer to a question that
// comes behind the change.
func told(c conn) bool {
	must(c.Write(packet(int32(9), int32(3), "/", false))) // exists
	return int32(binary.BigEndian.Uint32(c.next())) == -1
}

func main() {
	cmd := exec.Command("java", "-cp", "/etc/zookeeper/conf:/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "zoo.cfg")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	c := session()
	for _, path := range []string{"/alone", "/among"} { // create: data, everybody may do everything, no flags
		must(c.Write(packet(int32(1), int32(1), path, "1", int32(1), int32(31), "world", "anyone", int32(0))))
		c.next()
	}
	must(c.Write(packet(int32(2), int32(4), "/alone", true))) // getData
	alone := c.next()[16:]
	change("/alone", "2")
	fmt.Printf("read alone with a watch: data %q, told of the change: %t\n", alone[4:5], told(c))

	c = session()
	op := []any{int32(4), false, int32(-1)} // getData, not the end
	request := append([]any{int32(2), int32(22)}, append(op, "/among", true)...)
	request = append(append(request, op...), "/", false, int32(-1), true, int32(-1))
	must(c.Write(packet(request...))) // multiRead
	among := c.next()[16:]
	change("/among", "2")
	fmt.Printf("read with others with a watch: data %q, told of the change: %t\n", among[13:14], told(c))
}
GO
cat >go.mod <<'MOD'
module example

go 1.26
MOD
go build -o program .
out=$(./program)
echo "$out"
[[ $out == 'read alone with a watch: data "1", told of the change: true
read with others with a watch: data "1", told of the change: false' ]]
