package discoverytest

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

// patience bounds what a Follower waits for.
const patience = 30 * time.Second

// Follower is one Watch and what it has told, for tests of a plugin beyond the
// suite. Its methods fail the test after 30 s of waiting.
type Follower struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	reports [][]string // of addresses, sorted
	news    chan struct{}
	err     error
}

// Follow begins a Watch, which the end of the test ends.
func Follow(t *testing.T, w core.Watcher) *Follower {
	t.Helper()
	f := &Follower{t: t, ended: make(chan struct{}), news: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	go func() { // ends with the Watch
		err := w.Watch(ctx, f.report)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		close(f.ended)
	}()
	t.Cleanup(f.Stop)
	return f
}

func (f *Follower) report(eps []core.Endpoint) {
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

// Cancel ends the context of the Watch.
func (f *Follower) Cancel() { f.cancel() }

// Stop ends the Watch, which has a second for it.
func (f *Follower) Stop() {
	f.t.Helper()
	f.cancel()
	select {
	case <-f.ended:
	case <-f.after(time.Second):
		f.t.Fatal("Watch had not returned 1 s after its context ended")
	}
}

// Await waits until the last report is the set of addresses.
func (f *Follower) Await(addrs ...string) {
	f.t.Helper()
	slices.Sort(addrs)
	f.Until(func(last []string) bool { return slices.Equal(last, addrs) }, strings.Join(addrs, " "))
}

// AwaitLen waits until the last report has n addresses.
func (f *Follower) AwaitLen(n int) {
	f.t.Helper()
	f.Until(func(last []string) bool { return len(last) == n }, "a number of servers")
}

// Until waits until ok holds of the last report, the sorted addresses. what
// says in the error what was waited for.
func (f *Follower) Until(ok func(last []string) bool, what string) {
	f.t.Helper()
	late := f.after(patience)
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

// Runs fails the test if Watch has returned.
func (f *Follower) Runs() {
	f.t.Helper()
	select {
	case <-f.ended:
		f.t.Fatalf("Watch returned %v", f.err)
	default:
	}
}

// Fails waits until Watch returns by itself, with an error.
func (f *Follower) Fails() error {
	f.t.Helper()
	select {
	case <-f.ended:
	case <-f.after(patience):
		f.t.Fatalf("Watch had not failed after %v", patience)
	}
	if f.err == nil || errors.Is(f.err, context.Canceled) {
		f.t.Fatalf("Watch returned %v", f.err)
	}
	return f.err
}

// Count returns the number of reports so far.
func (f *Follower) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reports)
}

// after is time.After, stopped with the test.
func (f *Follower) after(d time.Duration) <-chan time.Time {
	t := time.NewTimer(d)
	f.t.Cleanup(func() { t.Stop() })
	return t.C
}
