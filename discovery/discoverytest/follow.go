package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// followTimeout is how long a Follower waits for anything.
const followTimeout = 30 * time.Second

// Follower is one call of Watch and the sets that it has reported, for a
// backend's tests beyond the suite. A method that waits fails the test after
// 30 s.
type Follower struct {
	t *testing.T
	s *stream
}

// Follow starts a Watch, which stops at the end of the test.
func Follow(t *testing.T, w discovery.Watcher) *Follower {
	t.Helper()
	f := &Follower{t, startStream(t.Context(), w, followTimeout, nil, false)}
	t.Cleanup(f.Stop)
	return f
}

// Cancel cancels the context of the Watch.
func (f *Follower) Cancel() { f.s.cancel() }

// Stop cancels the Watch and waits for it to return. It fails the test if that
// takes more than a second.
func (f *Follower) Stop() {
	f.t.Helper()
	f.s.cancel()
	if err := f.s.awaitEnd(); err != nil {
		f.t.Fatal(err)
	}
}

// Await waits until the last report is the set of these addresses.
func (f *Follower) Await(addrs ...string) {
	f.t.Helper()
	slices.Sort(addrs)
	f.Until(func(last []string) bool { return slices.Equal(last, addrs) }, fmt.Sprint(addrs))
}

// AwaitLen waits until the last report has n endpoints.
func (f *Follower) AwaitLen(n int) {
	f.t.Helper()
	f.Until(func(last []string) bool { return len(last) == n }, fmt.Sprintf("%d endpoints", n))
}

// Until waits until ok returns true for the sorted addresses of the last
// report. what names the awaited set in the failure.
func (f *Follower) Until(ok func(last []string) bool, what string) {
	f.t.Helper()
	err := f.s.until(what, func(reports [][]discovery.Endpoint) bool {
		if len(reports) == 0 {
			return false
		}
		var addrs []string
		for _, e := range reports[len(reports)-1] {
			addrs = append(addrs, e.Addr)
		}
		slices.Sort(addrs)
		return ok(addrs)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// Runs fails the test if Watch has returned.
func (f *Follower) Runs() {
	f.t.Helper()
	if now := f.s.state(); now.returned {
		f.t.Fatalf("Watch returned %v", now.err)
	}
}

// Fails waits until Watch returns an error by itself, and returns that error.
func (f *Follower) Fails() error {
	f.t.Helper()
	late := time.NewTimer(followTimeout)
	defer late.Stop()
	select {
	case <-f.s.ended:
	case <-late.C:
		f.t.Fatalf("Watch had not failed after %v", followTimeout)
	}
	err := f.s.state().err
	if err == nil || errors.Is(err, context.Canceled) {
		f.t.Fatalf("Watch returned %v", err)
	}
	return err
}

// Count returns the number of reports so far.
func (f *Follower) Count() int { return len(f.s.state().reports) }
