//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// slowOnce is a handler for several servers. The first request for /slow hangs
// until it is canceled or end is called.
type slowOnce struct {
	asked, gone atomic.Int32
	release     chan struct{}
}

func newSlowOnce() *slowOnce { return &slowOnce{release: make(chan struct{})} }

func (s *slowOnce) end() { close(s.release) }

func (s *slowOnce) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" && s.asked.Add(1) == 1 {
		select {
		case <-s.release:
		case <-r.Context().Done():
			s.gone.Add(1)
		}
		return
	}
	_, _ = io.WriteString(w, strings.Repeat("body ", 2000))
}

// practise sends requests until the pool knows which ones are late.
func practise(t *testing.T, c *http.Client) {
	t.Helper()
	for range 300 {
		if code, _, err := get(t.Context(), c, "http://echo/"); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	sleep(250 * time.Millisecond) // the pool learns every 100 ms
}

func all(*http.Request) bool { return true }

func TestALateRequestIsSentASecondTime(t *testing.T) {
	s := newSlowOnce()
	a, b := kinds(t, s.ServeHTTP), kinds(t, s.ServeHTTP)
	t.Cleanup(s.end) // before that of the servers, which wait for it
	for _, name := range []string{"HTTP1", "h2c"} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, a[name].conf, []string{a[name].addr, b[name].addr})
			c := clientOf(t, pool, WithHedged(all))
			// While another program has the processor, the servers seem to have more
			// to do than usual, and the pool does not hedge.
			until(t, "a request is sent twice", func() bool {
				practise(t, c)
				s.asked.Store(0)
				ctx, cancel := contextOf(t, time.Second)
				defer cancel()
				code, got, err := get(ctx, c, "http://echo/slow")
				if err == nil && (code != 200 || len(got) != 10000) {
					t.Errorf("%d, %d bytes", code, len(got))
				}
				return err == nil && s.asked.Load() == 2
			})
			until(t, "the one that lost is canceled", func() bool { return s.gone.Load() > 0 && inUse(pool) == 0 })
			s.gone.Store(0)
		})
	}
}

func TestRequestsWithABodyAreNotSentASecondTime(t *testing.T) {
	s := newSlowOnce()
	c := clientOf(t, newPool(t, Config{}, []string{addrOf(server(t, s.ServeHTTP)), addrOf(server(t, s.ServeHTTP))}), WithHedged(all))
	t.Cleanup(s.end) // before that of the servers, which wait for it
	practise(t, c)
	ctx, cancel := contextOf(t, 200*time.Millisecond)
	defer cancel()
	_, _, err := call(ctx, c, http.MethodPut, "http://echo/slow", "x")
	if n := s.asked.Load(); !errors.Is(err, context.DeadlineExceeded) || n != 1 {
		t.Errorf("error %v, asked %d times", err, n)
	}
}

// Requests end at any time, some by their server.
func TestHedgedRequestsLoseNoConnection(t *testing.T) {
	var n atomic.Int64
	h := func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%20 == 0 {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		if n.Load()%97 == 0 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, strings.Repeat("body ", 2000))
	}
	pool := newPool(t, Config{}, []string{addrOf(server(t, h)), addrOf(server(t, h)), addrOf(server(t, h))}, core.MaxActive(8))
	c := clientOf(t, pool, WithHedged(all))
	var callers sync.WaitGroup
	for k := range 4 {
		callers.Go(func() {
			for i := range 400 {
				ctx, cancel := contextOf(t, enough)
				if i%5 == k {
					cancel()
					ctx, cancel = contextOf(t, time.Duration(i%7)*500*time.Microsecond)
				}
				resp, err := c.Do(must(http.NewRequestWithContext(ctx, http.MethodGet, "http://echo/", nil)))
				if err == nil {
					if i%3 > 0 {
						if b, err := io.ReadAll(resp.Body); err == nil && len(b) != 10000 {
							t.Errorf("%d bytes", len(b))
						}
					}
					_ = resp.Body.Close()
				}
				cancel()
			}
		})
	}
	callers.Wait()
	until(t, "all leases have ended", func() bool { return inUse(pool) == 0 })
}

func must(req *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return req
}
