//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestRedirectsAndCookiesAreTheClients(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.SetCookie(w, &http.Cookie{Name: "who", Value: "me"})
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/keep":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case "/there":
			b, _ := io.ReadAll(r.Body)
			c, _ := r.Cookie("who")
			_, _ = io.WriteString(w, strings.Join([]string{r.Method, string(b), c.String()}, " "))
		}
	}
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, k.conf, []string{k.addr})
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Jar = jar
			for _, q := range []struct{ path, want string }{{"/", "GET  who=me"}, {"/keep", "POST body who=me"}} {
				if code, got, err := call(t.Context(), c, http.MethodPost, k.scheme+"://echo"+q.path, "body"); code != http.StatusOK || got != q.want || err != nil {
					t.Errorf("%s: %d %q, %v", q.path, code, got, err)
				}
			}
		})
	}
}

func TestTheTimeoutOfTheClientHolds(t *testing.T) {
	for name, k := range kinds(t, endless) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			ready(t, pool)
			c := clientOf(t, pool)
			c.Timeout = 200 * time.Millisecond
			_, got, err := get(t.Context(), c, k.scheme+"://echo/")
			var timeout net.Error
			if got != "some" || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%q, %v", got, err)
			}
			if n := inUse(pool); n != 0 {
				t.Errorf("%d leases", n)
			}
		})
	}
}

// hooks calls note for the events of a request, in order.
func hooks(ctx context.Context, note func(string)) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(host string) { note("get " + host) },
		GotConn: func(i httptrace.GotConnInfo) {
			switch {
			case i.Conn == nil || i.WasIdle != i.Reused || i.IdleTime < 0 || !i.WasIdle && i.IdleTime != 0:
				note("got nothing")
			case i.Reused:
				note("got old")
			default:
				note("got new")
			}
		},
		GotFirstResponseByte: func() { note("first byte") },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			note(h.Get("Link"))
			return nil
		},
		WroteRequest: func(i httptrace.WroteRequestInfo) { note("wrote") },
	})
}

func TestTraceHooksAreCalledAndEarlyHintsComeThrough(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "<style>")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "ok")
	}
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, k.conf, []string{k.addr})
			for _, got := range []string{"got new", "got old"} {
				var mu sync.Mutex
				var all []string
				ctx := hooks(t.Context(), func(s string) {
					mu.Lock()
					defer mu.Unlock()
					all = append(all, s)
				})
				if code, got, err := get(ctx, c, k.scheme+"://echo/"); code != http.StatusOK || got != "ok" || err != nil {
					t.Fatalf("%d %q, %v", code, got, err)
				}
				mu.Lock()
				if want := []string{"get echo:" + map[string]string{"http": "80", "https": "443"}[k.scheme], got, "wrote", "first byte", "<style>"}; len(all) != len(want) || !slices.Equal(all[:2], want[:2]) ||
					!slices.Equal(slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(want))) {
					t.Errorf("%v, want %v", all, want)
				}
				mu.Unlock()
			}
		})
	}
}

func TestAPanicOfTheCallersCodeLeaksNoConnection(t *testing.T) {
	for name, k := range kinds(t, hello("a")) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { panic("mine") }})
			var recovered any
			func() {
				defer func() { recovered = recover() }()
				_, _, _ = get(ctx, clientOf(t, pool), k.scheme+"://echo/")
			}()
			if recovered != "mine" || inUse(pool) != 0 {
				t.Errorf("recovered %v, and there are %d leases", recovered, inUse(pool))
			}
			if _, got, err := get(t.Context(), clientOf(t, pool), k.scheme+"://echo/"); got != "a echo/" || err != nil {
				t.Errorf("afterwards: %q, %v", got, err)
			}
		})
	}
}

// The client sends the body only if the server asks for it.
func TestAServerMayDeclineABodyThatItIsAskedFor(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/no":
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusExpectationFailed)
		default:
			_, _ = io.Copy(w, r.Body) // which says 100 Continue
		}
	}
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			k.conf.Base = &http.Transport{ExpectContinueTimeout: enough}
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			c := clientOf(t, pool)
			for path, want := range map[string]string{"/yes": "body", "/no": ""} {
				read := &counting{r: strings.NewReader("body")}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.scheme+"://echo"+path, io.NopCloser(read))
				req.ContentLength = 4
				req.Header.Set("Expect", "100-continue")
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(b) != want || err != nil {
					t.Errorf("%s: %d %q, %v", path, resp.StatusCode, b, err)
				}
				if n := read.count(); path == "/no" && n != 0 {
					t.Errorf("%d bytes of a body that was declined were read", n)
				}
			}
			until(t, "no lease is left", func() bool { return inUse(pool) == 0 })
		})
	}
}

