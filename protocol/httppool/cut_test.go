//go:build go1.26

package httppool

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

// cutter is a proxy that ends its first connection after a number of bytes of
// the requests or of the responses, and does not touch the others.
type cutter struct {
	to      string
	request bool // count the bytes of requests, else of responses
	at      int  // below zero: never
	reset   bool // end with RST, else with FIN
	conns   atomic.Int32

	mu   sync.Mutex
	open []*proxied
}

// proxied is a connection to the client.
type proxied struct {
	net.Conn
	gone chan struct{}
}

func (p *cutter) listen(t *testing.T) string {
	t.Helper()
	return prototest.Listen(t, func(nc net.Conn) {
		first := p.conns.Add(1) == 1
		var d net.Dialer
		up, err := d.DialContext(context.Background(), "tcp", p.to)
		if err != nil {
			return
		}
		pc := &proxied{nc, make(chan struct{})}
		defer close(pc.gone)
		p.mu.Lock()
		p.open = append(p.open, pc)
		p.mu.Unlock()
		var both sync.WaitGroup
		var once sync.Once
		end := func() {
			once.Do(func() {
				if tc, ok := nc.(*net.TCPConn); ok && p.reset && first {
					_ = tc.SetLinger(0)
				}
				_ = nc.Close()
				_ = up.Close()
			})
		}
		defer end()
		pass := func(to, from net.Conn, counted bool) {
			defer end()
			if !counted || !first || p.at < 0 {
				_, _ = io.Copy(to, from)
				return
			}
			if p.at == 0 { // not before something comes
				_, _ = from.Read(make([]byte, 1))
			}
			_, _ = io.CopyN(to, from, int64(p.at))
		}
		both.Go(func() { pass(up, nc, p.request) })
		both.Go(func() { pass(nc, up, !p.request) })
		both.Wait()
	})
}

// drop ends the connections that are open, and waits until the kernel knows.
func (p *cutter) drop() {
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	for _, pc := range open {
		_ = pc.Close()
		<-pc.gone
	}
}

// Wherever a connection ends, a request that must not be repeated is executed at
// most once, no answer is wrong or short, and the next request succeeds.
func TestAConnectionMayEndAtAnyByte(t *testing.T) {
	for _, reset := range []bool{false, true} {
		for _, request := range []bool{true, false} {
			for _, method := range []string{http.MethodPut, http.MethodPost} {
				t.Run(fmt.Sprintf("reset %v, of the request %v, %s", reset, request, method), func(t *testing.T) {
					cutAtEachByte(t, reset, request, method)
				})
			}
		}
	}
}

func cutAtEachByte(t *testing.T, reset, request bool, method string) {
	t.Helper()
	var executed atomic.Int32
	var path atomic.Value // of the requests that count: those of an earlier cut may be executed late
	count := func(r *http.Request) {
		if r.URL.Path == path.Load() {
			executed.Add(1)
		}
	}
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		count(r)
		w.Header()["Date"] = nil
		_, _ = io.WriteString(w, "a "+string(b))
	})
	other := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		count(r)
		_, _ = io.WriteString(w, "b")
	})
	length := 0
	for at, whole := 0, false; !whole; at++ {
		path.Store(fmt.Sprintf("/%04d", at))
		executed.Store(0)
		p := &cutter{to: addrOf(s), request: request, at: at, reset: reset}
		addr := p.listen(t)
		pool := newPool(t, Config{}, []string{addr, addrOf(other)}, core.MaxActive(1), first(addr))
		c := clientOf(t, pool)
		code, got, err := call(t.Context(), c, method, fmt.Sprint("http://echo", path.Load()), "body")
		whole = got == "a body" && err == nil && p.conns.Load() == 1
		switch {
		case err == nil && got != "a body" && got != "b":
			t.Fatalf("cut at %d: wrong answer %d %q", at, code, got)
		case err != nil && got != "a body"[:min(len(got), len("a body"))]: // all that may be missing is the end
			t.Fatalf("cut at %d: wrong beginning of an answer %q, %v", at, got, err)
		}
		if n := executed.Load(); n > 1 && (method == http.MethodPost || n > 2) {
			t.Fatalf("cut at %d: executed %d times; answered %q, %v; %d connections", at, n, got, err, p.conns.Load())
		}
		if method == http.MethodPut && request && err != nil {
			t.Fatalf("cut at %d: an idempotent request failed: %v", at, err)
		}
		if _, got, err := call(t.Context(), c, http.MethodPut, "http://echo/next", "next"); err != nil || got != "a next" && got != "b" {
			t.Fatalf("cut at %d: the next request: %q, %v", at, got, err)
		}
		if n := inUse(pool); n != 0 {
			t.Fatalf("cut at %d: %d leases", at, n)
		}
		if length = at; at > 1000 {
			t.Fatal("no end")
		}
	}
	if length < 50 {
		t.Errorf("the whole had %d bytes", length)
	}
}
