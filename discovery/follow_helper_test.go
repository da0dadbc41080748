package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// watchFunc is a function as a Watcher.
type watchFunc func(ctx context.Context, report func([]discovery.Endpoint)) error

func (w watchFunc) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	return w(ctx, report)
}

// endpoint makes an endpoint of a word: its host, and behind a '=' its zone. A
// '!' makes the endpoint invalid.
func endpoint(word string) discovery.Endpoint {
	host, zone, _ := strings.Cut(word, "=")
	e := discovery.Endpoint{Addr: host + ":1", Zone: zone}
	if strings.Contains(word, "!") {
		e.Weight = -1
	}
	return e
}

func word(e discovery.Endpoint) string {
	w := strings.TrimSuffix(e.Addr, ":1")
	if e.Zone != "" {
		w += "=" + e.Zone
	}
	return w
}

// set makes a set of the words of text.
func set(text string) []discovery.Endpoint {
	all := []discovery.Endpoint{}
	for w := range strings.FieldsSeq(text) {
		all = append(all, endpoint(w))
	}
	return all
}

// inWords is the reverse of set, in alphabetical order.
func inWords(set []discovery.Endpoint) string {
	all := make([]string, len(set))
	for i, e := range set {
		all[i] = word(e)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// wantDifference fails the test unless c is the difference from old to c.Set.
func wantDifference(t *testing.T, old []discovery.Endpoint, c discovery.Change) {
	t.Helper()
	was, is := map[string]discovery.Endpoint{}, map[string]discovery.Endpoint{}
	for _, e := range old {
		was[e.Addr] = e
	}
	for _, e := range c.Set {
		is[e.Addr] = e
	}
	if len(is) != len(c.Set) {
		t.Errorf("the set %q has duplicates", inWords(c.Set))
	}
	var added, updated, removed []discovery.Endpoint
	for _, e := range is {
		if before, ok := was[e.Addr]; !ok {
			added = append(added, e)
		} else if !e.Equal(before) {
			updated = append(updated, e)
		}
	}
	for _, e := range was {
		if _, ok := is[e.Addr]; !ok {
			removed = append(removed, e)
		}
	}
	for _, d := range []struct {
		what      string
		got, want []discovery.Endpoint
	}{{"Added", c.Added, added}, {"Updated", c.Updated, updated}, {"Removed", c.Removed, removed}} {
		if inWords(d.got) != inWords(d.want) {
			t.Errorf("from %q to %q: %s is %q, want %q", inWords(old), inWords(c.Set), d.what, inWords(d.got), inWords(d.want))
		}
	}
}

// event is a callback of Follow, and when it was called.
type event struct {
	at   time.Duration
	what string // "set a b", "rejected a: duplicate", "lost: why"
}

// run is a Follow in a bubble. Its callbacks are kept.
type run struct {
	t     *testing.T
	begun time.Time
	stop  context.CancelFunc
	done  chan struct{}

	in []discovery.Endpoint // the set in use

	mu     sync.Mutex
	events []event
}

// follow follows a watch until the test ends or end is called.
func follow(t *testing.T, grace time.Duration, w watchFunc) *run {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &run{t: t, begun: time.Now(), stop: stop, done: make(chan struct{})}
	f := discovery.Follower{
		RemovalGrace: grace,
		Changed: func(c discovery.Change) {
			what := "set " + inWords(c.Set)
			if c.Lost {
				what += " (lost)"
			}
			r.note(what)
			wantDifference(t, r.in, c)
			r.in = c.Set
		},
		Rejected: func(e discovery.Endpoint, err error) {
			why := err.Error()
			switch {
			case !strings.Contains(why, e.Addr):
				t.Errorf("the error does not name the endpoint: %v", err)
			case strings.Contains(why, "weight -1"):
				why = "invalid"
			case strings.Contains(why, "an earlier entry has the same address"):
				why = "duplicate"
			}
			r.note("rejected " + word(e) + ": " + why)
		},
		Lost: func(err error, _ time.Duration) { r.note(fmt.Sprintf("lost: %v", err)) },
	}
	go func() {
		defer close(r.done)
		discovery.Follow(ctx, w, f)
	}()
	t.Cleanup(r.end)
	return r
}

// end ends Follow and waits for it. A goroutine that it leaves behind fails the
// test: the bubble sees it.
func (r *run) end() {
	r.stop()
	<-r.done
}

func (r *run) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{time.Since(r.begun), what})
}

// all returns the events that begin with prefix.
func (r *run) all(prefix string) []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []event
	for _, e := range r.events {
		if strings.HasPrefix(e.what, prefix) {
			some = append(some, e)
		}
	}
	return some
}

// want fails the test unless exactly these events came, at these times.
func (r *run) want(prefix string, want ...event) {
	r.t.Helper()
	if got := r.all(prefix); !slices.Equal(got, want) {
		r.t.Errorf("got  %v\nwant %v", got, want)
	}
}

// until sleeps until d after the run began.
func (r *run) until(d time.Duration) {
	time.Sleep(d - time.Since(r.begun))
	synctest.Wait()
}

// step is what a script does at a time: it reports a set, or loses the watch,
// after which the script goes on with the next one.
type step struct {
	at time.Duration
	do string // a set, or "lose"
}

// script is a registry that does steps, each at its time, and then nothing.
func script(steps ...step) watchFunc {
	begun := time.Now()
	return func(ctx context.Context, report func([]discovery.Endpoint)) error {
		for len(steps) > 0 {
			next := steps[0]
			if d := next.at - time.Since(begun); d > 0 { // else at once, without a pause
				if err := sleep(ctx, d); err != nil {
					return err
				}
			}
			steps = steps[1:]
			if next.do == "lose" {
				return errors.New("as the script says")
			}
			report(set(next.do))
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
