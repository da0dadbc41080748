package promobserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	promobserver "github.com/minicaptain/multi_connection_pool/observe/prometheus"
)

type conn struct{}

func (conn) Close() error { return nil }

// dial opens connections to all servers but "down".
func dial(_ context.Context, e core.Endpoint) (conn, error) {
	if e.Addr == "down:1" {
		return conn{}, errors.New("connection refused")
	}
	return conn{}, nil
}

func newPool(tb testing.TB, w core.Watcher, opts ...core.Option) *core.Pool[conn] {
	tb.Helper()
	p, err := core.New(w, core.DialFunc[conn](dial), append(opts, core.RemovalGrace(0))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// registry returns a collector with pools, and the registry that has it.
func registry(tb testing.TB, pools map[string]promobserver.Pool, opts ...promobserver.Option) (*prometheus.Registry, *promobserver.Collector) {
	tb.Helper()
	c, r := promobserver.New(opts...), prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		tb.Fatal(err)
	}
	for name, p := range pools {
		if err := c.Add(name, p); err != nil {
			tb.Fatal(err)
		}
	}
	return r, c
}

func do(tb testing.TB, p *core.Pool[conn], n int, err error, opts ...core.CallOption) {
	tb.Helper()
	for range n {
		if got := p.Do(tb.Context(), func(context.Context, conn) error {
			time.Sleep(50 * time.Microsecond) // what a server takes
			return err
		}, opts...); !errors.Is(got, err) {
			tb.Fatalf("%v, want %v", got, err)
		}
	}
}

// series is the value of each series with its labels; for histograms and
// summaries their count.
func series(tb testing.TB, g prometheus.Gatherer) map[string]float64 {
	tb.Helper()
	families, err := g.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()) + float64(m.GetSummary().GetSampleCount())
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return all
}

// busy is a pool with calls of every kind, of three servers, one of which is down.
func busy(tb testing.TB) *core.Pool[conn] {
	tb.Helper()
	p := newPool(tb, static.Watcher("a:1", "b:1", "down:1"), core.WithoutOutlierDetection())
	p.Measure()
	do(tb, p, 20, nil, core.WithEndpoint("a:1"))
	do(tb, p, 3, io.EOF, core.WithEndpoint("b:1"))
	do(tb, p, 2, context.Canceled, core.WithEndpoint("b:1"))
	if _, err := p.Get(tb.Context(), core.WithEndpoint("z:1")); !errors.Is(err, core.ErrNoEndpoint) {
		tb.Fatal(err)
	}
	if _, err := p.Get(tb.Context(), core.WithEndpoint("down:1")); !errors.Is(err, core.ErrUnavailable) {
		tb.Fatal(err)
	}
	return p
}

func TestSeriesHaveTheValuesOfStats(t *testing.T) {
	p := busy(t)
	r, _ := registry(t, map[string]promobserver.Pool{"users": p})
	got := series(t, r)
	for name, want := range map[string]float64{
		`multipool_calls_total{outcome=ok,pool=users}`:                            20,
		`multipool_calls_total{outcome=failure,pool=users}`:                       3,
		`multipool_calls_total{outcome=canceled,pool=users}`:                      2,
		`multipool_call_duration_seconds{outcome=ok,pool=users}`:                  20,
		`multipool_call_duration_seconds{outcome=other,pool=users}`:               5,
		`multipool_calls_without_connection_total{pool=users,reason=no_endpoint}`: 1,
		`multipool_calls_without_connection_total{pool=users,reason=unavailable}`: 1,
		`multipool_endpoints{pool=users,state=available}`:                         2,
		`multipool_endpoints{pool=users,state=down}`:                              1,
		`multipool_registry_state{pool=users,state=ready}`:                        1,
		`multipool_registry_state{pool=users,state=stale}`:                        0,
		`multipool_leases_total{pool=users}`:                                      25,
		`multipool_endpoint_calls_total{endpoint=a:1,outcome=ok,pool=users}`:      20,
		`multipool_endpoint_calls_total{endpoint=b:1,outcome=failure,pool=users}`: 3,
		`multipool_endpoint_down{endpoint=down:1,pool=users}`:                     1,
		`multipool_endpoint_down{endpoint=a:1,pool=users}`:                        0,
		`multipool_endpoint_dials_total{endpoint=a:1,pool=users,result=ok}`:       1,
		`multipool_endpoints_omitted{pool=users}`:                                 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, want)
		}
	}
	st := p.Stats()
	if v := got[`multipool_wait_duration_seconds{pool=users}`]; v != float64(st.Waits) || v == 0 {
		t.Errorf("%v waits, want %v", v, st.Waits)
	}
	if v := got[`multipool_registry_state_changed_timestamp_seconds{pool=users}`]; math.Abs(v-float64(st.Since.UnixMilli())/1000) > 0.01 {
		t.Errorf("the state is known since %v, want %v", v, st.Since)
	}
}

