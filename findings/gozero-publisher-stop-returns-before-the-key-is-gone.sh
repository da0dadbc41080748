#!/usr/bin/env bash
# go-zero on etcd: a program that stops its publisher and ends stays registered.
#
# One would expect: Publisher.Stop "stops the renewing and revokes the registration", as its
# documentation says. When it has returned, the key is gone, and the program may end.
#
# What happens: Stop only tells a goroutine, which revokes the lease some time later. A
# program whose main function returns after Stop ends before that, and its key stays until
# the lease does, for ten seconds. Clients call a server that is not there.
#
# Versions: github.com/zeromicro/go-zero v1.10.3, etcd 3.4.23-4+b4 (Debian 12), go1.26.8.
# Seen on 2026-11-28:
#   10 of 10 programs are registered one second after they have stopped and ended
#   15 seconds later: 0
#
# The script fails if that changes; seven of ten are enough.
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
	"os"
	"os/exec"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"github.com/zeromicro/go-zero/core/logx"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const addr = "127.15.0.3:2379"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// serve is the program: it registers, stops, and ends.
func serve() {
	logx.Disable()
	p := discov.NewPublisher([]string{addr}, "echo.rpc", "10.0.0.1:8080")
	must(0, p.KeepAlive())
	p.Stop()
}

func main() {
	if len(os.Args) > 1 {
		serve()
		return
	}
	cmd := exec.Command("usr/bin/etcd", "--log-level", "panic",
		"--listen-client-urls", "http://"+addr, "--advertise-client-urls", "http://"+addr,
		"--listen-peer-urls", "http://127.15.0.3:2380", "--initial-advertise-peer-urls", "http://127.15.0.3:2380",
		"--initial-cluster", "default=http://127.15.0.3:2380")
	must(0, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	client := must(clientv3.New(clientv3.Config{Endpoints: []string{addr}}))
	registered := func() int64 {
		return must(client.Get(context.Background(), "echo.rpc/", clientv3.WithPrefix(), clientv3.WithCountOnly())).Count
	}
	stay := 0
	for range 10 {
		must(exec.Command(os.Args[0], "serve").CombinedOutput())
		time.Sleep(time.Second)
		if registered() > 0 {
			stay++
		}
		must(client.Delete(context.Background(), "echo.rpc/", clientv3.WithPrefix()))
	}
	fmt.Println(stay, "of 10 programs are registered one second after they have stopped and ended")
	must(exec.Command(os.Args[0], "serve").CombinedOutput())
	time.Sleep(15 * time.Second)
	fmt.Println("15 seconds later:", registered())
}
GO
go mod init example >/dev/null 2>&1
go get github.com/zeromicro/go-zero@v1.10.3 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
out=$(go run .)
echo "$out"
[[ $out =~ ^(7|8|9|10)" of 10 programs are registered one second after they have stopped and ended
15 seconds later: 0"$ ]]
