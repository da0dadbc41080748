// Command observe makes calls of three kinds through pools, and shows all of them in
// logs, to Prometheus and to OpenTelemetry:
//
//	go run ./examples/observe -thrift 127.0.0.1:9091 -http 127.0.0.1:8080 -redis 127.0.0.1:6379
//	curl http://127.0.0.1:9100/metrics
//
// It makes a call of each kind every second, until it is interrupted. Spans and
// metrics of OpenTelemetry go to the SDK that a program has configured; this one has
// none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	otelobserver "github.com/minicaptain/multi_connection_pool/observe/otel"
	promobserver "github.com/minicaptain/multi_connection_pool/observe/prometheus"
	slogobserver "github.com/minicaptain/multi_connection_pool/observe/slog"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
	"github.com/minicaptain/multi_connection_pool/protocol/netpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// pools are a pool of each kind.
type pools struct {
	thrift *core.Pool[*thriftpool.Conn]
	http   *httppool.Client
	redis  *core.Pool[*netpool.Conn]
}

// open makes the pools. All that makes them seen is here: events become lines of a
// log by an option, all else is attached to what was made.
func open(thrift, web, redis string, log *slog.Logger, registry prometheus.Registerer) (p pools, err error) {
	var errs [9]error
	logged := func(name string) core.Option { return core.WithObserver(slogobserver.New(log.With("pool", name))) }
	p.thrift, errs[0] = core.New(static.Watcher(thrift), thriftpool.Dial(thriftpool.Config{}), logged("echo"))
	p.http, errs[1] = httppool.NewClient(map[string]core.Watcher{"web": static.Watcher(web)},
		httppool.WithPool(logged("web")), httppool.WithHeader(otelobserver.Inject))
	p.redis, errs[2] = core.New(static.Watcher(redis), netpool.Dial(netpool.Config{}), logged("cache"))
	if err := errors.Join(errs[:3]...); err != nil {
		return p, err
	}
	metrics := promobserver.New()
	errs[3] = registry.Register(metrics)
	for i, of := range []struct {
		name string
		pool otelobserver.Pool
		kind otelobserver.Kind
	}{
		{"echo", p.thrift, otelobserver.RPC("thrift", "Echo")},
		{"web", p.http.Pool("web"), otelobserver.HTTP()},
		{"cache", p.redis, otelobserver.DB("redis")},
	} {
		_, err := otelobserver.Observe(of.name, of.pool, of.kind)
		errs[4+i] = errors.Join(metrics.Add(of.name, of.pool), err)
	}
	return p, errors.Join(errs[:]...)
}

// call makes a call of each kind.
func (p pools) call(ctx context.Context) error {
	_, err1 := echo.NewEchoClient(thriftpool.Client(p.thrift)).Echo(ctx, "hello")
	return errors.Join(err1, p.get(ctx), p.ping(ctx))
}

func (p pools) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://web/", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func (p pools) ping(ctx context.Context) error {
	return netpool.Do(ctx, p.redis, func(c *netpool.Conn) error {
		_, _ = c.WriteString("PING\r\n") // reading has the error
		line, err := c.ReadString('\n')
		if err == nil && line != "+PONG\r\n" {
			err = fmt.Errorf("not a PONG: %q", line)
		}
		return err
	}, core.WithMethod("PING"))
}

func (p pools) close(ctx context.Context) error {
	return errors.Join(p.thrift.Close(ctx), p.http.Close(ctx), p.redis.Close(ctx))
}

func main() {
	thrift := flag.String("thrift", "127.0.0.1:9091", "address of a server of the echo service")
	web := flag.String("http", "127.0.0.1:8080", "address of an HTTP server")
	redis := flag.String("redis", "127.0.0.1:6379", "address of a Redis server")
	metrics := flag.String("metrics", "127.0.0.1:9100", "where Prometheus finds the metrics")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *thrift, *web, *redis, *metrics, log, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run makes calls until ctx is done. It prints the address of the metrics.
func run(ctx context.Context, thrift, web, redis, metrics string, log *slog.Logger, out io.Writer) error {
	registry := prometheus.NewRegistry()
	p, err := open(thrift, web, redis, log, registry) //nolint:contextcheck // closed below
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", metrics)
	if err != nil {
		return errors.Join(err, p.close(ctx))
	}
	server := &http.Server{Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(ln) }() // ends with Close below
	fmt.Fprintf(out, "metrics at http://%s/metrics\n", ln.Addr())
	for tick := time.NewTicker(time.Second); ctx.Err() == nil; {
		if err := p.call(ctx); err != nil && ctx.Err() == nil {
			log.Error("calls failed", "error", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(server.Close(), p.close(end))
}
