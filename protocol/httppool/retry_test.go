//go:build go1.26

package httppool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// answering starts a server that answers with a status, its name and the body of
// the request, and counts the requests.
func answering(tb testing.TB, name string, status int) (addr string, requests *atomic.Int32) {
	tb.Helper()
	requests = new(atomic.Int32)
	s := server(tb, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests.Add(1)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "%s %s", name, b)
	})
	return addrOf(s), requests
}

// first makes a pool choose the server for first attempts.
func first(addr string) core.Option { return core.WithBalancer(prefer{addr: addr}) }

func TestAnIdempotentRequestGoesToAnotherServer(t *testing.T) {
	for _, status := range []int{
		http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	} {
		bad, asked := answering(t, "bad", status)
		good, _ := answering(t, "good", http.StatusOK)
		c := clientOf(t, newPool(t, Config{}, []string{bad, good}, core.MaxActive(1), first(bad)))
		for n, k := range []struct{ method, body, want string }{
			{http.MethodGet, "", "good "},
			{http.MethodPut, "body", "good body"},
			{http.MethodDelete, "", "good "},
			{http.MethodOptions, "", "good "},
		} {
			code, got, err := call(t.Context(), c, k.method, "http://echo/", k.body)
			if code != http.StatusOK || got != k.want || err != nil || asked.Load() != int32(n+1) {
				t.Errorf("%d, %s: %d %q, %v; the bad one was asked %d times", status, k.method, code, got, err, asked.Load())
			}
		}
	}
}

func TestOtherAnswersAndOtherRequestsAreNotRepeated(t *testing.T) {
	for _, k := range []struct {
		method string
		status int
		opts   []Option
	}{
		{http.MethodPost, http.StatusServiceUnavailable, nil},
		{http.MethodPatch, http.StatusBadGateway, nil},
		{http.MethodGet, http.StatusInternalServerError, nil},
		{http.MethodGet, http.StatusNotImplemented, nil},
		{http.MethodGet, http.StatusNotFound, nil},
		{http.MethodGet, http.StatusTooManyRequests, nil},
		{http.MethodGet, http.StatusBadGateway, []Option{Attempts(1)}},
		{http.MethodGet, http.StatusBadGateway, []Option{Attempts(-1)}},
		{http.MethodGet, http.StatusBadGateway, []Option{WithIdempotent(func(*http.Request) bool { return false })}},
		{http.MethodGet, http.StatusBadGateway, []Option{WithClassifier(func(*http.Response) balance.Outcome { return balance.OutcomeOK })}},
	} {
		bad, asked := answering(t, "bad", k.status)
		good, _ := answering(t, "good", http.StatusOK)
		c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)), k.opts...)
		code, got, err := call(t.Context(), c, k.method, "http://echo/", "")
		if code != k.status || got != "bad " || err != nil || asked.Load() != 1 {
			t.Errorf("%+v: %d %q, %v; asked %d times", k, code, got, err, asked.Load())
		}
	}
}

func TestTheCallerDecidesWhatIsIdempotentAndWhatIsAFailure(t *testing.T) {
	bad, _ := answering(t, "bad", http.StatusTeapot)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)),
		WithIdempotent(func(r *http.Request) bool { return r.URL.Path == "/again" }),
		WithClassifier(func(r *http.Response) balance.Outcome {
			if r.StatusCode == http.StatusTeapot {
				return balance.OutcomeFailure
			}
			return balance.OutcomeOK
		}))
	for path, want := range map[string]string{"/again": "good x", "/once": "bad x"} {
		if _, got, err := call(t.Context(), c, http.MethodPost, "http://echo"+path, "x"); got != want || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestAnIdempotencyKeyMakesAPostIdempotent(t *testing.T) {
	bad, _ := answering(t, "bad", http.StatusServiceUnavailable)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)))
	for _, key := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", strings.NewReader("x"))
		req.Header[key] = nil // as net/http has it: the key may be kept off the wire
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "good x" {
			t.Errorf("%s: %q", key, b)
		}
		_ = resp.Body.Close()
	}
}

func TestABodyThatCannotBeHadAgainIsNotRepeated(t *testing.T) {
	bad, asked := answering(t, "bad", http.StatusServiceUnavailable)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)))
	body := &closing{Reader: strings.NewReader("x")}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", body)
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, _ := io.ReadAll(resp.Body); string(b) != "bad x" || resp.StatusCode != http.StatusServiceUnavailable || asked.Load() != 1 {
		t.Errorf("%d %q", resp.StatusCode, b)
	}
	if body.closed.Load() == 0 {
		t.Error("the body is not closed")
	}
	// GetBody may fail.
	req, _ = http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", io.NopCloser(strings.NewReader("x")))
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	if resp, err := c.Do(req); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
}

