//go:build go1.26

package httppool

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func hello(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, name+" "+r.Host+r.URL.Path) }
}

func TestTheHostOfTheURLNamesThePool(t *testing.T) {
	a, b := server(t, hello("a")), server(t, hello("b"))
	var tr Transport
	for host, s := range map[string]string{"alpha": addrOf(a), "Beta:8080": addrOf(b), "[::1]:80": addrOf(b)} {
		if err := tr.Register(host, newPool(t, Config{}, []string{s})); err != nil {
			t.Fatal(err)
		}
	}
	c := tr.Client()
	for u, want := range map[string]string{
		"http://alpha/x":      "a alpha/x",
		"http://ALPHA/x":      "a ALPHA/x",
		"http://beta:8080/x":  "b beta:8080/x",
		"http://[::1]:80/x?y": "b [::1]:80/x",
	} {
		for range 2 {
			if code, got, err := get(t.Context(), c, u); err != nil || got != want || code != 200 {
				t.Errorf("%s: %d %q, %v", u, code, got, err)
			}
		}
	}
	tr.Unregister("Alpha")
	tr.Unregister("nobody")
	if _, _, err := get(t.Context(), c, "http://alpha/"); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("after Unregister: %v", err)
	}
}

func TestAnUnknownHostIsAClearError(t *testing.T) {
	var tr Transport
	_, _, err := call(t.Context(), tr.Client(), http.MethodPost, "http://nobody/", "body")
	if !errors.Is(err, ErrUnknownHost) || !strings.Contains(err.Error(), `host "nobody"; none is`) {
		t.Errorf("got %v", err)
	}
	pool := newPool(t, Config{}, []string{"127.0.0.1:1"})
	for _, h := range []string{"b", "a"} {
		if err := tr.Register(h, pool); err != nil {
			t.Fatal(err)
		}
	}
	body := &closing{Reader: strings.NewReader("x")}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a:80/", body)
	_, err = tr.RoundTrip(req)
	var e *Error
	if !errors.Is(err, ErrUnknownHost) || !strings.Contains(err.Error(), `host "a:80"; known are a, b`) ||
		!errors.As(err, &e) || e.Host != "a:80" || e.Method != http.MethodPost || e.Outcome != balance.OutcomeNeutral {
		t.Errorf("got %v", err)
	}
	if body.closed.Load() != 1 {
		t.Errorf("the body was closed %d times", body.closed.Load())
	}
}

func TestAnUnknownHostGoesToTheFallback(t *testing.T) {
	plain, pooled := server(t, hello("plain")), server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.URL.Query().Get("to")+"/there", http.StatusFound)
	})
	fallback := &http.Transport{}
	t.Cleanup(fallback.CloseIdleConnections)
	tr := Transport{Fallback: fallback}
	if err := tr.Register("echo", newPool(t, Config{}, []string{addrOf(pooled)})); err != nil {
		t.Fatal(err)
	}
	want := "plain " + addrOf(plain) + "/there"
	if _, got, err := get(t.Context(), tr.Client(), "http://echo/?to="+addrOf(plain)); err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	tr.CloseIdleConnections()
}

func TestMistakesOfRegisterAreErrors(t *testing.T) {
	pool := newPool(t, Config{}, []string{"127.0.0.1:1"})
	var tr Transport
	for _, host := range []string{"", "a/b", "a b", "u@a", "http://a", "a?b", "a#b", ":80", "a:b", "%zz", "a/"} {
		if err := tr.Register(host, pool); err == nil || !strings.Contains(err.Error(), "not the host of a URL") {
			t.Errorf("%q: %v", host, err)
		}
	}
	if err := tr.Register("a", nil); err == nil {
		t.Error("no pool is no mistake")
	}
	if err := tr.Register("a", pool); err != nil {
		t.Error(err)
	}
	if err := tr.Register("A", pool); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("twice: %v", err)
	}
}

