package otelobserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	otelobserver "github.com/minicaptain/multi_connection_pool/observe/otel"
	"github.com/minicaptain/multi_connection_pool/protocol/httppool"
	"github.com/minicaptain/multi_connection_pool/retry"
)

const schema = "https://opentelemetry.io/schemas/1.43.0"

// sdk is an SDK that keeps what it gets.
type sdk struct {
	spans   *tracetest.InMemoryExporter
	tracers *sdktrace.TracerProvider
	reader  *metric.ManualReader
	meters  *metric.MeterProvider
}

func newSDK(tb testing.TB) *sdk {
	tb.Helper()
	s := &sdk{spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	s.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	s.meters = metric.NewMeterProvider(metric.WithReader(s.reader))
	tb.Cleanup(func() {
		if err := errors.Join(s.tracers.Shutdown(context.Background()), s.meters.Shutdown(context.Background())); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func (s *sdk) observe(tb testing.TB, name string, p otelobserver.Pool, kind otelobserver.Kind) {
	tb.Helper()
	stop, err := otelobserver.Observe(name, p, kind, otelobserver.WithTracerProvider(s.tracers), otelobserver.WithMeterProvider(s.meters))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Error(err)
		}
	})
}

// text is attributes as one text, in the order of their keys.
func text(attrs []attribute.KeyValue) string {
	set := attribute.NewSet(attrs...)
	var all []string
	for _, kv := range set.ToSlice() {
		if kv.Key != "multipool.wait" {
			all = append(all, fmt.Sprintf("%s=%v", kv.Key, kv.Value.String()))
		}
	}
	return strings.Join(all, " ")
}

// metrics returns the value, or number of measurements, by name, unit and
// attributes.
func (s *sdk) metrics(tb testing.TB) map[string]int64 {
	tb.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(context.Background(), &all); err != nil {
		tb.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.SchemaURL != schema {
			tb.Errorf("the schema is %q", scope.Scope.SchemaURL)
		}
		for _, m := range scope.Metrics {
			note := func(set attribute.Set, v int64) { got[m.Name+" "+m.Unit+" "+text(set.ToSlice())] = v }
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					note(p.Attributes, int64(p.Count))
					if p.Bounds[0] <= 0 || p.Bounds[0] > 0.01 {
						tb.Errorf("%s: the buckets are %v, not for seconds", m.Name, p.Bounds)
					}
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					note(p.Attributes, p.Value)
				}
			default:
				tb.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return got
}

func want(tb testing.TB, got, want map[string]int64) {
	tb.Helper()
	for name, v := range want {
		if n, ok := got[name]; !ok || n != v {
			tb.Errorf("%s is %d (%t), want %d", name, n, ok, v)
		}
	}
	if tb.Failed() {
		for _, name := range slices.Sorted(maps.Keys(got)) {
			tb.Logf("%s: %d", name, got[name])
		}
	}
}

type conn struct{}

func (conn) Close() error { return nil }

func newPool(tb testing.TB, addrs ...string) *core.Pool[conn] {
	tb.Helper()
	p, err := core.New(static.Watcher(addrs...), core.DialFunc[conn](func(context.Context, core.Endpoint) (conn, error) { return conn{}, nil }))
	if err != nil {
		tb.Fatal(err)
	}
	closeAtEnd(tb, p)
	return p
}

func closeAtEnd(tb testing.TB, p interface {
	Close(ctx context.Context) error
},
) {
	tb.Helper()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
}

func TestAttemptsOfHTTPAreSpansAndMetricsByTheConventions(t *testing.T) {
	s := newSDK(t)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	var bad atomic.Bool
	parents := make(chan string, 9)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parents <- r.Header.Get("Traceparent")
		if bad.Swap(false) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	second := httptest.NewServer(server.Config.Handler)
	defer second.Close()
	addrs := map[string]bool{server.Listener.Addr().String(): true, second.Listener.Addr().String(): true}
	client, err := httppool.NewClient(map[string]core.Watcher{"users": static.Watcher(slices.Collect(maps.Keys(addrs))...)}, httppool.WithHeader(otelobserver.Inject))
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, client)
	s.observe(t, "users", client.Pool("users"), otelobserver.HTTP())
	get := func(ctx context.Context, method string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, "http://u:p@users/42?sig=secret&q=1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	bad.Store(true)
	ctx, outer := s.tracers.Tracer("test").Start(t.Context(), "outer")
	get(ctx, http.MethodGet)
	outer.End()
	get(t.Context(), "PURGE")
	spans := s.spans.GetSpans()
	url := "http://REDACTED:REDACTED@users/42?q=1&sig=REDACTED"
	for i, w := range []struct {
		name, attrs string
		status      codes.Code
	}{
		{"GET", "error.type=503 http.request.method=GET http.response.status_code=503 server.address=users server.port=80 url.full=" + url, codes.Error},
		{"GET", "http.request.method=GET http.request.resend_count=1 http.response.status_code=200 server.address=users server.port=80 url.full=" + url, codes.Unset},
		{"outer", "", codes.Unset},
		{"HTTP", "http.request.method=_OTHER http.request.method_original=PURGE http.response.status_code=200 server.address=users server.port=80 url.full=" + url, codes.Unset},
	} {
		if i >= len(spans) {
			t.Fatalf("%d spans", len(spans))
		}
		sp := spans[i]
		var rest []attribute.KeyValue
		peer := map[attribute.Key]string{}
		for _, kv := range sp.Attributes {
			if strings.HasPrefix(string(kv.Key), "network.peer.") {
				peer[kv.Key] = kv.Value.String()
			} else {
				rest = append(rest, kv)
			}
		}
		if sp.Name != w.name || text(rest) != w.attrs || sp.Status.Code != w.status {
			t.Errorf("span %d is %q (%v): %s\nwant %q: %s", i, sp.Name, sp.Status, text(rest), w.name, w.attrs)
		}
		if w.name == "outer" {
			continue
		}
		if sp.SpanKind != trace.SpanKindClient || !addrs[peer["network.peer.address"]+":"+peer["network.peer.port"]] || sp.InstrumentationScope.SchemaURL != schema {
			t.Errorf("span %d is of kind %v, peer %v, schema %q", i, sp.SpanKind, peer, sp.InstrumentationScope.SchemaURL)
		}
		if i < 2 && sp.Parent.SpanID() != outer.SpanContext().SpanID() {
			t.Errorf("the parent of span %d is not that of its call", i)
		}
		if p := <-parents; !strings.Contains(p, sp.SpanContext.SpanID().String()) {
			t.Errorf("the server of span %d is told of %q", i, p)
		}
	}
	want(t, s.metrics(t), map[string]int64{
		"http.client.request.duration s error.type=503 http.request.method=GET http.response.status_code=503 server.address=users server.port=80": 1,
		"http.client.request.duration s http.request.method=GET http.response.status_code=200 server.address=users server.port=80":                1,
		"http.client.request.duration s http.request.method=_OTHER http.response.status_code=200 server.address=users server.port=80":             1,
		"multipool.connection.count {connection} multipool.connection.state=used multipool.pool.name=users":                                       0,
		"multipool.endpoint.count {endpoint} multipool.endpoint.state=available multipool.pool.name=users":                                        2,
		"multipool.endpoint.count {endpoint} multipool.endpoint.state=down multipool.pool.name=users":                                             0,
		"multipool.retries {attempt} multipool.pool.name=users":                                                                                   1,
		"multipool.ejections {ejection} multipool.pool.name=users":                                                                                0,
		"multipool.dials {connection} multipool.dial.result=failed multipool.pool.name=users":                                                     0,
	})
}

func TestCallsOfADatabaseAreSpansAndMetricsByTheConventions(t *testing.T) {
	s := newSDK(t)
	p := newPool(t, "10.0.0.1:6379")
	s.observe(t, "cache", p, otelobserver.DB("redis"))
	for _, err := range []error{nil, io.EOF, context.DeadlineExceeded, context.Canceled} {
		if got := p.Do(t.Context(), func(ctx context.Context, _ conn) error {
			if !trace.SpanFromContext(ctx).IsRecording() {
				t.Error("the function has no span in its context")
			}
			return err
		}, core.WithMethod("GET")); !errors.Is(got, err) {
			t.Fatal(got)
		}
	}
	if err := p.Do(t.Context(), func(context.Context, conn) error { return nil }); err != nil {
		t.Fatal(err)
	}
	spans := s.spans.GetSpans()
	for i, w := range []string{
		"GET cache: db.operation.name=GET db.system.name=redis network.peer.address=10.0.0.1 network.peer.port=6379 server.address=cache",
		"GET cache: db.operation.name=GET db.system.name=redis error.type=*errors.errorString network.peer.address=10.0.0.1 network.peer.port=6379 server.address=cache",
		"GET cache: db.operation.name=GET db.system.name=redis error.type=timeout network.peer.address=10.0.0.1 network.peer.port=6379 server.address=cache",
		"GET cache: db.operation.name=GET db.system.name=redis error.type=canceled network.peer.address=10.0.0.1 network.peer.port=6379 server.address=cache",
		"redis: db.system.name=redis network.peer.address=10.0.0.1 network.peer.port=6379 server.address=cache",
	} {
		if got := spans[i].Name + ": " + text(spans[i].Attributes); got != w {
			t.Errorf("span %d is\n%s, want\n%s", i, got, w)
		}
	}
	want(t, s.metrics(t), map[string]int64{
		"db.client.operation.duration s db.operation.name=GET db.system.name=redis server.address=cache":                    1,
		"db.client.operation.duration s db.operation.name=GET db.system.name=redis error.type=timeout server.address=cache": 1,
		"db.client.operation.duration s db.system.name=redis server.address=cache":                                          1,
		"db.client.connection.count {connection} db.client.connection.pool.name=cache db.client.connection.state=idle":      1,
		"db.client.connection.count {connection} db.client.connection.pool.name=cache db.client.connection.state=used":      0,
		"db.client.connection.pending_requests {request} db.client.connection.pool.name=cache":                              0,
		"db.client.connection.timeouts {timeout} db.client.connection.pool.name=cache":                                      0,
		"db.client.connection.wait_time s db.client.connection.pool.name=cache":                                             5,
		"multipool.dials {connection} multipool.dial.result=ok multipool.pool.name=cache":                                   int64(p.Stats().Metrics.Dials),
	})
}

func TestRemoteProcedureCallsAreSpansAndMetricsByTheConventions(t *testing.T) {
	s := newSDK(t)
	p := newPool(t, "10.0.0.1:9090")
	s.observe(t, "echo", p, otelobserver.RPC("thrift", "Echo"))
	if _, err := retry.Run(t.Context(), p.Retrier(), retry.Call{Name: "say"}, func(_ context.Context, a retry.Attempt) (int, retry.Result, error) {
		a.Leased("unix:/run/echo")
		return 0, retry.Result{Endpoint: "unix:/run/echo"}, nil
	}); err != nil {
		t.Fatal(err)
	}
	sp := s.spans.GetSpans()[0]
	if got := sp.Name + ": " + text(sp.Attributes); got != "Echo/say: network.peer.address=/run/echo network.transport=unix rpc.method=Echo/say rpc.system.name=thrift server.address=echo" {
		t.Error(got)
	}
	if sp.EndTime.Before(sp.StartTime) {
		t.Errorf("it lasts from %v to %v", sp.StartTime, sp.EndTime)
	}
	want(t, s.metrics(t), map[string]int64{"rpc.client.call.duration s rpc.method=Echo/say rpc.system.name=thrift server.address=echo": 1})
}

func TestMeasurementsHaveTheirSpanAsAnExemplar(t *testing.T) {
	s := newSDK(t)
	p := newPool(t, "10.0.0.1:1")
	s.observe(t, "users", p, otelobserver.RPC("thrift", ""))
	if err := p.Do(t.Context(), func(context.Context, conn) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	id := s.spans.GetSpans()[0].SpanContext.SpanID()
	for _, m := range all.ScopeMetrics[0].Metrics {
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok {
			if e := h.DataPoints[0].Exemplars; len(e) != 1 || !slices.Equal(e[0].SpanID, id[:]) {
				t.Errorf("%s has the exemplars %v, want that of span %v", m.Name, e, id)
			}
		}
	}
}

func TestSecondOfTwoHedgedCallsIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK(t)
		p := newPool(t, "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
		s.observe(t, "users", p, otelobserver.RPC("thrift", ""))
		var slow atomic.Bool
		call := func() {
			t.Helper()
			if _, err := core.Call(t.Context(), p, func(ctx context.Context, _ conn) (int, error) {
				d := 10 * time.Millisecond
				if slow.Swap(false) {
					d = time.Minute
				}
				select {
				case <-time.After(d):
				case <-ctx.Done():
				}
				return 0, ctx.Err()
			}, core.Hedged()); err != nil {
				t.Fatal(err)
			}
		}
		for range 500 {
			call()
		}
		time.Sleep(time.Second)
		s.spans.Reset()
		slow.Store(true)
		call()
		synctest.Wait()
		var marked []string
		for _, sp := range s.spans.GetSpans() {
			marked = append(marked, fmt.Sprint(strings.Contains(text(sp.Attributes), "multipool.hedged=true"), " ", sp.Status.Code == codes.Error))
		}
		if slices.Sort(marked); !slices.Equal(marked, []string{"false true", "true false"}) {
			t.Errorf("%q: want a first that is canceled, and a second that is marked", marked)
		}
	})
}

func TestAttemptWithoutAConnectionIsAnError(t *testing.T) {
	s := newSDK(t)
	p := newPool(t, "10.0.0.1:1")
	s.observe(t, "users", p, otelobserver.RPC("thrift", ""))
	if err := p.Do(t.Context(), func(context.Context, conn) error { return nil }, core.WithEndpoint("z:1")); !errors.Is(err, core.ErrNoEndpoint) {
		t.Fatal(err)
	}
	sp := s.spans.GetSpans()[0]
	if got := text(sp.Attributes); got != "error.type=github.com/minicaptain/multi_connection_pool/core.Error rpc.system.name=thrift server.address=users" && got != "error.type=*core.Error rpc.system.name=thrift server.address=users" {
		t.Error(got)
	}
	if sp.Status.Code != codes.Error || sp.Status.Description == "" {
		t.Errorf("the status is %v", sp.Status)
	}
}

func TestZeroKindIsAnError(t *testing.T) {
	p := newPool(t, "10.0.0.1:1")
	if _, err := otelobserver.Observe("users", p, otelobserver.Kind{}); err == nil || p.Stats().Metrics != nil {
		t.Errorf("error %v", err)
	}
}

func TestNothingIsReadOfAPoolAfterStop(t *testing.T) {
	s := newSDK(t)
	p := newPool(t, "10.0.0.1:1")
	stop, err := otelobserver.Observe("users", p, otelobserver.DB("redis"), otelobserver.WithTracerProvider(s.tracers), otelobserver.WithMeterProvider(s.meters))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.metrics(t)) == 0 {
		t.Error("there are no metrics before")
	}
	if err := stop(); err != nil || len(s.metrics(t)) != 0 {
		t.Errorf("%v, and metrics: %v", err, s.metrics(t))
	}
}
