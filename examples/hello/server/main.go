// Command server is the hello service: a Thrift server that makes itself known in a
// registry, by default by an ephemeral node in ZooKeeper, and is no more known when it
// ends.
//
//	go run ./examples/hello/server -addr 127.0.0.1:8888
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/program"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/registry"
	"github.com/minicaptain/multi_connection_pool/examples/internal/hello"
)

//go:generate thrift --gen go:skip_remote,package_prefix=github.com/minicaptain/multi_connection_pool/examples/internal/ -out ../../internal ../hello.thrift

func main() {
	addr := flag.String("addr", "127.0.0.1:8888", "where to listen, and where others find this server; port 0 is any that is free")
	url := flag.String("registry", registry.Default, "where to be known; empty for nowhere")
	child := flag.Bool("child", false, "end when standard input does")
	flag.Parse()
	program.Run(*child, func(ctx context.Context) error { return serve(ctx, *addr, *url, os.Stdout) })
}

// serve answers until ctx is done. It prints "ready" and its address when it can be
// found, and then each greeting.
func serve(ctx context.Context, addr, url string, out io.Writer) error {
	var registrar discovery.Registrar
	if url != "" {
		var err error
		if registrar, err = registry.Mux().OpenRegistrar(url); err != nil {
			return err
		}
	}
	socket, err := thrift.NewTServerSocket(addr)
	if err != nil {
		return err
	}
	if err := socket.Listen(); err != nil {
		return err
	}
	greeter := &greeter{out: out}
	server := thrift.NewTSimpleServer4(
		hello.NewRpcServiceProcessor(greeter),
		socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil),
	)
	thrift.ServerStopTimeout = time.Second // for connections that pools keep
	addr = socket.Addr().String()

	ended := make(chan struct{})
	go func() { // ends when ctx is done; waited for below
		defer close(ended)
		leave := join(ctx, registrar, addr)
		if ctx.Err() == nil {
			greeter.say("ready " + addr)
		}
		<-ctx.Done()
		leave() // first, so that nobody new comes
		_ = server.Stop()
	}()
	err = server.Serve()
	<-ended
	return err
}

// join makes the server known, and returns when that is done, or ctx is, with how to
// undo it.
func join(ctx context.Context, registrar discovery.Registrar, addr string) (leave func()) {
	if registrar == nil {
		return func() {}
	}
	tell := discovery.OnChange(func(p discovery.Phase, err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n", p, err)
		}
	})
	registration := discovery.Register(registrar, core.Endpoint{Addr: addr}, tell) //nolint:contextcheck // it is closed below
	// When that fails, it goes on trying.
	_ = registration.Wait(ctx)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*discovery.DeregisterTimeout)
		defer cancel()
		_ = registration.Close(ctx) // else the registry drops it by itself
	}
}

// greeter implements the service.
type greeter struct {
	mu  sync.Mutex
	out io.Writer
}

// HelloWorld greets.
func (g *greeter) HelloWorld(_ context.Context, name string) error {
	g.say("hello world by " + name)
	return nil
}

func (g *greeter) say(line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintln(g.out, line)
}