func TestAPanicInGetBodyLeaksNoConnection(t *testing.T) {
	bad, _ := answering(t, "bad", http.StatusServiceUnavailable)
	good, _ := answering(t, "good", http.StatusOK)
	pool := newPool(t, Config{}, []string{bad, good}, first(bad))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", io.NopCloser(strings.NewReader("x")))
	req.GetBody = func() (io.ReadCloser, error) { panic("mine") }
	func() {
		defer func() {
			if recovered := recover(); recovered != "mine" {
				t.Errorf("recovered %v", recovered)
			}
		}()
		resp, err := clientOf(t, pool).Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		t.Errorf("got %v, %v", resp, err)
	}()
	if n := inUse(pool); n != 0 {
		t.Errorf("%d leases", n)
	}
}

func TestTheLastAnswerIsTheCallersWhenAllAreOverloaded(t *testing.T) {
	a, asked := answering(t, "a", http.StatusServiceUnavailable)
	b, alsoAsked := answering(t, "b", http.StatusServiceUnavailable)
	for _, addrs := range [][]string{{a, b}, {a}} {
		asked.Store(0)
		alsoAsked.Store(0)
		pool := newPool(t, Config{}, addrs, core.MaxActive(1), first(a))
		code, got, err := get(t.Context(), clientOf(t, pool), "http://echo/")
		if code != http.StatusServiceUnavailable || err != nil || got != []string{"a ", "b "}[len(addrs)-1] {
			t.Errorf("%d %q, %v", code, got, err)
		}
		if int(asked.Load()+alsoAsked.Load()) != len(addrs) {
			t.Errorf("asked %d and %d times", asked.Load(), alsoAsked.Load())
		}
		if n := inUse(pool); n != 0 {
			t.Errorf("%d leases", n)
		}
	}
}

// dying starts a server that, on each connection, answers a number of requests
// and then closes it instead of answering.
func dying(tb testing.TB, answers int) (addr string, requests *atomic.Int32) {
	tb.Helper()
	requests = new(atomic.Int32)
	return prototest.Listen(tb, func(nc net.Conn) {
		r := bufio.NewReader(nc)
		for i := 0; ; i++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			requests.Add(1)
			if i == answers {
				return
			}
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}), requests
}

func TestARequestGoesToAnotherServerWhenTheFirstDiesWithIt(t *testing.T) {
	bad, asked := dying(t, 0)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)))
	if _, got, err := call(t.Context(), c, http.MethodPut, "http://echo/", "x"); got != "good x" || err != nil || asked.Load() != 1 {
		t.Errorf("%q, %v, asked %d times", got, err, asked.Load())
	}
	_, _, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x")
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, io.EOF) || e.Endpoint != bad || e.Attempts != 1 || e.Outcome != balance.OutcomeFailure || asked.Load() != 2 {
		t.Errorf("POST: %v, asked %d times", err, asked.Load())
	}
}

// The server may have closed the idle connection while the request was on its
// way. net/http sends the request again then, too.
func TestTheSameServerIsAskedAgainWhenAUsedConnectionDies(t *testing.T) {
	for name, others := range map[string][]string{"the only server": nil, "no other is up": {"127.0.0.1:1"}} {
		addr, asked := dying(t, 1)
		c := clientOf(t, newPool(t, Config{}, append(others, addr), core.MaxActive(1), first(addr)))
		for range 2 { // the second dies, and is answered on another connection
			if _, got, err := call(t.Context(), c, http.MethodPut, "http://echo/", "x"); got != "ok" || err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		if asked.Load() != 3 {
			t.Errorf("%s: asked %d times", name, asked.Load())
		}
		if _, _, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x"); !errors.Is(err, io.EOF) {
			t.Errorf("%s: POST: %v", name, err)
		}
	}
}

