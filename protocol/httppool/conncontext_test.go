//go:build go1.26

package httppool

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// longLived is a context that counts what waits for its end.
type longLived struct {
	context.Context

	done    chan struct{}
	waiting atomic.Int32
}

func newLongLived(tb testing.TB) *longLived {
	tb.Helper()
	return &longLived{Context: tb.Context(), done: make(chan struct{})}
}

func (l *longLived) Done() <-chan struct{} { return l.done }

// AfterFunc is what package context calls for a derived context.
func (l *longLived) AfterFunc(func()) (stop func() bool) {
	l.waiting.Add(1)
	var stopped atomic.Bool
	return func() bool {
		if stopped.Swap(true) {
			return false
		}
		l.waiting.Add(-1)
		return true
	}
}

type ballast [16 << 10]byte

type ballastKey struct{}

// taking reads a request and closes the connection.
func taking(tb testing.TB) string {
	tb.Helper()
	return prototest.Listen(tb, func(nc net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(nc)) })
}

func TestARequestThatHasEndedLeavesNothingWithItsContext(t *testing.T) {
	bad := taking(t)
	for name, k := range kinds(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "good") }) {
		plain := k.conf.TLS == nil && !k.conf.HTTP2
		pools := map[string]*core.Pool[*Conn]{"good": newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))}
		if plain {
			pools["failing"] = newPool(t, k.conf, []string{bad}, core.MaxActive(1))
			pools["repeated"] = newPool(t, k.conf, []string{bad, k.addr}, core.MaxActive(1), first(bad))
		}
		for what, pool := range pools {
			clients := []*http.Client{clientOf(t, pool)}
			if what != "repeated" {
				tr := &http.Transport{TLSClientConfig: k.conf.TLS, Protocols: new(http.Protocols)}
				tr.Protocols.SetHTTP1(!k.conf.HTTP2)
				tr.Protocols.SetHTTP2(k.conf.HTTP2)
				tr.Protocols.SetUnencryptedHTTP2(k.conf.HTTP2)
				t.Cleanup(tr.CloseIdleConnections)
				clients = append(clients, &http.Client{Transport: toServer{tr, map[string]string{"good": k.addr, "failing": bad}[what]}})
			}
			for i, c := range clients {
				parent := newLongLived(t)
				var kept []weak.Pointer[ballast]
				for range 50 {
					value := new(ballast)
					kept = append(kept, weak.Make(value))
					_, got, err := get(context.WithValue(parent, ballastKey{}, value), c, k.scheme+"://echo/")
					if failed := err != nil; failed != (what == "failing") {
						t.Fatalf("%s, %s: %q, %v", name, what, got, err)
					}
				}
				until(t, "nothing waits for the end of the context", func() bool { return parent.waiting.Load() == 0 })
				until(t, "the values are free", func() bool {
					runtime.GC()
					n := 0
					for _, k := range kept {
						if k.Value() != nil {
							n++
						}
					}
					return n <= 1 // the last may be in a register, or in the stack of a connection
				})
				t.Logf("%s, %s, %d: nothing is left", name, what, i)
			}
		}
	}
}

// toServer sends every request to one address.
type toServer struct {
	http.RoundTripper

	addr string
}

func (s toServer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = s.addr
	return s.RoundTripper.RoundTrip(req)
}

func TestCancelEndsARequestAtEveryStage(t *testing.T) {
	begun, over := make(chan struct{}, 1), make(chan struct{})
	all := kinds(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
		begun <- struct{}{}
		<-over // not with the connection, or the response might be complete before it is cut
	})
	t.Cleanup(func() { close(over) }) // before those of the servers, which wait for it
	for name, k := range all {
		pool := newPool(t, k.conf, []string{k.addr}, core.MaxActive(1))
		ready(t, pool)
		c := clientOf(t, pool)
		send := func(path string) (cancel chan struct{}, failed chan error) {
			cancel, failed = make(chan struct{}), make(chan error, 1)
			req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, k.scheme+"://echo"+path, nil))
			req.Cancel = cancel //nolint:staticcheck // what is tested
			go func() {
				resp, err := c.Transport.RoundTrip(req)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				failed <- err
			}()
			return cancel, failed
		}
		for _, path := range []string{"/", "/body"} {
			busy, failed := send(path)
			<-begun
			waiting, unserved := send(path)
			until(t, "a request waits", func() bool { return pool.Stats().Waiting == 1 })
			close(waiting)
			var e *Error
			if err := <-unserved; !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Attempts != 0 {
				t.Errorf("%s, %s, while it waited: %v", name, path, err)
			}
			close(busy)
			if err := <-failed; !errors.Is(err, context.Canceled) || path == "/" && (!errors.As(err, &e) || e.Attempts != 1) {
				t.Errorf("%s, %s, under way: %v", name, path, err)
			}
		}
	}
}

func TestARequestWithACancelThatIsNotUsedIsLikeAnyOther(t *testing.T) {
	for name, k := range kinds(t, hello("a")) {
		c := newClient(t, k.conf, []string{k.addr})
		c.Timeout = time.Hour // which sets it
		for range 3 {
			if _, got, err := call(t.Context(), c, http.MethodPost, k.scheme+"://echo/", "x"); got != "a echo/" || err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

func TestATimeoutOfTheClientIsTheServersFaultThoughItCancels(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	req := must(http.NewRequestWithContext(dueContext{t.Context(), ctx}, http.MethodGet, "http://echo/", nil))
	ended := make(chan struct{})
	close(ended)
	req.Cancel = ended //nolint:staticcheck // what is tested
	c := newCancelContext(req)
	defer c.end()
	if err := c.Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// dueContext has a deadline that has passed, and has not noticed.
type dueContext struct {
	context.Context
	due context.Context
}

func (d dueContext) Deadline() (time.Time, bool) { return d.due.Deadline() }

// The context of a request may end while its response is read to the end: of two hedged
// requests, the later one is canceled then.
func TestConnectionWhoseRequestWasCanceledIsNotUsedAgain(t *testing.T) {
	s := server(t, func(http.ResponseWriter, *http.Request) {})
	pool := newPool(t, Config{}, []string{addrOf(s)})
	lease, err := pool.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := lease.Conn()
	ctx, cancel := context.WithCancel(t.Context())
	conn.ctx.begin(ctx)
	cancel()
	until(t, "the request is ended", func() bool { return conn.ctx.Err() != nil })
	conn.endRequest()
	release(lease, conn, &http.Response{})
	if code, _, err := get(t.Context(), clientOf(t, pool), "http://echo/"); code != http.StatusOK || err != nil {
		t.Error(code, err)
	}
}
