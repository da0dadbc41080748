// Command multiplex makes many calls at once over one or two connections per server.
// Each request has a number, each reply that of its request, and they may come in any
// order: what gRPC, HTTP/2 and many others do, in small.
//
//	go run ./examples/multiplex
//
// wire.go is the protocol, conn.go a connection that callers share, client.go the
// client over a pool with [core.MaxConcurrentCalls], server.go a server.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func main() {
	servers := flag.Int("servers", 3, "servers to start")
	callers := flag.Int("callers", 100, "calls at a time")
	flag.Parse() // exits with 2
	if *servers < 1 || *callers < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "multiplex: -servers and -callers must be at least 1, and there are no arguments")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *servers, *callers)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "multiplex:", err)
		os.Exit(1)
	}
}

// run makes ten rounds of calls to servers that take 10 ms for each. It returns an error
// if one of them failed.
func run(ctx context.Context, servers, callers int) error {
	var addrs []string
	for range servers {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s := Serve(ln, func(request string) string {
			time.Sleep(10 * time.Millisecond)
			return strings.ToUpper(request)
		})
		defer func() { _ = s.Close() }()
		addrs = append(addrs, s.Addr())
	}
	client, err := Open(static.Watcher(addrs...), callers) //nolint:contextcheck // a pool outlives the context it is made in
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }()

	const rounds = 10
	begun := time.Now()
	var all sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		all.Go(func() {
			for range rounds {
				if _, err := client.Call(ctx, fmt.Sprint("caller ", i)); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return fmt.Errorf("caller %d: %w", i, errs[i])
	}
	open := 0
	for _, e := range client.pool.Stats().Endpoints {
		open += e.Open
	}
	fmt.Printf("%d calls of 10 ms in %v, over %d connections to %d servers\n",
		rounds*callers, time.Since(begun).Round(time.Millisecond), open, servers)
	return nil
}
