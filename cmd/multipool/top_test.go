package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/observe/live"
)

// running is a program whose page top shows: a pool "users" of a:1 and b:1 that are called.
type running struct {
	fleet *pooltest.Fleet
	pool  *core.Pool[*pooltest.Conn]
	*httptest.Server
}

// newRunning serves the page below prefix, to those whose requests guard lets pass.
func newRunning(t *testing.T, prefix string, guard func(http.Handler) http.Handler) *running {
	t.Helper()
	r := &running{fleet: pooltest.NewFleet("a:1", "b:1")}
	page := live.New()
	panel := page.Panel("users")
	var err error
	if r.pool, err = core.New(r.fleet, r.fleet, core.WithObserver(panel.Observe)); err != nil {
		t.Fatal(err)
	}
	panel.Show(r.pool)
	if err := r.pool.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(prefix, guard(page))
	r.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		page.Close()
		r.Close()
		if err := r.pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r.call(t, 20)
	return r
}

func open(h http.Handler) http.Handler { return h }

// call makes n calls, whatever comes of them.
func (r *running) call(t *testing.T, n int) {
	t.Helper()
	for range n {
		_ = r.pool.Do(t.Context(), func(ctx context.Context, c *pooltest.Conn) error { return c.Call(ctx) })
	}
}

// addr is where the page is, without a scheme.
func (r *running) addr() string { return strings.TrimPrefix(r.URL, "http://") }

func TestTopPrintsOnceWhatThePageShowsWhereThereIsNoTerminal(t *testing.T) {
	page := newRunning(t, "/debug/pools/", open)
	r := run(t, "top", page.addr())
	if r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	contains(t, r.stdout, "users", "a:1", "b:1", "in service", "the set is ready", "endpoint added")
	r = run(t, "top", "-o", "json", "--sort", "address", page.addr())
	var doc live.Document
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil || r.code != 0 {
		t.Fatalf("exit code %d, %v", r.code, err)
	}
	var calls uint64
	for _, e := range page.pool.Stats().Endpoints {
		i := slices.IndexFunc(doc.Pool.Servers, func(s live.Server) bool { return s.Addr == e.Endpoint.Addr })
		if i < 0 || doc.Pool.Servers[i].Calls != e.Calls {
			t.Errorf("%s has %d calls, top shows %v", e.Endpoint.Addr, e.Calls, doc.Pool.Servers)
		}
		calls += e.Calls
	}
	if calls != 20 {
		t.Errorf("%d calls", calls)
	}
	if r := run(t, "top", "-o", "json", "--query", "b:1", page.addr()); strings.Contains(r.stdout, `"addr": "a:1"`) || !strings.Contains(r.stdout, `"addr": "b:1"`) {
		t.Errorf("--query b:1: %s", r.stdout)
	}
}

func TestTopSaysWhyAServerIsOutOfServiceAndWhenNotAllIsWell(t *testing.T) {
	page := newRunning(t, "/debug/pools/", open)
	page.fleet.Server("b:1").Fail(fmt.Errorf("disk \x1b[2Jfull: %w", syscall.ECONNRESET))
	until(t, "the ejection", func() bool {
		page.call(t, 10)
		return slices.ContainsFunc(page.pool.Stats().Endpoints, func(e core.EndpointStats) bool { return e.Ejected })
	})
	r := run(t, "top", page.addr())
	if r.code != 4 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stdout, "1 of 2 servers is ejected", "endpoint ejected b:1", "disk", "full")
}

func TestTopFollowsAProgramInATerminal(t *testing.T) {
	page := newRunning(t, "/debug/pools/", open)
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 16, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	s := attach(t, screen, terminal, []string{"TERM=xterm"}, "top", page.addr())
	s.await(1, "a:1")
	if err := page.fleet.Set(core.Endpoint{Addr: "a:1"}, core.Endpoint{Addr: "c:1"}); err != nil {
		t.Fatal(err)
	}
	s.await(1, "c:1      in service")
	page.CloseClientConnections()
	s.await(1, "not connected: ")
	_, after, _ := strings.Cut(s.printed(), "not connected: ")
	s.await(strings.Count(s.printed(), "All is well")-strings.Count(after, "All is well")+2, "All is well") // it is connected again
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.await(1, "\x1b[?25h\x1b[?1049l") // the cursor and the screen before
}

func TestTopReadsAPageBelowAPrefixAndBehindAuthentication(t *testing.T) {
	var refused atomic.Int64
	page := newRunning(t, "/ops/pools/", func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer s3cret" {
				refused.Add(1)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	t.Setenv("TOP_TOKEN", "Bearer s3cret")
	if r := run(t, "top", "--header", "Authorization=env:TOP_TOKEN", page.URL+"/ops/pools"); r.code != 0 || !strings.Contains(r.stdout, "users") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	r := run(t, "top", page.URL+"/ops/pools/")
	if r.code != 1 || refused.Load() == 0 {
		t.Errorf("exit code %d", r.code)
	}
	contains(t, r.stderr, "401", "may you see it")
}

func TestTopSaysWhatIsWrongWithAnAddress(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer other.Close()
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{1, []string{freeAddr(t)}, "connection refused"},
		{1, []string{other.URL}, "no page of observe/live"},
		{2, []string{"zk://127.0.0.1/x"}, "neither HOST:PORT nor a URL"},
		{2, []string{"http://me:s3cret@127.0.0.1"}, "--header"},
		{2, []string{"--sort", "size", "127.0.0.1:1"}, "none of trouble"},
		{2, []string{"--limit", "0", "127.0.0.1:1"}, "from 1 to 1000"},
		{2, []string{"--header", "s3cret", "127.0.0.1:1"}, "NAME=VALUE"},
		{1, []string{"--header", "A=env:NOT_THERE", "127.0.0.1:1"}, "NOT_THERE"},
	} {
		r := run(t, append([]string{"top"}, c.args...)...)
		if r.code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, r.code, c.code)
		}
		contains(t, r.stderr, c.want)
		if strings.Contains(r.stderr, "s3cret") {
			t.Errorf("it shows the password: %s", r.stderr)
		}
	}
}
