// Command front answers HTTP requests by calling the hello service through a pool. It
// finds the servers in a registry, by default the children of a node in ZooKeeper, or
// in a list:
//
//	go run ./examples/hello/front -http 127.0.0.1:8080 -servers 127.0.0.1:8888,127.0.0.1:8889
//	curl http://127.0.0.1:8080/ada
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
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/program"
	"github.com/minicaptain/multi_connection_pool/examples/hello/internal/registry"
	"github.com/minicaptain/multi_connection_pool/examples/internal/hello"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

func main() {
	addr := flag.String("http", "127.0.0.1:8080", "where to listen; port 0 is any that is free")
	url := flag.String("registry", registry.Default, "where the servers are known")
	servers := flag.String("servers", "", "the servers, separated by commas, in place of a registry")
	child := flag.Bool("child", false, "end when standard input does")
	flag.Parse()
	program.Run(*child, func(ctx context.Context) error {
		watcher, err := watch(*url, *servers)
		if err != nil {
			return err
		}
		return serve(ctx, *addr, watcher, os.Stdout)
	})
}

// watch returns what tells the pool where the servers are.
func watch(url, servers string) (core.Watcher, error) {
	if servers != "" {
		return static.Watcher(strings.Split(servers, ",")...), nil
	}
	return registry.Mux().Open(url)
}

// serve answers until ctx is done. It prints "ready" and its address.
func serve(ctx context.Context, addr string, servers core.Watcher, out io.Writer) error {
	pool, err := core.New(servers, thriftpool.Dial(thriftpool.Config{Timeout: time.Second})) //nolint:contextcheck // it is closed below
	if err != nil {
		return err
	}
	// To be greeted twice harms nobody, so a call that was lost is made again.
	client := thriftpool.Client(pool, thriftpool.Idempotent("helloWorld"))
	front := &http.Server{Handler: handler(client), ReadHeaderTimeout: 2 * time.Second}

	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, pool.Close(ctx))
	}
	fmt.Fprintln(out, "ready", ln.Addr())
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() { // waited for below
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		// No more requests, and then no more calls.
		ended <- errors.Join(front.Shutdown(ctx), pool.Close(ctx))
	})
	if err := front.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// handler calls the service for each request of GET /name.
func handler(client thrift.TClient) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		// A generated client costs nothing, and must not be shared.
		service := hello.NewRpcServiceClient(client)
		if err := service.HelloWorld(ctx, r.PathValue("name")); err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		_, _ = io.WriteString(w, "OK\n") // the browser may be gone
	})
	return mux
}

// status is what a call that failed is in HTTP.
func status(err error) int {
	var none *core.Error
	switch {
	case errors.As(err, &none): // no connection to any server
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}
