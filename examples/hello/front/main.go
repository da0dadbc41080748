// Command front answers HTTP requests by calls of the hello service through a pool. The
// servers come from a registry, by default from the children of a node in ZooKeeper, or
// from a list:
//
//	go run ./examples/hello/front -http 127.0.0.1:8080 -servers 127.0.0.1:8888,127.0.0.1:8889
//	curl http://127.0.0.1:8080/ada
//
// or from DNS or a file, where servers do not register themselves:
//
//	go run ./examples/hello/front -registry dns:///hello.default.svc.cluster.local:8888
//	go run ./examples/hello/front -registry file:///etc/hello/servers
//	go run -tags=registries ./examples/hello/front -registry xds://127.0.0.1:18000/hello
//
// or, built with -tags registries, from Kubernetes:
//
//	go run -tags registries ./examples/hello/front -registry k8s:///default/hello:8888
//
// It answers 503 while there is no server, and says on standard error why. The page at
// /debug/pools/ shows its pool.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/program"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/registry"
	"github.com/minicaptain/multi_connection_pool/examples/internal/hello"
	"github.com/minicaptain/multi_connection_pool/observe/live"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

func main() {
	addr := flag.String("http", "127.0.0.1:8080", "listen address; port 0 picks a free port")
	url := flag.String("registry", registry.Default, "URL of the registry that has the servers")
	servers := flag.String("servers", "", "servers in place of a registry, separated by commas")
	child := flag.Bool("child", false, "end when standard input ends")
	flag.Parse()
	program.Run(*child, func(ctx context.Context) error {
		watcher, err := watch(*url, *servers)
		if err != nil {
			return err
		}
		return serve(ctx, *addr, watcher, os.Stdout, os.Stderr)
	})
}

// watch returns the watcher of a list of servers, or else of a registry.
func watch(url, servers string) (core.Watcher, error) {
	if servers != "" {
		return static.Watcher(strings.Split(servers, ",")...), nil
	}
	return registry.Mux().Open(url)
}

// serve answers requests until ctx is done. It prints "ready" and its address. What is wrong
// with the servers goes to log.
func serve(ctx context.Context, addr string, servers core.Watcher, out, log io.Writer) error {
	page := live.New()
	defer page.Close()
	panel := page.Panel("hello")
	pool, err := core.New(servers, thriftpool.Dial(thriftpool.Config{Timeout: time.Second}), //nolint:contextcheck // closed below
		core.WithObserver(observer(log)), core.WithObserver(panel.Observe))
	if err != nil {
		return err
	}
	panel.Show(pool)
	// A second greeting does no harm, so the client repeats a call that was lost.
	client := thriftpool.Client(pool, thriftpool.Idempotent("helloWorld"))
	mux := handler(client)
	mux.Handle("GET /debug/pools/", page)
	front := &http.Server{Handler: mux, ReadHeaderTimeout: 2 * time.Second}
	front.RegisterOnShutdown(page.Close)

	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, pool.Close(ctx))
	}
	fmt.Fprintln(out, "ready", ln.Addr())
	go warn(ctx, pool, log) // ends with ctx, or before
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() { // serve waits for it below
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		// The pool closes last, so that requests under way finish their calls.
		ended <- errors.Join(front.Shutdown(ctx), pool.Close(ctx))
	})
	if err := front.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// observer writes down what is wrong with the registry and with servers, and that it is over.
func observer(log io.Writer) func(core.Event) {
	var lines sync.Mutex
	return func(ev core.Event) {
		lines.Lock()
		defer lines.Unlock()
		switch ev.Kind { //nolint:exhaustive // the others are no news
		case core.EventWatchLost, core.EventWatchFailing, core.EventEndpointRejected, core.EventEndpointDown:
			fmt.Fprintf(log, "front: %v %s: %v\n", ev.Kind, ev.Endpoint, ev.Err)
		case core.EventEndpointUp, core.EventEndpointAdded, core.EventEndpointRemoved:
			fmt.Fprintf(log, "front: %v %s\n", ev.Kind, ev.Endpoint)
		case core.EventStateChanged:
			fmt.Fprintf(log, "front: the set of servers is %v\n", ev.State)
		}
	}
}

// warn says so, once, if there is no server for a while.
func warn(ctx context.Context, pool *core.Pool[*thriftpool.Conn], log io.Writer) {
	const patience = 2 * time.Second
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := pool.WaitReady(waiting); err != nil && ctx.Err() == nil {
		fmt.Fprintf(log, "front: requests get 503, there is no server: %v\n", err)
	}
}

// handler calls the service for each request of GET /name.
func handler(client thrift.TClient) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		// A generated client is cheap and not safe for concurrent use.
		service := hello.NewRpcServiceClient(client)
		if err := service.HelloWorld(ctx, r.PathValue("name")); err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		_, _ = io.WriteString(w, "OK\n") // an error if the browser is gone
	})
	return mux
}

// status returns the HTTP status for a call that failed.
func status(err error) int {
	var noConn *core.Error
	switch {
	case errors.As(err, &noConn): // no connection to any server
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}
