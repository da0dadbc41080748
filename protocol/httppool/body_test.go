//go:build go1.26

package httppool

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// request sends a GET and returns the response, whose body is not read.
func request(tb testing.TB, c *http.Client, method, url string) *http.Response {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// endless sends the beginning of a body and never its end.
func endless(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "some")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	panic(http.ErrAbortHandler) // or the end might still come through
}

func TestTheEndOfTheBodyIsTheEndOfTheLease(t *testing.T) {
	for name, k := range kinds(t, endless) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			c := clientOf(t, pool)
			for range 3 {
				resp := request(t, c, http.MethodGet, k.scheme+"://echo/")
				buf := make([]byte, 4)
				if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "some" {
					t.Fatalf("%q, %v", buf, err)
				}
				if inUse(pool) != 1 {
					t.Fatal("the lease has ended before the body")
				}
				_ = resp.Body.Close()
				if inUse(pool) != 0 {
					t.Fatal("Close did not end the lease")
				}
				if k.proto == 1 { // the rest would have to be read first
					until(t, "the connection is closed", func() bool { return open(pool) == 0 })
				} else if open(pool) != 1 {
					t.Fatal("a shared connection was closed")
				}
			}
		})
	}
}

func TestABodyThatWasReadToItsEndLeavesTheConnection(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			_, _ = io.WriteString(w, "some")
		case "/chunked":
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "some")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/unchanged":
			w.Header().Set("ETag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		case "/big":
			_, _ = w.Write(make([]byte, 1<<20))
		}
	}
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			c := clientOf(t, pool)
			for _, path := range []string{"length", "chunked", "none", "unchanged", "empty", "big"} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					resp := request(t, c, method, k.scheme+"://echo/"+path)
					if method == http.MethodHead && path == "length" && resp.ContentLength != 4 {
						t.Errorf("HEAD: the length is %d", resp.ContentLength)
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Errorf("%s %s: %v", method, path, err)
					}
					if n := inUse(pool); n != 0 {
						t.Errorf("%s %s: %d leases at the end of the body, which is not closed", method, path, n)
					}
					if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
						t.Errorf("%s %s: after the end: %v", method, path, err)
					}
					if err := resp.Body.Close(); err != nil {
						t.Errorf("%s %s: %v", method, path, err)
					}
					if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
						t.Errorf("%s %s: a closed body can be read", method, path)
					}
				}
			}
			if n := pool.Stats().Endpoints[0].Dials; n != 1 {
				t.Errorf("%d connections were opened", n)
			}
		})
	}
}

func TestReadingAndClosingABodyAtOnceRacesWithNothing(t *testing.T) {
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 1<<16)) }) {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(2))
			c := clientOf(t, pool)
			for range 50 {
				resp := request(t, c, http.MethodGet, k.scheme+"://echo/")
				done := make(chan struct{})
				go func() { // ends when the body is closed
					defer close(done)
					_, _ = io.Copy(io.Discard, resp.Body)
				}()
				_ = resp.Body.Close()
				<-done
			}
			if n := inUse(pool); n != 0 {
				t.Errorf("%d leases", n)
			}
		})
	}
}

func TestAServerThatSaysCloseGetsNoOtherRequestOnItsConnection(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	})
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
	c := clientOf(t, pool)
	for range 20 {
		if _, got, err := call(t.Context(), c, http.MethodPost, "http://echo/", "x"); err != nil || got != "bye" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestARequestThatSaysCloseIsTheLastOnItsConnection(t *testing.T) {
	s := server(t, hello("a"))
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
	c := clientOf(t, pool)
	for range 3 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://echo/", nil)
		req.Close = true
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if n := pool.Stats().Endpoints[0].Dials; n < 3 {
		t.Errorf("%d connections for 3 requests", n)
	}
}

func TestTrailersComeThrough(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("Sum", r.Trailer.Get("Sum"))
	}
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, k.conf, []string{k.addr})
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.scheme+"://echo/", io.NopCloser(strings.NewReader("body")))
			req.Trailer = http.Header{"Sum": {"42"}}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil || resp.Trailer.Get("Sum") != "42" {
				t.Errorf("%q, %v, trailers %v", b, err, resp.Trailer)
			}
		})
	}
}

func TestCompressionIsTransparentAndCanBeTurnedOff(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			_, _ = io.WriteString(w, "plain")
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "zipped")
		_ = z.Close()
	})
	for want, conf := range map[string]Config{"zipped": {}, "plain": {Base: &http.Transport{DisableCompression: true}}} {
		pool := newPool(t, conf, []string{addrOf(s)}, core.MaxActive(1))
		for range 2 {
			if _, got, err := get(t.Context(), clientOf(t, pool), "http://echo/"); err != nil || got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		if n := inUse(pool); n != 0 {
			t.Errorf("%d leases", n)
		}
	}
}

