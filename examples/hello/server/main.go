// Command server is the hello service: a Thrift server that registers itself, by default
// as an ephemeral node in ZooKeeper, and deregisters when it ends.
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
	addr := flag.String("addr", "127.0.0.1:8888", "listen address, which is also registered; port 0 picks a free port")
	url := flag.String("registry", registry.Default, "URL of the registry; empty for none")
	child := flag.Bool("child", false, "end when standard input ends")
	flag.Parse()
	program.Run(*child, func(ctx context.Context) error { return serve(ctx, *addr, *url, os.Stdout) })
}

// serve answers calls until ctx is done. It prints "ready" and its address once the
// server is registered, and then each greeting.
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
	thrift.ServerStopTimeout = time.Second // pools keep their connections open
	addr = socket.Addr().String()

	wait, deregister, err := register(registrar, addr) //nolint:contextcheck // deregister ends it
	if err != nil {
		return err
	}

	ended := make(chan struct{})
	go func() { // ends when ctx is done; serve waits for it below
		defer close(ended)
		if wait(ctx); ctx.Err() == nil {
			greeter.print("ready " + addr)
		}
		<-ctx.Done()
		deregister() // first, so that no new caller comes
		_ = server.Stop()
	}()
	err = server.Serve()
	<-ended
	return err
}

// register registers the server. wait returns when the server is registered or its
// context is done. The error says that it can never be registered.
func register(registrar discovery.Registrar, addr string) (wait func(context.Context), deregister func(), err error) {
	if registrar == nil {
		return func(context.Context) {}, func() {}, nil
	}
	report := discovery.OnChange(func(s discovery.State, err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n", s, err)
		}
	})
	registration, err := discovery.Register(registrar, core.Endpoint{Addr: addr}, report)
	if err != nil {
		return nil, nil, err
	}
	wait = func(ctx context.Context) { _ = registration.Wait(ctx) } // the registration retries until it is closed
	deregister = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*discovery.DeregisterTimeout)
		defer cancel()
		_ = registration.Close(ctx) // after an error the registry drops the entry when it expires
	}
	return wait, deregister, nil
}

// greeter implements the service.
type greeter struct {
	mu  sync.Mutex
	out io.Writer
}

// HelloWorld prints a greeting.
func (g *greeter) HelloWorld(_ context.Context, name string) error {
	g.print("hello world by " + name)
	return nil
}

func (g *greeter) print(line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintln(g.out, line)
}
