// Command quickstart shows what a pool does when a server dies: it calls three
// Thrift servers, each a process of its own, kills one of them at a third of
// the time, and starts it again at two thirds. No call must be lost. It prints the
// address of a page that shows the pool meanwhile.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -duration 10m -slow 40ms   # time to look at the page
//
// With a registry, the servers make themselves known, and the pool finds them:
// the one that is killed vanishes there too, and returns.
//
//	make run REGISTRY=etcd
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/observe/live"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == serveCommand {
		if err := serve(os.Args[2], registry{url: os.Args[3]}, os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "quickstart: %v\nTry -help.\n", err)
		os.Exit(2)
	}
	// The first Ctrl-C ends the run early; a second one kills the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "quickstart: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	registry, err := startRegistry(o.registry)
	if err != nil {
		return err
	}
	defer registry.stop()
	servers, err := startFleet(ctx, o.servers, registry, o.slow)
	if err != nil {
		return err
	}
	defer servers.stop()
	st := newStats(servers.addrs())
	events := &timeline{start: st.start, registry: !registry.none()}
	events.began(st.servers)

	watcher, err := registry.watcher(st.servers)
	if err != nil {
		return err
	}

	// The pool: where the servers are, how to connect to them, and who wants
	// to hear what happens to them.
	page := live.New()
	panel := page.Panel("echo")
	pool, err := core.New(
		watcher,
		thriftpool.Dial(thriftpool.Config{}),
		core.WithObserver(events.Observe),
		core.WithObserver(panel.Observe),
	)
	if err != nil {
		return err
	}
	defer closePool(ctx, pool)
	panel.Show(pool)
	defer page.Close()
	if err := awaitAll(ctx, pool, st.servers); err != nil {
		return err
	}
	stopPage, err := servePage(ctx, o.live, page, events)
	if err != nil {
		return err
	}
	defer stopPage()
	before := attempts(pool.Stats())

	// A Thrift client like any other. Each call goes to the server that is best
	// placed to answer, and when that one dies meanwhile, to another.
	client := thriftpool.Client(pool, thriftpool.Idempotent("send"))

	calling, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	ended := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { callAll(calling, client, o, st) })
	var cuts []period
	work.Go(func() { cuts = killAndRestart(calling, servers, o.duration, st, events) })
	go func() { // ends with the two above
		work.Wait()
		close(ended)
	}()
	v := view{o, st, events, pool.Stats}
	err = v.show(out, ended)
	cancel() // if there is nowhere to show it
	<-ended
	return errors.Join(err, conclude(out, st, cuts, attempts(pool.Stats())-before))
}

// closePool closes the pool, also after Ctrl-C.
func closePool(ctx context.Context, pool *core.Pool[*thriftpool.Conn]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = pool.Close(ctx)
}
