//go:build go1.26

package httppool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// names records the names that clients ask a server for.
func names(s *httptest.Server) func() []string {
	var mu sync.Mutex
	var all []string
	s.TLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, h.ServerName)
		return nil, nil
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestEachServerMustProveItsOwnName(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s, conf := secure(t, hello("a"), http2)
		asked := names(s)
		roots := conf.TLS.RootCAs
		trusting := func(name string) *tls.Config { return &tls.Config{RootCAs: roots, ServerName: name} }
		of := func(e core.Endpoint) string { return e.Attrs["name"] }
		for _, k := range []struct {
			why  string
			conf Config
			attr string
			want string // the name, or a part of the error
			fail bool
		}{
			{why: "the address, of which httptest's certificate is", conf: Config{TLS: trusting("")}, want: ""},
			{why: "TLS.ServerName", conf: Config{TLS: trusting("example.com")}, want: "example.com"},
			{why: "the function", conf: Config{TLS: trusting("x.test"), ServerName: of}, attr: "example.com", want: "example.com"},
			{why: "the function that says nothing", conf: Config{TLS: trusting("example.com"), ServerName: of}, want: "example.com"},
			{why: "a wrong one", conf: Config{TLS: trusting(""), ServerName: of}, attr: "wrong.test", want: "not wrong.test", fail: true},
			{why: "a name that the program foresees", conf: Config{TLS: trusting("x.test"), ServerName: of, TLSNames: []string{"*.com"}}, attr: "example.com", want: "example.com"},
			{why: "a name that it does not", conf: Config{TLS: trusting(""), ServerName: of, TLSNames: []string{"*.test"}}, attr: "example.com", want: "TLSNames", fail: true},
			{why: "an address that it does not", conf: Config{TLS: trusting(""), TLSNames: []string{"example.com"}}, want: "TLSNames", fail: true},
			{why: "nobody to trust", conf: Config{TLS: &tls.Config{RootCAs: x509.NewCertPool()}}, want: "unknown authority", fail: true},
			{why: "no proof asked for", conf: Config{TLS: &tls.Config{InsecureSkipVerify: true}}, want: ""},
		} {
			k.conf.HTTP2 = http2
			t.Run(k.why, func(t *testing.T) { // which closes the pool before another dials
				e := core.Endpoint{Addr: addrOf(s), Attrs: map[string]string{"name": k.attr}}
				pool := poolOf(t, k.conf, static.Endpoints(e), core.MaxActive(1))
				_, got, err := get(t.Context(), clientOf(t, pool), "https://echo/")
				if k.fail {
					if err == nil || !strings.Contains(err.Error(), k.want) || !errors.Is(err, core.ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				if err != nil || got != "a echo/" {
					t.Fatalf("%q, %v", got, err)
				}
				if all := asked(); all[len(all)-1] != k.want {
					t.Errorf("the server was asked for %q", all[len(all)-1])
				}
			})
		}
	}
}

func TestAResponseSaysWhetherItCameOverTLS(t *testing.T) {
	for name, k := range kinds(t, hello("a")) {
		resp := request(t, newClient(t, k.conf, []string{k.addr}), http.MethodGet, k.scheme+"://echo/")
		if (resp.TLS != nil) != (k.scheme == "https") || resp.ProtoMajor != k.proto {
			t.Errorf("%s: %s, TLS %v", name, resp.Proto, resp.TLS)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

func TestAServerWithoutTLSOrWithoutHTTP2CannotBeDialed(t *testing.T) {
	plain := server(t, hello("a"))
	one, conf := secure(t, hello("a"), false)
	conf.HTTP2 = true
	for _, k := range []struct {
		addr, want string
		conf       Config
	}{
		{addrOf(plain), "first record does not look like a TLS handshake", Config{TLS: conf.TLS}},
		{addrOf(one), "no application protocol", conf},
	} {
		_, _, err := get(t.Context(), newClient(t, k.conf, []string{k.addr}), "https://echo/")
		if err == nil || !strings.Contains(err.Error(), k.want) || !strings.Contains(err.Error(), k.addr) {
			t.Errorf("want %q, got %v", k.want, err)
		}
	}
	// A server that ignores ALPN.
	ignorant := httptest.NewUnstartedServer(hello("a"))
	ignorant.Config.ErrorLog = log.New(io.Discard, "", 0)
	ignorant.StartTLS()
	t.Cleanup(ignorant.Close)
	ignorant.TLS.NextProtos = nil
	ignorant.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := ignorant.TLS.Clone()
		c.GetConfigForClient = nil
		return c, nil
	}
	conf.TLS = &tls.Config{InsecureSkipVerify: true}
	_, _, err := get(t.Context(), newClient(t, conf, []string{addrOf(ignorant)}), "https://echo/")
	if err == nil || !strings.Contains(err.Error(), "does not speak HTTP/2") {
		t.Errorf("got %v", err)
	}
}

func TestAServerOfTLSRefusesPlainRequests(t *testing.T) {
	s, _ := secure(t, hello("a"), false)
	if code, _, err := get(t.Context(), newClient(t, Config{}, []string{addrOf(s)}), "http://echo/"); err != nil || code != http.StatusBadRequest {
		t.Errorf("%d, %v", code, err) // Go's server answers this in plain
	}
}

func TestMistakesInTheConfigAreReported(t *testing.T) {
	_, err := core.New(static.Watcher("h:1"), Dial(Config{ServerName: func(core.Endpoint) string { return "x" }}))
	if err == nil || !strings.Contains(err.Error(), "ServerName without TLS") {
		t.Errorf("got %v", err)
	}
	if _, err := core.New(static.Watcher("h:1"), Dial(Config{TLSNames: []string{"x"}})); err == nil || !strings.Contains(err.Error(), "TLSNames without TLS") {
		t.Errorf("got %v", err)
	}
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secured := range []bool{false, true} {
		s := httptest.NewUnstartedServer(hello("a"))
		_ = s.Listener.Close()
		s.Listener = ln
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		scheme, conf := "http", Config{}
		if secured {
			if ln, err = net.Listen("unix", path+"2"); err != nil {
				t.Fatal(err)
			}
			s.Listener = ln
			s.StartTLS()
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())
			scheme, conf.TLS = "https", &tls.Config{RootCAs: roots, ServerName: "example.com"}
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		pool := newPool(t, conf, []string{"unix:" + ln.Addr().String()}, core.MaxActive(1), core.ValidateAfterIdle(0))
		for range 3 {
			if _, got, err := get(t.Context(), clientOf(t, pool), scheme+"://echo/"); err != nil || got != "a echo/" {
				t.Errorf("TLS %v: %q, %v", secured, got, err)
			}
		}
		if _, got, err := get(t.Context(), clientOf(t, pool, EndpointHost()), scheme+"://echo/"); err != nil || got != "a localhost/" {
			t.Errorf("TLS %v: %q, %v", secured, got, err)
		}
		if n := pool.Stats().Endpoints[0].Dials; n != 1 {
			t.Errorf("TLS %v: %d connections", secured, n)
		}
		if secured { // a socket has no name of its own
			conf.TLS.ServerName = ""
			_, _, err := get(t.Context(), newClient(t, conf, []string{"unix:" + ln.Addr().String()}), "https://echo/")
			if err == nil || !strings.Contains(err.Error(), "no ServerName") {
				t.Errorf("got %v", err)
			}
		}
	}
}