type counting struct {
	mu sync.Mutex
	n  int
	r  io.Reader
}

func (c *counting) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func TestABodyThatIsAtFaultBlamesNobody(t *testing.T) {
	broken := errors.New("broken")
	for name, k := range kinds(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }) {
		t.Run(name, func(t *testing.T) {
			reported := make(chan balance.Report, 1)
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1), reports(reported))
			c := clientOf(t, pool)
			for want, body := range map[string]io.Reader{
				"broken": io.MultiReader(strings.NewReader("so"), iotest.ErrReader(broken)),
				"length": strings.NewReader("so"),
			} {
				if want == "length" && k.proto == 2 {
					continue // only the server checks the length there
				}
				in := &closing{Reader: body}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, k.scheme+"://echo/", in)
				req.ContentLength = 4
				resp, err := c.Transport.RoundTrip(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				var e *Error
				if !errors.As(err, &e) || e.Outcome != balance.OutcomeNeutral || e.Attempts != 1 || want == "broken" && !errors.Is(err, broken) {
					t.Errorf("%s: %v", want, err)
				}
				if r := <-reported; r.Outcome != balance.OutcomeNeutral {
					t.Errorf("%s: reported %v", want, r)
				}
				if in.closed.Load() == 0 {
					t.Errorf("%s: the body is not closed", want)
				}
				until(t, "no lease is left", func() bool { return inUse(pool) == 0 })
			}
		})
	}
}

func TestRequestsThroughALeasedConnection(t *testing.T) {
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Host+" "+string(b))
	}) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			err := pool.Do(t.Context(), func(ctx context.Context, conn *Conn) error {
				c := &http.Client{Transport: conn}
				for _, host := range []string{"one", "two"} {
					if _, got, err := call(ctx, c, http.MethodPost, k.scheme+"://"+host+"/", "x"); got != host+" x" || err != nil {
						t.Errorf("%q, %v", got, err)
					}
				}
				body := &closing{Reader: strings.NewReader("x")}
				req, _ := http.NewRequestWithContext(ctx, http.MethodPut, "ftp://one/", body)
				if _, err := conn.RoundTrip(req); err == nil || body.closed.Load() == 0 {
					t.Errorf("got %v, and the body was closed %d times", err, body.closed.Load())
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if n := pool.Stats().Endpoints[0].Dials; n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestAnErrorOfTheApplicationCostsNeitherTheServerNorTheConnection(t *testing.T) {
	for name, k := range kinds(t, hello("a")) {
		t.Run(name, func(t *testing.T) {
			reported := make(chan balance.Report, 1)
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1), reports(reported))
			mine := errors.New("no such user")
			for range 3 {
				err := pool.Do(t.Context(), func(ctx context.Context, conn *Conn) error {
					if _, _, err := get(ctx, &http.Client{Transport: conn}, k.scheme+"://echo/"); err != nil {
						return err
					}
					return mine
				})
				if r := <-reported; !errors.Is(err, mine) || r.Outcome != balance.OutcomeNeutral {
					t.Errorf("%v, reported %v", err, r.Outcome)
				}
			}
			if n := pool.Stats().Endpoints[0].Dials; n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestARequestThatFailsOnALeasedConnectionIsJudged(t *testing.T) {
	broken := errors.New("broken")
	addr, _ := dying(t, 0)
	for _, k := range []struct {
		why  string
		body io.Reader
		url  string
		want balance.Outcome
	}{
		{"the server dies", nil, "http://echo/", balance.OutcomeFailure},
		{"the body breaks off", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), "http://echo/", balance.OutcomeNeutral},
		{"the scheme is wrong", nil, "https://echo/", balance.OutcomeNeutral},
	} {
		reported := make(chan balance.Report, 1)
		pool := newPool(t, Config{}, []string{addr}, core.MaxActive(1), reports(reported))
		err := pool.Do(t.Context(), func(ctx context.Context, conn *Conn) error {
			resp, err := (&http.Client{Transport: conn}).Do(must(http.NewRequestWithContext(ctx, http.MethodPost, k.url, k.body)))
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		})
		var e *Error
		if r := <-reported; !errors.As(err, &e) || e.Outcome != k.want || e.Endpoint != addr || e.Attempts != 1 || r.Outcome != k.want {
			t.Errorf("%s: %v, reported %v", k.why, err, r.Outcome)
		}
	}
}