func TestClassicAndNativeBucketsSayTheSame(t *testing.T) {
	r, _ := registry(t, map[string]promobserver.Pool{"users": busy(t)})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			if h == nil || h.GetSampleCount() == 0 {
				continue
			}
			seen++
			native := h.GetZeroCount()
			index, n := int32(0), int64(0)
			below := map[int32]uint64{} // cumulative, by index
			deltas := h.GetPositiveDelta()
			for _, span := range h.GetPositiveSpan() {
				index += span.GetOffset()
				for range span.GetLength() {
					n, deltas = n+deltas[0], deltas[1:]
					native += uint64(n)
					below[index] = native
					index++
				}
			}
			if native != h.GetSampleCount() || h.GetSchema() != 3 || h.GetSampleSum() <= 0 {
				t.Errorf("%s: %d in native buckets of schema %d, %d in all, sum %v", f.GetName(), native, h.GetSchema(), h.GetSampleCount(), h.GetSampleSum())
			}
			if len(h.GetBucket()) != 20 {
				t.Errorf("%s: %d classic buckets", f.GetName(), len(h.GetBucket()))
			}
			for _, b := range h.GetBucket() {
				want, at := h.GetZeroCount(), int32(math.Round(8*math.Log2(b.GetUpperBound())))
				for _, i := range slices.Sorted(maps.Keys(below)) {
					if i <= at {
						want = below[i]
					}
				}
				if b.GetCumulativeCount() != want {
					t.Errorf("%s: %d up to %v s, want %d", f.GetName(), b.GetCumulativeCount(), b.GetUpperBound(), want)
				}
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d histograms are not empty, want 3", seen)
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	r, _ := registry(t, map[string]promobserver.Pool{"users": busy(t), "orders": busy(t)})
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	server := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r, ErrorHandling: promhttp.HTTPErrorOnError}))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, text)
	}
	for _, want := range []string{
		`multipool_call_duration_seconds_bucket{outcome="ok",pool="users",le="1"} 20`, `multipool_call_duration_seconds_bucket{outcome="ok",pool="users",le="+Inf"} 20`,
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the text has no %s", want)
		}
	}
	promtool(t, bytes.NewReader(text), "check", "metrics")
}

