//go:build go1.26

package httppool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// enough is how long a test waits for something that should happen at once.
const enough = 10 * time.Second

// newPool returns a pool whose connections carry one request at a time, unless
// opts say otherwise. A shared connection counts as in use by all its callers
// while the pool offers it to those who wait, and tests count what is in use.
func newPool(tb testing.TB, conf Config, addrs []string, opts ...core.Option) *core.Pool[*Conn] {
	tb.Helper()
	return poolOf(tb, conf, static.Watcher(addrs...), append([]core.Option{core.MaxConcurrentCalls(1)}, opts...)...)
}

// poolOf returns a pool that the test closes. Closing must not take long.
func poolOf(tb testing.TB, conf Config, w core.Watcher, opts ...core.Option) *core.Pool[*Conn] {
	tb.Helper()
	pool, err := core.New(w, Dial(conf), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return pool
}

// ready waits until there is a connection.
func ready(tb testing.TB, pool *core.Pool[*Conn]) {
	tb.Helper()
	if err := pool.WaitReady(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// clientOf returns a client that has the pool registered as echo.
func clientOf(tb testing.TB, pool *core.Pool[*Conn], opts ...Option) *http.Client {
	tb.Helper()
	var t Transport
	if err := t.Register("echo", pool, opts...); err != nil {
		tb.Fatal(err)
	}
	return t.Client()
}

// newClient returns a client of a new pool of one connection per server.
func newClient(tb testing.TB, conf Config, addrs []string, opts ...Option) *http.Client {
	tb.Helper()
	return clientOf(tb, newPool(tb, conf, addrs, core.MaxActive(1)), opts...)
}

// server runs h on a real server until the test ends.
func server(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

func addrOf(s *httptest.Server) string { return s.Listener.Addr().String() }

// get returns the status and the body of a response, or the error of either.
func get(ctx context.Context, c *http.Client, url string) (int, string, error) {
	return call(ctx, c, http.MethodGet, url, "")
}

func call(ctx context.Context, c *http.Client, method, url, body string) (int, string, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// until waits until ok returns true.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(enough); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("not in %v: %s", enough, what)
		}
	}
}

// inUse returns the number of leases.
func inUse(pool *core.Pool[*Conn]) int {
	n := 0
	for _, e := range pool.Stats().Endpoints {
		n += e.InUse
	}
	return n
}

func open(pool *core.Pool[*Conn]) int {
	n := 0
	for _, e := range pool.Stats().Endpoints {
		n += e.Open
	}
	return n
}

// prefer is a balancer that chooses the endpoint with the address addr and calls
// see for each report.
type prefer struct {
	addr string
	see  func(i int, r balance.Report)
}

func (p prefer) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	return favourite{
		slices.IndexFunc(members, func(m balance.Member) bool { return m.Endpoint.Addr == p.addr }), p.see,
	}
}

type favourite struct {
	i   int
	see func(i int, r balance.Report)
}

func (f favourite) Pick(balance.PickInfo) int { return f.i }

func (f favourite) Report(i int, r balance.Report) {
	if f.see != nil {
		f.see(i, r)
	}
}

// closing counts how often a body is closed.
type closing struct {
	io.Reader
	closed atomic.Int32
}

func (c *closing) Close() error {
	c.closed.Add(1)
	return nil
}

// secure runs h on a server with TLS, and returns how to dial it.
func secure(tb testing.TB, h http.HandlerFunc, http2 bool) (*httptest.Server, Config) {
	tb.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	tb.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, Config{HTTP2: http2, TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
}

// h2c runs h on a server that speaks HTTP/2 without TLS.
func h2c(tb testing.TB, h http.HandlerFunc) (*httptest.Server, Config) {
	tb.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	tb.Cleanup(s.Close)
	return s, Config{HTTP2: true}
}

// kind is a protocol and a server that speaks it.
type kind struct {
	scheme string
	addr   string
	conf   Config
	proto  int
}

// kinds runs h on one server of each kind.
func kinds(tb testing.TB, h http.HandlerFunc) map[string]kind {
	tb.Helper()
	s1 := server(tb, h)
	s2, c2 := secure(tb, h, false)
	s3, c3 := secure(tb, h, true)
	s4, c4 := h2c(tb, h)
	return map[string]kind{
		"HTTP1":     {"http", addrOf(s1), Config{}, 1},
		"HTTP1+TLS": {"https", addrOf(s2), c2, 1},
		"HTTP2+TLS": {"https", addrOf(s3), c3, 2},
		"h2c":       {"http", addrOf(s4), c4, 2},
	}
}

// sleep lets time pass. It does not wait for an event.
func sleep(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// contextOf returns the context of the test with a deadline.
func contextOf(tb testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	tb.Helper()
	return context.WithTimeout(tb.Context(), d)
}