func TestTheOnlyServerIsAskedAgainWhenItFails(t *testing.T) {
	for name, others := range map[string][]string{"the only server": nil, "no other is up": {"127.0.0.1:1"}} {
		clientFor := func(addr string) *http.Client {
			pool := newPool(t, Config{}, append(others, addr))
			for _, down := range others {
				if _, err := pool.Get(t.Context(), core.WithEndpoint(down)); err == nil {
					t.Fatalf("%s is up", down)
				}
			}
			return clientOf(t, pool)
		}
		t.Run(name, func(t *testing.T) {
			addr, asked := dying(t, 0)
			_, _, err := get(t.Context(), clientFor(addr), "http://echo/")
			var e *Error
			if !errors.Is(err, io.EOF) || !errors.As(err, &e) || e.Attempts != 2 || asked.Load() != 2 {
				t.Errorf("%v, asked %d times", err, asked.Load())
			}
			addr, asked = dying(t, 0)
			if _, _, err := call(t.Context(), clientFor(addr), http.MethodPost, "http://echo/", "x"); !errors.Is(err, io.EOF) || asked.Load() != 1 {
				t.Errorf("POST: %v, asked %d times", err, asked.Load())
			}
			bad, asked := answering(t, "bad", http.StatusBadGateway)
			code, got, err := get(t.Context(), clientFor(bad), "http://echo/")
			if code != http.StatusBadGateway || got != "bad " || err != nil || asked.Load() != DefaultAttempts {
				t.Errorf("%d %q, %v, asked %d times", code, got, err, asked.Load())
			}
			busy, asked := answering(t, "busy", http.StatusServiceUnavailable)
			code, got, err = get(t.Context(), clientFor(busy), "http://echo/")
			if code != http.StatusServiceUnavailable || got != "busy " || err != nil || asked.Load() != 1 {
				t.Errorf("overloaded: %d %q, %v, asked %d times", code, got, err, asked.Load())
			}
		})
	}
}

// A proxy closes connections that were opened ahead with a 408. So does this server
// with each, at the first byte.
func TestAServerThatClosesConnectionsWithATimeoutFailsNoRequest(t *testing.T) {
	closing := prototest.Listen(t, func(nc net.Conn) {
		_, _ = nc.Read(make([]byte, 1))
		_, _ = io.WriteString(nc, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	good, _ := answering(t, "good", http.StatusOK)
	pool := newPool(t, Config{}, []string{closing, good})
	c := clientOf(t, pool)
	for n := range 100 {
		method := []string{http.MethodGet, http.MethodPut}[n%2]
		if code, got, err := call(t.Context(), c, method, "http://echo/", ""); code != http.StatusOK || got != "good " || err != nil {
			t.Fatalf("request %d: %d %q, %v", n, code, got, err)
		}
	}
	ejected := pool.Stats().Endpoints[slices.IndexFunc(pool.Stats().Endpoints, func(e core.EndpointStats) bool { return e.Endpoint.Addr == closing })]
	if ejected.Dials > 50 {
		t.Errorf("%d connections to a server that only closes them", ejected.Dials)
	}
}

// Even a request that must not be repeated succeeds, and one whose body is not
// replayable: nothing of either was sent.
func TestAConnectionThatEndedWhileIdleCostsNoRequest(t *testing.T) {
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }) {
		t.Run(name, func(t *testing.T) {
			p := &cutter{to: k.addr, at: -1}
			pool := newPool(t, k.conf, []string{p.listen(t)}, core.MaxActive(1))
			c := clientOf(t, pool, Attempts(1))
			for range 20 {
				body := &closing{Reader: strings.NewReader("body")}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.scheme+"://echo/", body)
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil {
					t.Fatalf("%q, %v", b, err)
				}
				_ = resp.Body.Close()
				if n := body.closed.Load(); n == 0 {
					t.Fatal("the body was not closed")
				}
				p.drop()
			}
		})
	}
}

func TestAConnectionThatEndedWhileIdleIsNoAttempt(t *testing.T) {
	var conns atomic.Int32
	ended := make(chan struct{})
	addr := prototest.Listen(t, func(nc net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(nc)); err != nil {
			return
		}
		if conns.Add(1) == 1 {
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			_ = nc.Close()
			close(ended)
		}
	})
	c := newClient(t, Config{}, []string{addr})
	if _, _, err := get(t.Context(), c, "http://echo/"); err != nil {
		t.Fatal(err)
	}
	<-ended
	_, _, err := call(t.Context(), c, http.MethodPost, "http://echo/", "")
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, io.EOF) || e.Attempts != 1 || conns.Load() != 2 {
		t.Errorf("%v on connection %d", err, conns.Load())
	}
}

// It does not even wait for a connection to another server.
func TestARequestThatCannotBeRepeatedReturnsAtOnce(t *testing.T) {
	bad, _ := answering(t, "bad", http.StatusServiceUnavailable)
	good, _ := answering(t, "good", http.StatusOK)
	pool := newPool(t, Config{}, []string{bad, good}, core.MaxActive(1), first(bad))
	lease, err := pool.Get(t.Context(), core.WithEndpoint(good))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lease.Release() }()
	ctx, cancel := contextOf(t, enough)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPut, "http://echo/", io.NopCloser(strings.NewReader("x")))
	resp, err := clientOf(t, pool).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusServiceUnavailable || ctx.Err() != nil {
		t.Errorf("%s, context: %v", resp.Status, ctx.Err())
	}
}

