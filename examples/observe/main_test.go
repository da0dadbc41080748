package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// serveThrift runs a server of the echo service, and returns its address.
func serveThrift(t *testing.T) string {
	t.Helper()
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		t.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(echo.NewEchoProcessor(echo.Service{}), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil), thrift.NewTBinaryProtocolFactoryConf(nil))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }() // ends with Stop
	t.Cleanup(func() {
		_ = server.Stop()
		<-ended //nolint:errcheck // that it was stopped
	})
	return socket.Addr().String()
}

// lines is what was printed.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestCallsOfEachKindAreSeenInEachPlace(t *testing.T) {
	redis := process.Start(t, "redis-server", func(port string) []string { return []string{"--bind", "127.0.0.1", "--port", port, "--save", ""} })
	traced := make(chan string, 1)
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case traced <- r.Header.Get("Traceparent"):
		default:
		}
	}))
	defer web.Close()
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	otel.SetTextMapPropagator(propagation.TraceContext{})

	ctx, stop := context.WithCancel(t.Context())
	var out, log lines
	ended := make(chan error, 1)
	go func() { // ends with stop
		ended <- run(ctx, serveThrift(t), web.Listener.Addr().String(), redis.Addr, "127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil)), &out)
	}()
	until(t, "there are spans of each kind", func() bool {
		names := map[string]bool{}
		for _, s := range spans.GetSpans() {
			names[s.Name] = true
		}
		return slices.Equal(slices.Sorted(maps.Keys(names)), []string{"Echo/echo", "GET", "PING cache"})
	})
	if p := <-traced; len(p) != 55 {
		t.Errorf("the HTTP server is told of the trace %q", p)
	}

	var scrape string
	until(t, "Prometheus sees the calls", func() bool {
		_, url, _ := strings.Cut(strings.TrimSpace(out.String()), "metrics at ")
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		scrape = string(text)
		return err == nil && strings.Contains(scrape, `pool="cache"`) && !strings.Contains(scrape, "multipool_calls_total{outcome=\"ok\",pool=\"cache\"} 0\n")
	})
	for _, name := range []string{"echo", "web", "cache"} {
		if n := strings.Count(scrape, fmt.Sprintf(`multipool_calls_total{outcome="ok",pool=%q}`, name)); n != 1 || strings.Contains(scrape, fmt.Sprintf("multipool_calls_total{outcome=\"ok\",pool=%q} 0\n", name)) {
			t.Errorf("Prometheus sees no calls of pool %s", name)
		}
		for _, want := range []string{`msg="state changed" pool=` + name + " state=ready", `msg="endpoint added" pool=` + name} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %s", want)
			}
		}
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			got[m.Name] = true
		}
	}
	for _, name := range []string{"http.client.request.duration", "rpc.client.call.duration", "db.client.operation.duration", "db.client.connection.count", "multipool.endpoint.count"} {
		if !got[name] {
			t.Errorf("OpenTelemetry has no %s", name)
		}
	}
	stop()
	if err := <-ended; err != nil || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%v; the log is\n%s", err, log.String())
	}
}

func TestMain(m *testing.M) { process.Main(m, main) }

func TestProgramEndsWithAnErrorWhereItCannotListen(t *testing.T) {
	if status, _, last := process.Self(t, nil, "-metrics", "nowhere:x"); status != 1 || last == "" {
		t.Errorf("exit status %d, last line %q", status, last)
	}
}