// missing skips a test, or fails it where there must be promtool.
func missing(t *testing.T) {
	t.Helper()
	const what = "no promtool: install Debian's package prometheus"
	if os.Getenv("REQUIRE_PROMTOOL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// promtool runs promtool, and skips what is left of the test where there is none.
func promtool(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		missing(t)
	}
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("error")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestTwoPoolsOfOneNameAreAnError(t *testing.T) {
	p, q := newPool(t, static.Watcher("a:1")), newPool(t, static.Watcher("b:1"))
	r, c := registry(t, map[string]promobserver.Pool{"users": p})
	if err := c.Add("users", q); err == nil || err.Error() != `promobserver: pool "users": there is a pool of that name already` {
		t.Errorf("error %v", err)
	}
	for name, p := range map[string]promobserver.Pool{"": q, "\xff": q, "nil": nil} {
		if err := c.Add(name, p); err == nil {
			t.Errorf("a pool named %q is added", name)
		}
	}
	if q.Stats().Metrics != nil {
		t.Error("a pool that was not added is measured")
	}
	if err := r.Register(promobserver.New()); err == nil {
		t.Error("two collectors in one registry are no error")
	}
	c.Remove("users")
	if err := c.Add("users", q); err != nil {
		t.Error(err)
	}
}

// The servers change every time, all of them, hundreds of times.
func TestFleetThatChangesAllItsServersStaysBounded(t *testing.T) {
	eps := func(round int) (eps []discovery.Endpoint) {
		for i := range 5 {
			eps = append(eps, discovery.Endpoint{Addr: fmt.Sprintf("server-%d-%d:1", round, i)})
		}
		return eps
	}
	list := static.NewList(eps(0)...)
	p := newPool(t, list)
	r, _ := registry(t, map[string]promobserver.Pool{"users": p})
	do(t, p, 10, nil)
	first := series(t, r)
	calls := first[`multipool_calls_total{outcome=ok,pool=users}`]
	for round := range 100 {
		if err := list.Set(eps(round + 1)...); err != nil {
			t.Fatal(err)
		}
		for !slices.ContainsFunc(p.Stats().Endpoints, func(e core.EndpointStats) bool { return e.Endpoint.Addr == eps(round + 1)[0].Addr }) {
			time.Sleep(time.Millisecond)
		}
		do(t, p, 10, nil)
		now := series(t, r)
		if len(now) != len(first) {
			t.Fatalf("%d series in round %d, %d at first", len(now), round, len(first))
		}
		if n := now[`multipool_calls_total{outcome=ok,pool=users}`]; n != calls+10 {
			t.Fatalf("%v calls after %v and 10", n, calls)
		}
		calls += 10
	}
}

func TestLargePoolHasNoSeriesPerEndpoint(t *testing.T) {
	var addrs []string
	for i := range 30 {
		addrs = append(addrs, fmt.Sprintf("10.0.0.%d:1", i))
	}
	p := newPool(t, static.Watcher(addrs...))
	do(t, p, 1, nil)
	small, _ := registry(t, map[string]promobserver.Pool{"users": p}, promobserver.MaxEndpoints(29))
	large, _ := registry(t, map[string]promobserver.Pool{"users": p}, promobserver.MaxEndpoints(30))
	s, l := series(t, small), series(t, large)
	if s[`multipool_endpoints_omitted{pool=users}`] != 30 || len(s) > 50 {
		t.Errorf("%d series; of the endpoints, %v are omitted", len(s), s[`multipool_endpoints_omitted{pool=users}`])
	}
	if perEndpoint := float64(len(l)-len(s)) / 30; perEndpoint < 15 || perEndpoint > 25 {
		t.Errorf("%v series per endpoint", perEndpoint)
	}
}

func TestScrapesAndPoolsComeAndGoAtTheSameTime(t *testing.T) {
	p := busy(t)
	r, c := registry(t, nil)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 20 {
				name := fmt.Sprint("pool", i)
				if err := c.Add(name, p); err != nil {
					t.Error(err)
				}
				if _, err := r.Gather(); err != nil {
					t.Error(err)
				}
				c.Remove(name)
			}
		})
	}
	all.Wait()
	if n := len(series(t, r)); n != 0 {
		t.Errorf("%d series of no pool", n)
	}
}

// borrowed is a Pool of somebody else's, whose addresses may be anything.
type borrowed struct{}

func (borrowed) Measure() {}
func (borrowed) Stats() core.Stats {
	return core.Stats{Endpoints: []core.EndpointStats{{Endpoint: core.Endpoint{Addr: "\xff:1"}}, {Endpoint: core.Endpoint{Addr: `"}` + "\n:1"}}}}
}

func TestStrangeAddressesDoNotBreakAScrape(t *testing.T) {
	r, _ := registry(t, map[string]promobserver.Pool{"users": borrowed{}})
	got := series(t, r)
	for _, addr := range []string{"\uFFFD:1", `"}` + "\n:1"} {
		if _, ok := got[`multipool_endpoint_down{endpoint=`+addr+`,pool=users}`]; !ok {
			t.Errorf("no series of %q", addr)
		}
	}
}
