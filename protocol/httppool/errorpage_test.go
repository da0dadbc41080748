//go:build go1.26

package httppool

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// unfinished answers with a status and a body that begins and does not end.
func unfinished(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func TestAnErrorPageThatDoesNotEndSendsTheRequestElsewhereAtOnce(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		for name, k := range kinds(t, unfinished(status)) {
			good := kinds(t, hello("good"))[name]
			k.conf.Timeout = time.Hour // it is not what helps
			for _, opts := range [][]Option{nil, {WithHedged(func(*http.Request) bool { return true })}} {
				pool := newPool(t, k.conf, []string{k.addr, good.addr}, core.MaxActive(1), core.MinIdle(1), first(k.addr))
				until(t, "both are connected", func() bool { return open(pool) == 2 })
				code, body, err := get(t.Context(), clientOf(t, pool, opts...), k.scheme+"://echo/")
				if code != http.StatusOK || body != "good echo/" || err != nil {
					t.Errorf("%s, %d: %d, %q, %v", name, status, code, body, err)
				}
				until(t, "no connection is leased", func() bool { return inUse(pool) == 0 })
			}
		}
	}
}

// A server whose connection broke may get the request again, also while another's
// response is kept: only the one that gave it would be no better.
func TestAnErrorPageThatDoesNotEndSendsTheRequestBackToAServerWhoseConnectionBroke(t *testing.T) {
	broke, _ := dying(t, 1)
	bad := addrOf(server(t, unfinished(http.StatusBadGateway)))
	c := clientOf(t, newPool(t, Config{Timeout: time.Hour}, []string{broke, bad}, core.MaxActive(1), first(broke)))
	ctx, cancel := contextOf(t, enough)
	defer cancel()
	for range 2 { // the second finds its connection broken
		if code, got, err := get(ctx, c, "http://echo/"); code != http.StatusOK || got != "ok" || err != nil {
			t.Errorf("%d, %q, %v", code, got, err)
		}
	}
}

// While a response is kept, a connection to another server must come soon; what that
// server then takes to answer is another matter.
func TestAnErrorPageThatDoesNotEndLeavesTheNextServerItsTime(t *testing.T) {
	const usual, slow = 10 * time.Millisecond, 75 * time.Millisecond
	var failing atomic.Bool
	var asked atomic.Int32
	next := func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			_, _ = io.WriteString(w, "third")
			return
		}
		sleep(slow)
		_, _ = io.WriteString(w, "second")
	}
	bad := addrOf(server(t, func(w http.ResponseWriter, r *http.Request) {
		if failing.Load() {
			unfinished(http.StatusBadGateway)(w, r)
			return
		}
		sleep(usual)
	}))
	c := clientOf(t, newPool(t, Config{Timeout: time.Hour}, []string{bad, addrOf(server(t, next)), addrOf(server(t, next))}, first(bad), core.WithoutOutlierDetection()))
	for range 30 { // so that it is known what answers take
		if _, _, err := get(t.Context(), c, "http://echo/"); err != nil {
			t.Fatal(err)
		}
	}
	failing.Store(true)
	ctx, cancel := contextOf(t, enough)
	defer cancel()
	var got string
	var err error
	for range 5 { // the machine may pause; after some more that are late, the pool gives them longer
		asked.Store(0)
		if _, got, err = get(ctx, c, "http://echo/"); got == "second" {
			break
		}
	}
	if got != "second" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnErrorPageThatDoesNotEndIsTheCallersIfNoOtherServerHelps(t *testing.T) {
	var asked atomic.Int32
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		unfinished(http.StatusBadGateway)(w, r)
	}) {
		k.conf.Timeout = time.Hour
		good := kinds(t, hello("good"))[name]
		gone := vacant(t)
		alone := newPool(t, k.conf, []string{k.addr, gone})
		if _, err := alone.Get(t.Context(), core.WithEndpoint(gone)); err == nil {
			t.Fatalf("%s is up", gone)
		}
		for what, pool := range map[string]*core.Pool[*Conn]{
			"one server":         newPool(t, k.conf, []string{k.addr}, core.MaxActive(1)),
			"the other is down":  newPool(t, k.conf, []string{k.addr, vacant(t)}, core.MaxActive(1), first(k.addr)),
			"that is known":      alone,
			"no more connection": newPool(t, k.conf, []string{k.addr, good.addr}, core.MaxTotal(1), first(k.addr)),
		} {
			asked.Store(0)
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, k.scheme+"://echo/", nil)
			resp, err := clientOf(t, pool).Do(req)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, what, err)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("%s, %s: asked %d times", name, what, n)
			}
			var b [5]byte
			if _, err := io.ReadFull(resp.Body, b[:]); string(b[:]) != "begun" || err != nil || resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s, %s: %d, %q, %v", name, what, resp.StatusCode, b, err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			until(t, "no connection is leased", func() bool { return inUse(pool) == 0 })
		}
	}
}

func TestAnErrorPageIsReadFromItsBeginningHoweverLargeItIs(t *testing.T) {
	for _, size := range []int{1, maxErrorPage, maxErrorPage + 1} {
		for _, chunked := range []bool{false, true} {
			s := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadGateway)
				if chunked {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.CopyN(w, zeros{}, int64(size))
			})
			good, _ := answering(t, "good", http.StatusOK)
			pool := newPool(t, Config{}, []string{addrOf(s), good}, core.MaxActive(1), core.MinIdle(1), first(addrOf(s)))
			until(t, "both are connected", func() bool { return open(pool) == 2 })
			if code, got, err := get(t.Context(), clientOf(t, pool), "http://echo/"); code != http.StatusOK || got != "good " || err != nil {
				t.Errorf("%d bytes, chunked %v: %d, %d bytes, %v", size, chunked, code, len(got), err)
			}
			alone := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
			if code, got, err := get(t.Context(), clientOf(t, alone), "http://echo/"); code != http.StatusBadGateway || len(got) != size || err != nil {
				t.Errorf("%d bytes, chunked %v, one server: %d, %d bytes, %v", size, chunked, code, len(got), err)
			}
			for _, p := range []*core.Pool[*Conn]{pool, alone} {
				until(t, "no connection is leased", func() bool { return inUse(p) == 0 })
			}
		}
	}
}

// vacant returns an address at which nothing listens.
func vacant(tb testing.TB) string {
	tb.Helper()
	ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		tb.Fatal(err)
	}
	return ln.Addr().String()
}
