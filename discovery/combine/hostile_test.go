package combine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// TestNothingThatAWatcherReportsHarmsWhatCombinesIt has a watcher below each
// combination that reports what it likes. There is no wire, and so no answer without
// an end.
func TestNothingThatAWatcherReportsHarmsWhatCombinesIt(t *testing.T) {
	all := func(discovery.Endpoint) bool { return true }
	for name, combined := range map[string]func(t *testing.T, w discovery.Watcher) discovery.Watcher{
		"Union":    func(_ *testing.T, w discovery.Watcher) discovery.Watcher { return combine.Union(w, static.NewList()) },
		"Failover": func(_ *testing.T, w discovery.Watcher) discovery.Watcher { return combine.Failover(lost{}, w, 0) },
		"Filter":   func(_ *testing.T, w discovery.Watcher) discovery.Watcher { return combine.Filter(w, all) },
		"Swap":     func(_ *testing.T, w discovery.Watcher) discovery.Watcher { return combine.NewSwap(w) },
		"Remember": func(t *testing.T, w discovery.Watcher) discovery.Watcher {
			t.Helper()
			return combine.Remember(w, filepath.Join(t.TempDir(), "last.json"), time.Minute, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
				t.Helper()
				l := &liar{changed: make(chan struct{})}
				w := combined(t, l)
				return discoverytest.Fixture{
					Watcher:    func() (discovery.Watcher, error) { return w, nil },
					Put:        func(_ context.Context, set []discovery.Endpoint) error { l.change(func() { l.set = set }); return nil },
					Close:      func() error { return nil },
					Contradict: l.while(contradicting),
					Storm:      l.while(func(int) []discovery.Endpoint { return many(3) }),
					Restless: l.while(func(n int) []discovery.Endpoint {
						return []discovery.Endpoint{{Addr: fmt.Sprintf("10.1.0.%d:80", n%250)}}
					}),
					Flood: func(ctx context.Context, entries, size int) (func() error, error) {
						value := strings.Repeat("v", size)
						return l.while(func(int) []discovery.Endpoint {
							set := many(entries)
							for i := range set {
								set[i].Attrs = map[string]string{"a": value}
							}
							return set
						})(ctx)
					},
					Timeout: time.Minute,
				}
			})
		})
	}
}

// liar is a watcher that reports a set, and while it lies what lie returns, again and
// again.
type liar struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced by each change
	set     []discovery.Endpoint
	lie     func(n int) []discovery.Endpoint
}

func (l *liar) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *liar) while(lie func(n int) []discovery.Endpoint) func(context.Context) (func() error, error) {
	return func(context.Context) (func() error, error) {
		l.change(func() { l.lie = lie })
		return func() error { l.change(func() { l.lie = nil }); return nil }, nil
	}
}

func (l *liar) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	for n := 0; ctx.Err() == nil; n++ {
		l.mu.Lock()
		changed, set, lie := l.changed, l.set, l.lie
		l.mu.Unlock()
		if lie != nil {
			report(lie(n))
			continue
		}
		report(append([]discovery.Endpoint(nil), set...))
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// contradicting returns endpoints that are not valid, and one that comes twice with
// different weights.
func contradicting(n int) []discovery.Endpoint {
	return []discovery.Endpoint{
		{Addr: "10.0.0.1:9090", Weight: 1},
		{Addr: "10.0.0.1:9090", Weight: 2},
		{},
		{Addr: strings.Repeat("x", n%1000)},
		{Addr: "10.0.0.2:9090", Weight: -1},
		{Addr: "10.0.0.3:99999", Zone: "\x00"},
	}
}

func many(n int) []discovery.Endpoint {
	set := make([]discovery.Endpoint, n)
	for i := range set {
		set[i].Addr = fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&255, i&255)
	}
	return set
}
