#!/usr/bin/env bash
# GoFrame on etcd: all instances of a service have the weight of the first.
#
# One would expect: an instance registers itself with metadata of its own, under a key of
# its own, and GoFrame has a balancer by the metadata "weight". So a client that searches
# for the service finds each instance with its weight, as on Consul.
#
# What happens: the registry joins the instances of a service into one, with the addresses
# of all and the metadata of the one whose key is first in the alphabet. The weights in etcd
# are right. Nobody gets them.
#
# Versions: github.com/gogf/gf/contrib/registry/etcd/v2 v2.10.2, etcd 3.4.23-4+b4 (Debian
# 12), go1.26.8. Seen on 2026-11-28:
#   in etcd: 10.0.0.1:8000 {"weight":10}
#   in etcd: 10.0.0.2:8000 {"weight":90}
#   found: 10.0.0.1:8000 with weight 10
#   found: 10.0.0.2:8000 with weight 10
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod
apt-get download etcd-server=3.4.23-4+b4 >/dev/null 2>&1
dpkg-deb -x etcd-server_*.deb .
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path"
	"time"

	"github.com/gogf/gf/contrib/registry/etcd/v2"
	"github.com/gogf/gf/v2/net/gsvc"
	"github.com/gogf/gf/v2/os/glog"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	ctx := context.Background()
	cmd := exec.Command("usr/bin/etcd", "--log-level", "panic",
		"--listen-client-urls", "http://127.15.0.1:2379", "--advertise-client-urls", "http://127.15.0.1:2379",
		"--listen-peer-urls", "http://127.15.0.1:2380", "--initial-advertise-peer-urls", "http://127.15.0.1:2380",
		"--initial-cluster", "default=http://127.15.0.1:2380")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for {
		if c, err := net.Dial("tcp", "127.15.0.1:2379"); err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	quiet := glog.New()
	quiet.SetStdoutPrint(false)
	for addr, weight := range map[string]int{"10.0.0.1:8000": 10, "10.0.0.2:8000": 90} {
		must(etcd.New("127.15.0.1:2379", etcd.Option{Logger: quiet}).Register(ctx, &gsvc.LocalService{
			Name: "echo", Version: gsvc.DefaultVersion, Endpoints: gsvc.NewEndpoints(addr), Metadata: gsvc.Metadata{gsvc.MDWeight: weight},
		}))
	}
	client := must(clientv3.New(clientv3.Config{Endpoints: []string{"127.15.0.1:2379"}}))
	for _, kv := range must(client.Get(ctx, "/", clientv3.WithPrefix())).Kvs {
		fmt.Printf("in etcd: %s %s\n", path.Base(string(kv.Key)), kv.Value)
	}
	for _, s := range must(etcd.New("127.15.0.1:2379").Search(ctx, gsvc.SearchInput{Name: "echo"})) {
		for _, e := range s.GetEndpoints() {
			fmt.Printf("found: %s with weight %v\n", e, s.GetMetadata()[gsvc.MDWeight])
		}
	}
}
GO
go mod init example >/dev/null 2>&1
go get github.com/gogf/gf/contrib/registry/etcd/v2@v2.10.2 github.com/gogf/gf/v2@v2.10.2 >/dev/null 2>&1
out=$(go run .)
echo "$out"
[[ $out == 'in etcd: 10.0.0.1:8000 {"weight":10}
in etcd: 10.0.0.2:8000 {"weight":90}
found: 10.0.0.1:8000 with weight 10
found: 10.0.0.2:8000 with weight 10' ]]
