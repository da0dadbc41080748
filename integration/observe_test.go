package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// observer is a watch without a pool, kept up as a pool would.
type observer struct {
	mu    sync.Mutex
	set   []core.Endpoint
	told  int       // how many sets were reported
	first time.Time // when the first was
	least int       // the size of the smallest
	err   error     // of the last Watch
	stop  func()    // ends it; the end of the test does too
}

// observe watches until the test ends.
func observe(t *testing.T, url string) *observer {
	t.Helper()
	w, err := mux.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			err := w.Watch(ctx, o.report)
			o.mu.Lock()
			o.err = err
			o.mu.Unlock()
			select {
			case <-time.Tick(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	o.stop = func() {
		cancel()
		watching.Wait()
	}
	t.Cleanup(o.stop)
	return o
}

func (o *observer) report(set []core.Endpoint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told == 0 {
		o.first, o.least = time.Now(), len(set)
	}
	o.set, o.told, o.least = set, o.told+1, min(o.least, len(set))
}

// reports returns how many sets were reported.
func (o *observer) reports() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told
}

// await waits for a set of which ok holds.
func (o *observer) await(t *testing.T, what string, limit time.Duration, ok func([]core.Endpoint) bool) time.Duration {
	t.Helper()
	return eventually(t, what, limit, func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.told > 0 && ok(o.set) {
			return nil
		}
		return fmt.Errorf("%d endpoints after %d reports, last watch: %w", len(o.set), o.told, errors.Join(o.err, errNotYet))
	})
}

func sameAddrs(set []core.Endpoint, want []string) bool {
	if len(set) != len(want) {
		return false
	}
	for _, e := range set {
		if !slices.Contains(want, e.Addr) {
			return false
		}
	}
	return true
}