func TestRetriesAreBudgeted(t *testing.T) {
	a, asked := answering(t, "a", http.StatusBadGateway)
	b, alsoAsked := answering(t, "b", http.StatusBadGateway)
	c := clientOf(t, newPool(t, Config{}, []string{a, b}))
	const calls = 1000
	for range calls {
		if code, _, err := get(t.Context(), c, "http://echo/"); err != nil || code != http.StatusBadGateway {
			t.Fatalf("%d, %v", code, err)
		}
	}
	// A fifth, plus a hundred saved up, plus ten per second of the test.
	if n := asked.Load() + alsoAsked.Load() - calls; n > calls/5+100+200 {
		t.Errorf("%d retries of %d requests", n, calls)
	}
}

func TestARouteChoosesTheServer(t *testing.T) {
	a, _ := answering(t, "a", http.StatusOK)
	b, _ := answering(t, "b", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{a, b}), WithRoute(func(r *http.Request) []core.CallOption {
		if r.URL.Path == "/a" {
			return []core.CallOption{core.WithEndpoint(a)}
		}
		return []core.CallOption{core.WithEndpoint(b)}
	}))
	for range 5 {
		for path, want := range map[string]string{"/a": "a ", "/b": "b "} {
			if _, got, err := get(t.Context(), c, "http://echo"+path); got != want || err != nil {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		}
	}
}

func TestAResponseReportsTheLoadOfItsServer(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Load", r.URL.Path[1:]) })
	var loads []float64
	see := func(_ int, r balance.Report) { loads = append(loads, r.Load) }
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.WithBalancer(prefer{see: see}))
	c := clientOf(t, pool, WithLoad(func(resp *http.Response) float64 {
		load, err := strconv.ParseFloat(resp.Header.Get("X-Load"), 64)
		if err != nil {
			panic(err)
		}
		return load
	}))
	for _, path := range []string{"0.5", "none", "3"} {
		if _, _, err := get(t.Context(), c, "http://echo/"+path); err != nil {
			t.Error(err)
		}
	}
	if want := []float64{0.5, 0, 3}; !slices.Equal(loads, want) {
		t.Errorf("loads %v, want %v", loads, want)
	}
}

func TestNoServerIsAnErrorThatSaysWhy(t *testing.T) {
	for want, set := range map[error][]core.Endpoint{core.ErrNoEndpoint: nil, core.ErrUnavailable: {{Addr: "127.0.0.1:1"}}} {
		pool := poolOf(t, Config{}, static.NewList(set...))
		body := &closing{Reader: strings.NewReader("x")}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", body)
		_, err := clientOf(t, pool).Transport.RoundTrip(req)
		var e *Error
		var c *core.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Attempts != 0 || e.Endpoint != "" || e.Outcome != balance.OutcomeNeutral || !errors.As(err, &c) {
			t.Errorf("want %v, got %v", want, err)
		}
		if body.closed.Load() != 1 {
			t.Errorf("the body was closed %d times", body.closed.Load())
		}
	}
	// After an attempt that failed, the error has both causes.
	bad, _ := dying(t, 0)
	_, _, err := get(t.Context(), clientOf(t, newPool(t, Config{}, []string{bad, "127.0.0.1:1"}, first(bad))), "http://echo/")
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// Single requests probe an ejected server. If there is a ping, it comes before a
// request that must not be repeated.
func TestAnEjectedServerIsPingedBeforeARequestThatMustNotBeRepeatedProbesIt(t *testing.T) {
	var broken atomic.Bool
	var posts, pings atomic.Int32
	failing := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health":
			pings.Add(1)
		case broken.Load():
			posts.Add(1)
		}
		if broken.Load() {
			panic(http.ErrAbortHandler)
		}
	})
	good, _ := answering(t, "good", http.StatusOK)
	conf := Config{Ping: func(ctx context.Context, conn http.RoundTripper) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ping/health", nil)
		if err != nil {
			return err
		}
		resp, err := conn.RoundTrip(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}}
	pool := newPool(t, conf, []string{addrOf(failing), good})
	c := clientOf(t, pool)
	post := func() error {
		body := &closing{Reader: strings.NewReader("x")} // not replayable
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", body)
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	broken.Store(true)
	until(t, "it is ejected", func() bool {
		_ = post()
		for _, e := range pool.Stats().Endpoints {
			if e.Ejected {
				return true
			}
		}
		return false
	})
	before := posts.Load()
	until(t, "it is probed", func() bool {
		if err := post(); err != nil {
			t.Fatalf("a request was lost: %v", err)
		}
		return pings.Load() > 1
	})
	if n := posts.Load() - before; n != 0 {
		t.Errorf("%d requests probed the server", n)
	}
}
