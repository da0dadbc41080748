//go:build go1.26

package httppool

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// switching upgrades to a line echo that says bye at the end.
func switching(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "echo" {
		_, _ = io.WriteString(w, "plain")
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = nc.Close() }()
	_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(nc, rw)
	_, _ = io.WriteString(nc, "bye\n")
}

func upgrade(t *testing.T, c *http.Client, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestAnUpgradedConnectionIsTheCallersUntilItIsClosed(t *testing.T) {
	s := server(t, switching)
	st, secured := secure(t, switching, false)
	const limit = 200 * time.Millisecond
	secured.Timeout = limit
	for _, k := range []kind{{"http", addrOf(s), Config{Timeout: limit}, 1}, {"https", addrOf(st), secured, 1}} {
		for _, body := range []string{"", "a body"} {
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(2))
			c := clientOf(t, pool)
			resp := upgrade(t, c, k.scheme+"://echo/", body)
			if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "echo" {
				t.Fatalf("%d, %v", resp.StatusCode, resp.Header)
			}
			rwc, ok := resp.Body.(interface {
				io.ReadWriteCloser
				CloseWrite() error
			})
			if !ok {
				t.Fatalf("a body of type %T cannot be written", resp.Body)
			}
			r := bufio.NewReader(rwc)
			say := func(line string) {
				t.Helper()
				if _, err := io.WriteString(rwc, line); err != nil {
					t.Fatal(err)
				}
				if got, err := r.ReadString('\n'); got != line || err != nil {
					t.Fatalf("%q, %v", got, err)
				}
			}
			say("one\n")
			sleep(limit + limit/4) // the limit does not hold for an upgraded connection
			say("two\n")
			if inUse(pool) != 1 {
				t.Error("it is not leased")
			}
			// Others use other connections meanwhile.
			if _, got, err := get(t.Context(), c, k.scheme+"://echo/"); got != "plain" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if err := rwc.CloseWrite(); err != nil {
				t.Errorf("CloseWrite: %v", err)
			}
			if got, err := r.ReadString('\n'); got != "bye\n" || err != nil {
				t.Errorf("after CloseWrite: %q, %v", got, err)
			}
			if err := rwc.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			until(t, "its place is free", func() bool { return open(pool) == 1 && inUse(pool) == 0 })
			_ = rwc.Close() // does no harm
		}
	}
}

func TestAnUpgradeThatIsDeclinedIsAnOrdinaryAnswer(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "no") })
	pool := newPool(t, Config{}, []string{addrOf(s)}, core.MaxActive(1))
	c := clientOf(t, pool)
	for range 3 {
		resp := upgrade(t, c, "http://echo/", "")
		if b, err := io.ReadAll(resp.Body); string(b) != "no" || err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%d %q, %v", resp.StatusCode, b, err)
		}
	}
	if n := pool.Stats().Endpoints[0].Dials; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAnUpgradedConnectionEndsWithThePool(t *testing.T) {
	s := server(t, switching)
	pool := newPool(t, Config{}, []string{addrOf(s)})
	resp := upgrade(t, clientOf(t, pool), "http://echo/", "")
	closed := make(chan error)
	go func() { // sends what is received below
		_, err := io.Copy(io.Discard, resp.Body)
		closed <- err
	}()
	ctx, cancel := contextOf(t, 10*time.Millisecond)
	defer cancel()
	if err := pool.Close(ctx); err == nil {
		t.Error("the pool closed in peace")
	}
	if err := <-closed; err == nil {
		t.Error("the connection ended in peace")
	}
}

// The response begins, and goes on, while the request's body is still being sent.
func TestARequestAndItsResponseMayStreamAtOnce(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = rc.Flush()
		for buf := make([]byte, 100); ; {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = rc.Flush()
			if err != nil {
				return
			}
		}
	}
	for name, k := range kinds(t, h) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k.conf.Timeout = 200 * time.Millisecond
			pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
			pr, pw := io.Pipe()
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, k.scheme+"://echo/", pr)
			resp, err := clientOf(t, pool).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"one", "two"} {
				if _, err := io.WriteString(pw, part); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 3)
				if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != part {
					t.Fatalf("%q, %v", buf, err)
				}
				sleep(k.conf.Timeout + k.conf.Timeout/4) // the timeout holds until the response begins
			}
			_ = pw.Close()
			if rest, err := io.ReadAll(resp.Body); len(rest) != 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			_ = resp.Body.Close()
			until(t, "the lease has ended", func() bool { return inUse(pool) == 0 })
		})
	}
}

func TestAnUpgradeOverHTTP2IsAnError(t *testing.T) {
	s, conf := h2c(t, switching)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://echo/", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	_, err := newClient(t, conf, []string{addrOf(s)}).Transport.RoundTrip(req)
	var e *Error
	if !errors.As(err, &e) || e.Outcome != balance.OutcomeNeutral || !strings.Contains(err.Error(), "Upgrade") {
		t.Errorf("got %v", err)
	}
}
