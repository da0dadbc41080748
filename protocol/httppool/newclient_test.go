//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// closed closes the client when the test ends.
func closed(tb testing.TB, c *Client) *Client {
	tb.Helper()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return c
}

// protocol answers with its name, the protocol and the Host of the request.
func protocol(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name+" "+r.Proto+" "+r.Host)
	}
}

func TestOneCallMakesAClientWithAPoolForEachHost(t *testing.T) {
	one := server(t, protocol("one"))
	two, conf := h2c(t, protocol("two"))
	c, err := NewClient(
		map[string]core.Watcher{"one": static.Watcher(addrOf(one)), "Two:8080": static.Watcher(addrOf(two))},
		EndpointHost(), WithPool(core.MaxActive(1)), WithHost("two:8080", WithConfig(conf), WithPool(core.MaxActive(2))),
	)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, c)
	for url, want := range map[string]string{
		"http://one/":      "one HTTP/1.1 " + addrOf(one),
		"http://two:8080/": "two HTTP/2.0 " + addrOf(two),
	} {
		if code, got, err := get(t.Context(), c.Client, url); code != http.StatusOK || got != want || err != nil {
			t.Errorf("%s: %d %q, %v, want %q", url, code, got, err, want)
		}
	}
	if c.Pool("ONE") == nil || c.Pool("one") == c.Pool("two:8080") || c.Pool("nobody") != nil {
		t.Error("a pool is not the one of its host")
	}
	for host, limit := range map[string]string{"one": "MaxActive(1)", "two:8080": "MaxActive(2)"} {
		if err := c.Pool(host).Set(core.MinIdle(3)); err == nil || !strings.Contains(err.Error(), limit) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTheOptionsOfOneHostComeAfterThoseOfAll(t *testing.T) {
	bad, asked := answering(t, "bad", http.StatusBadGateway)
	w := static.Watcher(bad)
	c, err := NewClient(map[string]core.Watcher{"all": w, "own": w}, WithHost("own", Attempts(1)), Attempts(2))
	if err != nil {
		t.Fatal(err)
	}
	closed(t, c)
	for host, want := range map[string]int32{"all": 2, "own": 1} {
		asked.Store(0)
		if code, _, err := get(t.Context(), c.Client, "http://"+host+"/"); code != http.StatusBadGateway || err != nil || asked.Load() != want {
			t.Errorf("%s: %d, %v, asked %d times, want %d", host, code, err, asked.Load(), want)
		}
	}
}

func TestOtherHostsGoToTheFallback(t *testing.T) {
	other := server(t, protocol("other"))
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	for _, c := range []struct {
		opts []ClientOption
		want error
	}{{[]ClientOption{WithFallback(tr)}, nil}, {nil, ErrUnknownHost}} {
		client, err := NewClient(nil, c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		closed(t, client)
		if _, _, err := get(t.Context(), client.Client, other.URL); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
}

func TestClosingAClientWaitsForItsResponses(t *testing.T) {
	s := server(t, endless)
	c, err := NewClient(map[string]core.Watcher{"busy": static.Watcher(addrOf(s)), "idle": static.Watcher(addrOf(s))})
	if err != nil {
		t.Fatal(err)
	}
	resp := request(t, c.Client, http.MethodGet, "http://busy/")
	ctx, cancel := contextOf(t, 10*time.Millisecond)
	defer cancel()
	if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `host "busy"`) ||
		strings.Contains(err.Error(), "idle\"") {
		t.Errorf("with a response open: %v", err)
	}
	_ = resp.Body.Close()
	for range 2 {
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("after its end: %v", err)
		}
	}
	for _, host := range []string{"busy", "idle"} {
		if _, _, err := get(t.Context(), c.Client, "http://"+host+"/"); !errors.Is(err, core.ErrClosed) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// Those that leave a pool fail TestMain.
func TestMistakesOfNewClientNameTheirHosts(t *testing.T) {
	w := static.Watcher("127.0.0.1:1")
	for _, c := range []struct {
		watchers map[string]core.Watcher
		opts     []ClientOption
		want     []string
	}{
		{map[string]core.Watcher{"a": nil, "b": w, "c": nil}, nil, []string{`host "a": core: the watcher is nil`, `host "c": core: the watcher`}},
		{map[string]core.Watcher{"a/b": w, "b": w}, nil, []string{`host "a/b": not the host of a URL`}},
		{map[string]core.Watcher{"a": w, "A": w}, nil, []string{`host "a": it is registered already`}},
		{
			map[string]core.Watcher{"a": w, "b": w},
			[]ClientOption{WithHost("b", WithPool(core.MaxActive(-7)))},
			[]string{`host "b": core: MaxActive(-7)`},
		},
		{
			map[string]core.Watcher{"a": w},
			[]ClientOption{WithConfig(Config{ServerName: func(core.Endpoint) string { return "" }})},
			[]string{`host "a": core: the dialer is not valid: httppool: config: ServerName without TLS`},
		},
		{map[string]core.Watcher{"a": w}, []ClientOption{WithHost("z", Attempts(2))}, []string{`WithHost("z"): there is no watcher`}},
		{map[string]core.Watcher{"a": w}, []ClientOption{nil}, []string{"an option is nil"}},
		{map[string]core.Watcher{"a": w}, []ClientOption{WithHost("a", nil)}, []string{"an option is nil"}},
		{map[string]core.Watcher{"a": w}, []ClientOption{Option(nil)}, []string{`host "a": httppool: an option is nil`}},
	} {
		client, err := NewClient(c.watchers, c.opts...)
		if client != nil || err == nil {
			t.Errorf("want %q, got %v", c.want, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
	}
}

func TestAClientOpensItsRegistriesByURL(t *testing.T) {
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	one := server(t, protocol("one"))
	c, err := OpenClient(&mux, map[string]string{"one": "static://" + addrOf(one)}, Attempts(1))
	if err != nil {
		t.Fatal(err)
	}
	closed(t, c)
	if _, got, err := get(t.Context(), c.Client, "http://one/"); got != "one HTTP/1.1 one" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	_, err = OpenClient(&mux, map[string]string{"a": "static://h:1", "b": "nowhere://h:1", "c": "static://h:1?x=1"})
	for _, want := range []string{`host "b": discovery: scheme "nowhere" is not known`, `host "c": discovery: `} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestTheDialerSaysHowManyRequestsShareAConnection(t *testing.T) {
	for want, conf := range map[int]Config{1: {}, http2Calls: {HTTP2: true}} {
		d, ok := Dial(conf).(interface{ MaxConcurrentCalls() int })
		if !ok || d.MaxConcurrentCalls() != want {
			t.Errorf("HTTP/2 %v: not %d", conf.HTTP2, want)
		}
	}
}
