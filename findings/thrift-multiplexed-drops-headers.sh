#!/usr/bin/env bash
# Apache Thrift for Go: a client of a multiplexed service over THeader sends no headers.
#
# One would expect: a program sets headers with SetHeader and SetWriteHeaderList on the
# context of a call. Over THeaderProtocol they arrive. TMultiplexedProtocol only puts
# the service's name in front of the method's, so they should arrive below it as well.
#
# What happens: they are not sent, without an error. The client looks whether its
# protocol is a THeaderProtocol, and the multiplexed protocol around one is not. The
# call itself goes well.
#
# Versions: github.com/apache/thrift v0.25.0, go1.26.8. Seen on 2026-11-28:
#   THeader alone: the header is sent: true
#   multiplexed over THeader: the header is sent: false
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
)

// empty is a struct without fields.
type empty struct{}

func (empty) Read(context.Context, thrift.TProtocol) error { return nil }

func (empty) Write(ctx context.Context, p thrift.TProtocol) error {
	_ = p.WriteStructBegin(ctx, "args")
	_ = p.WriteFieldStop(ctx)
	return p.WriteStructEnd(ctx)
}

// sent makes a call without a reply, and reports whether its bytes have the header.
func sent(wrap func(thrift.TProtocol) thrift.TProtocol) bool {
	buf := thrift.NewTMemoryBuffer()
	proto := thrift.NewTHeaderProtocolConf(buf, nil)
	client := thrift.NewTStandardClient(nil, wrap(proto))
	ctx := thrift.SetHeader(context.Background(), "tenant", "blue")
	ctx = thrift.SetWriteHeaderList(ctx, []string{"tenant"})
	if _, err := client.Call(ctx, "greet", empty{}, nil); err != nil {
		panic(err)
	}
	return bytes.Contains(buf.Bytes(), []byte("blue"))
}

func main() {
	fmt.Println("THeader alone: the header is sent:", sent(func(p thrift.TProtocol) thrift.TProtocol { return p }))
	fmt.Println("multiplexed over THeader: the header is sent:", sent(func(p thrift.TProtocol) thrift.TProtocol {
		return thrift.NewTMultiplexedProtocol(p, "Greeter")
	}))
}
GO
go mod init example >/dev/null 2>&1
go get github.com/apache/thrift@v0.25.0 >/dev/null 2>&1
out=$(go run .)
echo "$out"
[[ $out == "THeader alone: the header is sent: true
multiplexed over THeader: the header is sent: false" ]]
