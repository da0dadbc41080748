//go:build go1.26

package httppool

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// tagger is an observer that gives each attempt a number of its own, in its
// context.
type tagger struct {
	retry.Log

	n atomic.Int64
}

type tag struct{}

func (o *tagger) Begin(ctx context.Context, _ retry.Info) context.Context {
	return context.WithValue(ctx, tag{}, string(rune('0'+o.n.Add(1))))
}

// mark sends the tag of an attempt to the server.
func mark(ctx context.Context, h http.Header) {
	s, _ := ctx.Value(tag{}).(string)
	h.Set("Tag", s)
}

func TestObserverSeesTheAttemptsOfARequestAndMarksEach(t *testing.T) {
	var mu sync.Mutex
	var marks []string
	handler := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			marks = append(marks, r.Header.Get("Tag")+r.Header.Get("Own"))
			mu.Unlock()
			w.WriteHeader(code)
		}
	}
	for name, bad := range kinds(t, handler(http.StatusServiceUnavailable)) {
		if name != "HTTP1" && name != "h2c" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			marks = nil
			good := kinds(t, handler(http.StatusOK))[name]
			pool := newPool(t, bad.conf, []string{bad.addr, good.addr})
			o := new(tagger)
			pool.Retrier().Observe(o)
			c := clientOf(t, pool, WithHeader(mark))
			until(t, "a request meets the server that refuses it", func() bool {
				seen, sent := len(o.Attempts()), len(marks)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://echo/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Own", "x")
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.Request != req || req.Header.Get("Tag") != "" {
					t.Error("the caller's request is not the response's, or was changed")
				}
				all := o.Attempts()[seen:]
				if len(all) != 2 {
					return false
				}
				if a := all[0]; a.Name != http.MethodGet || a.Number != 1 || a.Endpoint != bad.addr || a.Code != 503 ||
					a.Outcome != balance.OutcomeOverload || a.Err == nil || a.Err.Error() != "httppool: the server answered 503 Service Unavailable" {
					t.Errorf("the first: %+v", a)
				}
				if a := all[1]; a.Number != 2 || a.Endpoint != good.addr || a.Code != 200 || a.Outcome != balance.OutcomeOK || a.Err != nil {
					t.Errorf("the second: %+v", a)
				}
				if m := marks[sent:]; len(m) != 2 || m[0] == m[1] || m[0] == "x" || m[1] == "x" {
					t.Errorf("the servers have seen the marks %q", m)
				}
				return true
			})
		})
	}
}

func TestContextOfAnObserverReachesHedgedRequests(t *testing.T) {
	var unmarked atomic.Int64
	h := func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Tag") == "" {
			unmarked.Add(1)
		}
	}
	pool := newPool(t, Config{}, []string{addrOf(server(t, h)), addrOf(server(t, h))})
	o := new(tagger)
	pool.Retrier().Observe(o)
	c := clientOf(t, pool, WithHedged(all), WithHeader(mark))
	ctx, cancel := contextOf(t, 10*time.Second)
	defer cancel()
	if code, _, err := get(ctx, c, "http://echo/"); code != 200 || err != nil || unmarked.Load() != 0 || len(o.Attempts()) == 0 {
		t.Errorf("%d, %v; %d requests without a mark, %d attempts seen", code, err, unmarked.Load(), len(o.Attempts()))
	}
}
