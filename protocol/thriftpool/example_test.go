package thriftpool_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// What Client returns is shared; the generated client, which is not safe for
// concurrent use, is made where it is called.
func ExampleClient() {
	ctx := context.Background()
	addr, stop := startServer()
	defer stop()

	pool, err := core.New(
		static.Watcher(addr),
		thriftpool.Dial(thriftpool.Config{Timeout: time.Second}),
		core.MaxActive(64),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()
	client := thriftpool.Client(pool, thriftpool.Idempotent("echo"))

	var wg sync.WaitGroup
	answers := make([]string, 3)
	for i := range answers {
		wg.Go(func() {
			answer, err := echo.NewEchoClient(client).Echo(ctx, fmt.Sprint("call ", i))
			if err != nil {
				answer = err.Error()
			}
			answers[i] = answer
		})
	}
	wg.Wait()
	fmt.Println(answers)
	// Output: [call 0 call 1 call 2]
}

// Apache's own transports and protocols, with one configuration for all.
func ExampleDial() {
	conf := &thrift.TConfiguration{MaxFrameSize: 1 << 20}
	dialer := thriftpool.Dial(thriftpool.Config{
		Protocol:  thrift.NewTCompactProtocolFactoryConf(conf),
		Transport: thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf),
		Thrift:    conf,
		Ping: func(ctx context.Context, conn *thriftpool.Conn) error {
			return echo.NewEchoClient(conn).Ping(ctx)
		},
	})
	pool, err := core.New(static.Watcher("h1:9090", "h2:9090"), dialer)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = pool.Close(context.Background())
	// Output:
}

// startServer runs a server of Apache's library.
func startServer() (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	addr = ln.Addr().String()
	if err := ln.Close(); err != nil {
		panic(err)
	}
	sock, err := thrift.NewTServerSocket(addr)
	if err != nil {
		panic(err)
	}
	if err := sock.Listen(); err != nil {
		panic(err)
	}
	server := thrift.NewTSimpleServer4(
		echo.NewEchoProcessor(echo.Service{}), sock,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil),
	)
	done := make(chan error)
	go func() { done <- server.Serve() }() // stop ends it and waits
	return addr, func() {
		if err := server.Stop(); err != nil {
			panic(err)
		}
		if err := <-done; err != nil {
			panic(err)
		}
	}
}
