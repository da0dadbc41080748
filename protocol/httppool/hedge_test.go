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

// slowOnce is a handler for several servers, the first of which to be asked for
// /slow keeps it until the request ends, or end is called.
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

// practise sends requests until the pool knows what is late.
func practise(t *testing.T, c *http.Client) {
	t.Helper()
	for range 300 {
		if code, _, err := get(t.Context(), c, "http://echo/"); code != 200 || err != nil {
			t.Fatal(code, err)
		}
	}
	sleep(250 * time.Millisecond) // it reckons every 100
}

func all(*http.Request) bool { return true }

func TestALateRequestIsSentASecondTime(t *testing.T) {
	s := newSlowOnce()
	a, b := kinds(t, s.ServeHTTP), kinds(t, s.ServeHTTP)
	t.Cleanup(s.end) // before that of the servers, which wait for it
	for _, name := range []string{"HTTP1", "h2c"} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, a[name].conf, []string{a[name].addr, b[name].addr})
			c := clientOf(t, pool, Hedged(all))
			// When another program has the processor it seems that the servers have
			// more to do than usual, and then nothing is hedged.
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
			until(t, "the one that lost is cancelled", func() bool { return s.gone.Load() > 0 && inUse(pool) == 0 })
			s.gone.Store(0)
		})
	}
}

func TestRequestsWithABodyAreNotSentASecondTime(t *testing.T) {
	s := newSlowOnce()
	c := clientOf(t, newPool(t, Config{}, []string{addrOf(server(t, s.ServeHTTP)), addrOf(server(t, s.ServeHTTP))}), Hedged(all))
	t.Cleanup(s.end) // before that of the servers, which wait for it
	practise(t, c)
	ctx, cancel := contextOf(t, 200*time.Millisecond)
	defer cancel()
	_, _, err := call(ctx, c, http.MethodPut, "http://echo/slow", "x")
	if n := s.asked.Load(); !errors.Is(err, context.DeadlineExceeded) || n != 1 {
		t.Errorf("error %v, asked %d times", err, n)
	}
}

// TestHedgedRequestsLoseNoConnection ends requests at all times, servers at some.
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
	c := clientOf(t, pool, Hedged(all))
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

func TestAnotherWinnerIsClosed(t *testing.T) {
	for _, over := range []bool{false, true} {
		var r race
		first := &http.Response{Body: &closing{Reader: strings.NewReader("x")}}
		second := &http.Response{Body: &closing{Reader: strings.NewReader("x")}}
		if over {
			r.end(nil)
		}
		if won := r.win(first); won == over {
			t.Errorf("over %v, the first wins: %v", over, won)
		}
		if r.win(second) {
			t.Error("the second wins, too")
		}
		r.end(nil) // the caller has left
		if n := first.Body.(*closing).closed.Load(); (n == 1) == over {
			t.Errorf("over %v: closed %d times", over, n)
		}
	}
}
