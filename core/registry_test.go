package core_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// registry is a Watcher that does what the test tells it to, when it does.
type registry struct {
	t     *testing.T
	steps chan func(report func([]core.Endpoint)) error
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	return &registry{t, make(chan func(func([]core.Endpoint)) error)}
}

func (r *registry) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case step := <-r.steps:
			if err := step(report); err != nil {
				return err
			}
		}
	}
}

// say reports a set and waits until the pool has taken it over. Reports that
// follow each other within 20 ms would be joined.
func (r *registry) say(set ...core.Endpoint) {
	r.t.Helper()
	r.do(func(report func([]core.Endpoint)) error {
		report(set)
		return nil
	})
	time.Sleep(20 * time.Millisecond)
	synctest.Wait()
}

// lose ends the watch. The next step waits until it was begun again.
func (r *registry) lose(err error) {
	r.t.Helper()
	r.do(func(func([]core.Endpoint)) error { return err })
	synctest.Wait()
}

func (r *registry) do(step func(report func([]core.Endpoint)) error) {
	r.t.Helper()
	select {
	case r.steps <- step:
	case <-time.NewTimer(time.Minute).C:
		r.t.Fatal("nobody watches")
	}
}

// open makes a pool and closes it at the end of the test.
func open(t *testing.T, w core.Watcher, f *fleet, opts ...core.Option) *core.Pool[*link] {
	t.Helper()
	p, err := core.New[*link](w, f, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeNow(t, p)
		if opened, closed := f.counts(); opened != closed {
			t.Errorf("at the end of the test: %d connections opened, %d closed", opened, closed)
		}
	})
	return p
}

// closeNow closes a pool that nobody uses any more: it must not take long.
func closeNow(t *testing.T, p *core.Pool[*link]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

// told is the events of the pool without those of its connections, as words.
func (j *journal) told() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for _, ev := range j.events {
		switch ev.Kind {
		case core.EventEndpointAdded, core.EventEndpointRemoved:
			all = append(all, fmt.Sprintf("%v %s", ev.Kind, ev.Endpoint))
		case core.EventEndpointRejected:
			all = append(all, fmt.Sprintf("%v %q: %v", ev.Kind, ev.Endpoint, ev.Err))
		case core.EventStateChanged:
			all = append(all, string(ev.State))
		case core.EventWatchLost, core.EventWatchWarning, core.EventBalancerFailed:
			all = append(all, fmt.Sprintf("%v: %v", ev.Kind, ev.Err))
		default: // connections and dials are others' tests
		}
	}
	return all
}

// forget empties the journal.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = nil
}

// wantTold fails the test unless just this was told since the last time, in
// any order.
func (j *journal) wantTold(t *testing.T, want ...string) {
	t.Helper()
	got := j.told()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	j.forget()
}

// addrs are the addresses in the pool's set, in alphabetical order.
func addrs[C user](p *core.Pool[C]) string {
	var all []string
	for _, e := range p.Stats().Endpoints {
		all = append(all, e.Endpoint.Addr)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// noGoroutinesLeft fails the test if code of this module runs in more
// goroutines than before at the end of it. In a bubble this is not needed.
func noGoroutinesLeft(t *testing.T) {
	t.Helper()
	before := ours()
	t.Cleanup(func() {
		// Goroutines that have ended for their owner take a moment to vanish.
		for deadline := time.Now().Add(5 * time.Second); ours() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Errorf("%d goroutines are left, %d were there before:\n%s", ours(), before, buf[:runtime.Stack(buf, true)])
				return
			}
		}
	})
}

// ours counts the goroutines that run code of this module, but for tests.
func ours() int {
	buf := make([]byte, 4<<20)
	n := 0
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "/core.(*pool)") || strings.Contains(g, "/core/internal/") {
			n++
		}
	}
	return n
}

var errExpired = errors.New("session expired")
