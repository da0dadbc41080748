//go:build go1.26

package httppool

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/protocol/internal/prototest"
)

func TestAServerThatStopsAnsweringCostsNoIdempotentRequest(t *testing.T) {
	for name, serve := range map[string]func(testing.TB, http.HandlerFunc) (*httptest.Server, Config){
		"HTTP/1.1": func(tb testing.TB, h http.HandlerFunc) (*httptest.Server, Config) {
			tb.Helper()
			return server(tb, h), Config{}
		},
		"HTTP/2": h2c,
	} {
		t.Run(name, func(t *testing.T) {
			var stalled atomic.Bool
			released := make(chan struct{})
			var addrs []string
			var conf Config
			for k := range 3 {
				s, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if k == 0 && stalled.Load() {
						<-released
					}
					w.WriteHeader(http.StatusNoContent)
				})
				addrs, conf = append(addrs, addrOf(s)), c
			}
			t.Cleanup(func() { close(released) }) // before the servers end
			client := newClient(t, conf, addrs)
			var calls, failed atomic.Int64
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for ctx.Err() == nil {
						ctx, cancel := contextOf(t, prototest.Patience)
						if code, _, err := get(ctx, client, "http://echo/path"); err != nil || code != http.StatusNoContent {
							failed.Add(1)
						}
						cancel()
						calls.Add(1)
					}
				})
			}
			more := func(n int64) {
				n += calls.Load()
				until(t, "requests go on", func() bool { return calls.Load() >= n })
			}
			more(2000)
			sleep(300 * time.Millisecond) // for the pool to take in how long answers take
			more(500)
			stalled.Store(true)
			more(2000)
			stalled.Store(false)
			more(500)
			stop()
			wg.Wait()
			if failed.Load() > 0 {
				t.Errorf("%d of %d requests failed", failed.Load(), calls.Load())
			}
		})
	}
}

func TestARequestThatTakesLongHasItsTimeBesideFastOnes(t *testing.T) {
	const long = 400 * time.Millisecond
	var made atomic.Int64
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			made.Add(1)
			sleep(long)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	client := newClient(t, Config{}, []string{addrOf(server(t, h)), addrOf(server(t, h))})
	for range 500 {
		if _, _, err := get(t.Context(), client, "http://echo/short"); err != nil {
			t.Fatal(err)
		}
	}
	sleep(300 * time.Millisecond) // for the pool to take it in
	for n := range int64(3) {
		if _, _, err := get(t.Context(), client, "http://echo/long"); err != nil || made.Load() != n+1 {
			t.Errorf("of %d requests of %v servers got %d, error %v", n+1, long, made.Load(), err)
		}
	}
}
