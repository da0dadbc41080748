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

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// answering counts the requests that it answers with a status and its name.
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

// first makes a pool ask that server first.
func first(addr string) core.Option { return core.WithBalancer(prefer{addr: addr}) }

func TestAnIdempotentRequestGoesToAnotherServer(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
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
		{http.MethodGet, http.StatusBadGateway, []Option{IdempotentFunc(func(*http.Request) bool { return false })}},
		{http.MethodGet, http.StatusBadGateway, []Option{ClassifyFunc(func(*http.Response) core.Class { return core.OK })}},
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

func TestWhatIsIdempotentAndWhatHasFailedIsTheCallersToSay(t *testing.T) {
	bad, _ := answering(t, "bad", http.StatusTeapot)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)),
		IdempotentFunc(func(r *http.Request) bool { return r.URL.Path == "/again" }),
		ClassifyFunc(func(r *http.Response) core.Class {
			if r.StatusCode == http.StatusTeapot {
				return core.Failure
			}
			return core.OK
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
	// A body that says it can be had again and then cannot.
	req, _ = http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", io.NopCloser(strings.NewReader("x")))
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	if resp, err := c.Do(req); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
}

func TestTheLastAnswerIsTheCallersWhenAllHaveFailed(t *testing.T) {
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

func TestALargeErrorPageIsGivenToTheCaller(t *testing.T) {
	for _, size := range []int{maxAbsorbed, maxAbsorbed + 1} {
		for _, chunked := range []bool{false, true} {
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusBadGateway)
				if chunked {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.CopyN(w, zeros{}, int64(size))
			})
			good, _ := answering(t, "good", http.StatusOK)
			pool := newPool(t, Config{}, []string{addrOf(s), good}, core.MaxActive(1), first(addrOf(s)))
			code, got, err := get(t.Context(), clientOf(t, pool), "http://echo/")
			if size <= maxAbsorbed {
				if got != "good " || err != nil {
					t.Errorf("%d bytes, chunked %v: %d, %d bytes, %v", size, chunked, code, len(got), err)
				}
			} else if code != http.StatusBadGateway || len(got) != size || err != nil {
				t.Errorf("%d bytes, chunked %v: %d, %d bytes, %v", size, chunked, code, len(got), err)
			}
			if n := inUse(pool); n != 0 {
				t.Errorf("%d leases", n)
			}
		}
	}
}

// dying reads requests and ends the connection instead of an answer, after the
// first few.
func dying(tb testing.TB, answers int) (addr string, requests *atomic.Int32) {
	tb.Helper()
	requests = new(atomic.Int32)
	return listen(tb, func(nc net.Conn) {
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

func TestAServerThatDiesWithARequestIsLeftForAnother(t *testing.T) {
	bad, asked := dying(t, 0)
	good, _ := answering(t, "good", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{bad, good}, first(bad)))
	if _, got, err := call(t.Context(), c, http.MethodPut, "http://echo/", "x"); got != "good x" || err != nil || asked.Load() != 1 {
		t.Errorf("%q, %v, asked %d times", got, err, asked.Load())
	}
	_, _, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x")
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, io.EOF) || e.Endpoint != bad || e.Attempts != 1 || e.Class != core.Failure || asked.Load() != 2 {
		t.Errorf("POST: %v, asked %d times", err, asked.Load())
	}
}

// As with net/http: the server may have closed the connection for being idle,
// while the request was on its way.
func TestTheOnlyServerIsAskedAgainWhenAUsedConnectionDies(t *testing.T) {
	addr, asked := dying(t, 1)
	c := newClient(t, Config{}, []string{addr})
	for range 2 { // the second dies, and is answered on another connection
		if _, got, err := call(t.Context(), c, http.MethodPut, "http://echo/", "x"); got != "ok" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if asked.Load() != 3 {
		t.Errorf("asked %d times", asked.Load())
	}
	if _, _, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x"); !errors.Is(err, io.EOF) {
		t.Errorf("POST: %v", err)
	}
}

func TestTheOnlyServerIsNotAskedAgainWhenANewConnectionDies(t *testing.T) {
	addr, asked := dying(t, 0)
	_, _, err := get(t.Context(), newClient(t, Config{}, []string{addr}), "http://echo/")
	if !errors.Is(err, io.EOF) || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

// No request notices, not even one that must not be repeated and whose body
// cannot be had again: it was not touched.
func TestAConnectionThatEndedWhileIdleCostsNothing(t *testing.T) {
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
	// A fifth, a hundred that were saved up, ten per second of the test.
	if n := asked.Load() + alsoAsked.Load() - calls; n > calls/5+100+200 {
		t.Errorf("%d retries of %d requests", n, calls)
	}
}

func TestARouteChoosesTheServer(t *testing.T) {
	a, _ := answering(t, "a", http.StatusOK)
	b, _ := answering(t, "b", http.StatusOK)
	c := clientOf(t, newPool(t, Config{}, []string{a, b}), Route(func(r *http.Request) []core.CallOption {
		if r.URL.Path == "/a" {
			return []core.CallOption{core.On(a)}
		}
		return []core.CallOption{core.On(b)}
	}))
	for range 5 {
		for path, want := range map[string]string{"/a": "a ", "/b": "b "} {
			if _, got, err := get(t.Context(), c, "http://echo"+path); got != want || err != nil {
				t.Errorf("%s: %q, %v", path, got, err)
			}
		}
	}
}

func TestAResponseSaysHowBusyItsServerIs(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Load", r.URL.Path[1:]) })
	var loads []float64
	see := func(_ int, r core.Report) { loads = append(loads, r.Load) }
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.WithBalancer(prefer{see: see}))
	c := clientOf(t, pool, LoadFunc(func(resp *http.Response) float64 {
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
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Attempts != 0 || e.Endpoint != "" || e.Class != core.Ignored || !errors.As(err, &c) {
			t.Errorf("want %v, got %v", want, err)
		}
		if body.closed.Load() != 1 {
			t.Errorf("the body was closed %d times", body.closed.Load())
		}
	}
	// With another server that failed before, both are told.
	bad, _ := dying(t, 0)
	_, _, err := get(t.Context(), clientOf(t, newPool(t, Config{}, []string{bad, "127.0.0.1:1"}, first(bad))), "http://echo/")
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// A server that was ejected is tried with single requests. One that must not be
// repeated is not risked for that, where there is a ping.
func TestAServerOnTrialIsPingedBeforeWhatMustNotBeRepeated(t *testing.T) {
	var ill atomic.Bool
	var posts, pings atomic.Int32
	sick := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health":
			pings.Add(1)
		case ill.Load():
			posts.Add(1)
		}
		if ill.Load() {
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
	pool := newPool(t, conf, []string{addrOf(sick), good})
	c := clientOf(t, pool)
	post := func() error {
		body := &closing{Reader: strings.NewReader("x")} // which cannot be had again
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", body)
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	ill.Store(true)
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
	until(t, "it is on trial", func() bool {
		if err := post(); err != nil {
			t.Fatalf("a request was lost: %v", err)
		}
		return pings.Load() > 1
	})
	if n := posts.Load() - before; n != 0 {
		t.Errorf("%d requests tried whether it is well", n)
	}
}
