package etcd_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// follower is one Watch and what it has told.
type follower struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	reports [][]string // of addresses, sorted
	news    chan struct{}
	err     error
}

// follow begins a Watch, which the end of the test ends.
func follow(t *testing.T, w core.Watcher) *follower {
	t.Helper()
	f := &follower{t: t, ended: make(chan struct{}), news: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	go func() { // ends with the Watch
		err := w.Watch(ctx, f.report)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		close(f.ended)
	}()
	t.Cleanup(f.stop)
	return f
}

func (f *follower) report(eps []core.Endpoint) {
	addrs := make([]string, len(eps))
	for i, e := range eps {
		addrs[i] = e.Addr
	}
	slices.Sort(addrs)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, addrs)
	close(f.news)
	f.news = make(chan struct{})
}

// stop ends the Watch, which has a second for it.
func (f *follower) stop() {
	f.t.Helper()
	f.cancel()
	select {
	case <-f.ended:
	case <-time.After(time.Second):
		f.t.Fatal("Watch had not returned 1 s after its context ended")
	}
}

// await waits until the last report is the set of addresses.
func (f *follower) await(addrs ...string) {
	f.t.Helper()
	slices.Sort(addrs)
	f.until(func(last []string) bool { return slices.Equal(last, addrs) }, strings.Join(addrs, " "))
}

// awaitLen waits until the last report has n addresses.
func (f *follower) awaitLen(n int) {
	f.t.Helper()
	f.until(func(last []string) bool { return len(last) == n }, "a number of servers")
}

func (f *follower) until(ok func(last []string) bool, what string) {
	f.t.Helper()
	late := time.After(patience)
	for {
		f.mu.Lock()
		news, n := f.news, len(f.reports)
		var last []string
		if n > 0 {
			last = f.reports[n-1]
		}
		f.mu.Unlock()
		if n > 0 && ok(last) {
			return
		}
		select {
		case <-news:
		case <-f.ended:
			f.t.Fatalf("Watch returned %v while waiting for %q", f.err, what)
		case <-late:
			f.t.Fatalf("waited %v for %q; the last of %d reports has %d servers: %.300q", patience, what, n, len(last), last)
		}
	}
}

// fails waits until Watch returns by itself, with an error.
func (f *follower) fails() error {
	f.t.Helper()
	select {
	case <-f.ended:
	case <-time.After(patience):
		f.t.Fatalf("Watch had not failed after %v", patience)
	}
	if f.err == nil || errors.Is(f.err, context.Canceled) {
		f.t.Fatalf("Watch returned %v", f.err)
	}
	return f.err
}

// count returns the number of reports so far.
func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reports)
}