// reports sends ch every report that the pool's balancer receives.
func reports(ch chan<- balance.Report) core.Option {
	return core.WithBalancer(prefer{see: func(_ int, r balance.Report) { ch <- r }})
}

func TestAServerThatClosesMidBodyHasFailed(t *testing.T) {
	for name, head := range map[string]string{
		"length":  "Content-Length: 10\r\n\r\nsome",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr := prototest.Listen(t, func(nc net.Conn) {
				_, _ = nc.Read(make([]byte, 4096))
				_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\n"+head)
			})
			reported := make(chan balance.Report, 2)
			pool := newPool(t, Config{}, []string{addr}, core.MaxActive(1), reports(reported))
			_, got, err := get(t.Context(), clientOf(t, pool), "http://echo/")
			if got != "some" || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q, %v", got, err)
			}
			if a, b := <-reported, <-reported; a.Outcome != balance.OutcomeOK || b.Outcome != balance.OutcomeFailure {
				t.Errorf("reported %v, then %v", a, b)
			}
			if inUse(pool) != 0 {
				t.Error("the lease has not ended")
			}
		})
	}
}

func TestACallerThatCancelsMidBodyBlamesNobody(t *testing.T) {
	for name, k := range kinds(t, endless) {
		t.Run(name, func(t *testing.T) {
			reported := make(chan balance.Report, 9)
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1), reports(reported))
			ctx, cancel := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, k.scheme+"://echo/", nil)
			resp, err := clientOf(t, pool).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			_ = resp.Body.Close()
			if n := inUse(pool); n != 0 {
				t.Errorf("%d leases", n)
			}
			if len(reported) != 1 {
				t.Errorf("%d reports, the last %v", len(reported), <-reported)
			}
		})
	}
}

func TestAResponseThatIsNoHTTPIsAnErrorThatSaysSo(t *testing.T) {
	for _, answer := range []string{"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "\x00\x01\x02\x03\r\n\r\n"} {
		addr := prototest.Listen(t, func(nc net.Conn) {
			_, _ = nc.Read(make([]byte, 4096))
			_, _ = io.WriteString(nc, answer)
		})
		_, _, err := get(t.Context(), newClient(t, Config{}, []string{addr}), "http://echo/")
		var e *Error
		if !errors.As(err, &e) || e.Endpoint != addr || e.Outcome != balance.OutcomeFailure || e.Attempts != DefaultAttempts || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("%q: %v", answer, err)
		}
	}
	addr := prototest.Listen(t, func(nc net.Conn) {
		_, _ = nc.Read(make([]byte, 4096))
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nA: %s\r\n\r\n", bytes.Repeat([]byte("x"), 4096))
	})
	conf := Config{Base: &http.Transport{MaxResponseHeaderBytes: 1024}}
	if _, _, err := get(t.Context(), newClient(t, conf, []string{addr}), "http://echo/"); err == nil || !strings.Contains(err.Error(), "exceeded 1024 bytes") {
		t.Errorf("a header that is too long: %v", err)
	}
	addr = prototest.Listen(t, func(nc net.Conn) {
		_, _ = nc.Read(make([]byte, 4096))
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nA: %s\r\n\r\n", bytes.Repeat([]byte("x"), 70<<10))
	})
	if _, _, err := get(t.Context(), newClient(t, Config{}, []string{addr}), "http://echo/"); err == nil || !strings.Contains(err.Error(), "exceeded 65536 bytes") {
		t.Errorf("a header that is too long for the default: %v", err)
	}
}

func TestTheBodyOfAnEarlyAnswerIsRead(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too much")
	})
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
	c := clientOf(t, pool)
	for range 10 {
		body := &closing{Reader: io.LimitReader(zeros{}, 1<<24)}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://echo/", body)
		resp, err := c.Do(req)
		if err != nil { // the server resets what it does not read: either may be seen first, as with net/http
			continue
		}
		if b, err := io.ReadAll(resp.Body); err == nil && string(b) != "too much" {
			t.Errorf("%q", b)
		}
		_ = resp.Body.Close()
		until(t, "the body of the request is closed", func() bool { return body.closed.Load() > 0 })
	}
	until(t, "no lease is left", func() bool { return inUse(pool) == 0 })
	if _, got, err := get(t.Context(), c, "http://echo/"); err != nil || got != "too much" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