func TestTheSchemeOfTheURLMustBeThatOfTheConnections(t *testing.T) {
	plain := server(t, hello("plain"))
	c := newClient(t, Config{}, []string{addrOf(plain)})
	for range 2 { // the connection survives
		if _, _, err := get(t.Context(), c, "https://echo/"); err == nil || !strings.Contains(err.Error(), "must be http,") {
			t.Errorf("https over plain connections: %v", err)
		}
		if _, _, err := get(t.Context(), c, "ftp://echo/"); err == nil {
			t.Error("ftp works")
		}
		if _, got, err := get(t.Context(), c, "http://echo/"); err != nil || got != "plain echo/" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	s, conf := secure(t, hello("secure"), false)
	c = newClient(t, conf, []string{addrOf(s)})
	if _, _, err := get(t.Context(), c, "http://echo/"); err == nil || !strings.Contains(err.Error(), "must be https,") {
		t.Errorf("http over TLS: %v", err)
	}
}

func TestInvalidRequestsAreErrorsAndCostNoConnection(t *testing.T) {
	s := server(t, hello("a"))
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
	c := clientOf(t, pool)
	for name, change := range map[string]func(*http.Request){
		"header name":  func(r *http.Request) { r.Header["a b"] = []string{"c"} },
		"header value": func(r *http.Request) { r.Header.Set("A", "b\nc") },
		"trailer":      func(r *http.Request) { r.Trailer = http.Header{"a b": {"c"}} },
		"method":       func(r *http.Request) { r.Method = "G T" },
		"no headers":   func(r *http.Request) { r.Header = nil },
	} {
		for _, with := range []string{"", "body"} {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", nil)
			body := &closing{Reader: strings.NewReader(with)}
			if with != "" {
				req.Body, req.ContentLength = body, int64(len(with))
			}
			change(req)
			_, err := c.Transport.RoundTrip(req)
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			if with != "" && body.closed.Load() == 0 {
				t.Errorf("%s: the body was not closed", name)
			}
		}
	}
	if _, err := c.Transport.RoundTrip(&http.Request{}); err == nil {
		t.Error("no URL: no error")
	}
	if _, err := c.Transport.RoundTrip(&http.Request{URL: &url.URL{Scheme: "http", Host: "echo"}}); err == nil {
		t.Error("no header: no error")
	}
	if n := inUse(pool); n != 0 {
		t.Errorf("%d leases", n)
	}
	if _, got, err := get(t.Context(), c, "http://echo/"); err != nil || got != "a echo/" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestTheHostHeaderIsTheServiceOrTheEndpointOrTheCallers(t *testing.T) {
	s := server(t, hello("a"))
	pool := newPool(t, Config{}, []string{addrOf(s)})
	for _, k := range []struct {
		host string
		opts []Option
		want string
	}{
		{"", nil, "echo"},
		{"mine", nil, "mine"},
		{"", []Option{EndpointHost()}, addrOf(s)},
		{"mine", []Option{EndpointHost()}, "mine"},
	} {
		for _, body := range []io.Reader{nil, strings.NewReader("x")} {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://echo/", body)
			if k.host != "" {
				req.Host = k.host
			}
			before := *req
			resp, err := clientOf(t, pool, k.opts...).Transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if want := "a " + k.want + "/"; string(got) != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if resp.Request != req || req.Host != before.Host || req.Body != before.Body || req.URL != before.URL {
				t.Error("the caller's request is not as it was")
			}
		}
	}
}

func TestOnePoolServesUnderSeveralHosts(t *testing.T) {
	for name, k := range kinds(t, hello("a")) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			var tr Transport
			for _, h := range []string{"one", "two"} {
				if err := tr.Register(h, pool); err != nil {
					t.Fatal(err)
				}
			}
			for _, h := range []string{"one", "two", "One", "one"} {
				if _, got, err := get(t.Context(), tr.Client(), k.scheme+"://"+h+"/"); err != nil || got != "a "+h+"/" {
					t.Errorf("%s: %q, %v", h, got, err)
				}
			}
			if n := pool.Stats().Endpoints[0].Dials; n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
