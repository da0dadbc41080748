#!/usr/bin/env bash
# net/http, Go 1.26: a failed request on a ClientConn leaves something with its context.
#
# One would expect: what RoundTrip registers with the request's context is gone when
# RoundTrip has returned an error, as with http.Transport: else each failed request
# under a context that lives as long as the program is kept until the program ends.
#
# What happens: Transport.NewClientConn's RoundTrip (new in Go 1.26, HTTP/1.1) leaves
# its derived context registered with the request's after an error, until that context
# itself is canceled. Where requests have contexts of their own, derived from a long
# one with a value and without a cancel function, the values stay too.
#
# Version: go1.26.8. Seen on 2026-11-28:
#   http.Transport: 0 of 100 failed requests are still registered
#   http.ClientConn: 100 of 100 failed requests are still registered
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
)

// counting is a context that does not end, and counts who waits for its end: package
// context calls AfterFunc of a parent that has it, and what that returns when a derived
// context is done.
type counting struct {
	context.Context
	done       chan struct{}
	registered atomic.Int64
}

func (c *counting) Done() <-chan struct{} { return c.done }

func (c *counting) AfterFunc(func()) (stop func() bool) {
	c.registered.Add(1)
	var once atomic.Bool
	return func() bool {
		if once.CompareAndSwap(false, true) {
			c.registered.Add(-1)
		}
		return true
	}
}

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { // reads a request and hangs up
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Read(make([]byte, 4096))
				_ = c.Close()
			}()
		}
	}()
	addr := ln.Addr().String()
	const requests = 100
	for _, way := range []string{"http.Transport", "http.ClientConn"} {
		ctx := &counting{Context: context.Background(), done: make(chan struct{})}
		tr := &http.Transport{}
		for range requests {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/", http.NoBody)
			if err != nil {
				panic(err)
			}
			var trip http.RoundTripper = tr
			if way == "http.ClientConn" {
				conn, err := tr.NewClientConn(context.Background(), "http", addr)
				if err != nil {
					panic(err)
				}
				defer conn.Close()
				trip = conn
			}
			if resp, err := trip.RoundTrip(req); err == nil {
				panic(resp.Status)
			}
		}
		fmt.Printf("%s: %d of %d failed requests are still registered\n", way, ctx.registered.Load(), requests)
	}
}
GO
cat >go.mod <<'MOD'
module example

go 1.26
MOD
out=$(go run .)
echo "$out"
[[ $out == "http.Transport: 0 of 100 failed requests are still registered
http.ClientConn: 100 of 100 failed requests are still registered" ]]
