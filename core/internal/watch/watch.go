// Package watch runs a registry watch for ever: it begins it again with
// back-off when it is lost, keeps what it last said, and decides what to
// believe when a set shrinks too fast. It knows nothing of connections.
package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"
)

const (
	// backoffMin and backoffMax bound the pause before a lost watch is begun
	// again: full jitter over an exponential bound (Brooker, "Exponential
	// Backoff And Jitter", AWS Architecture Blog, 2015).
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
	// stable is how long a watch must have lasted for the back-off to begin
	// anew: one that has waited that long for its registry has paused enough.
	stable = 5 * time.Second
	// coalesce is the least time between two sets taken over; the first of a
	// burst is taken at once.
	coalesce = 20 * time.Millisecond
	// shrink is the share of what the registry last said whose disappearance
	// at once is doubted.
	shrink = 0.5
)

// Status is what is known of the set.
type Status uint8

const (
	// Pending: nothing was reported yet.
	Pending Status = iota
	// Live: the last report is in use and the watch runs.
	Live
	// Lost: the watch ended; the last report is in use.
	Lost
)

// Loop is the parameters of Run. E is an entry of the set.
type Loop[E any] struct {
	// Watch is the registry's watch.
	Watch func(ctx context.Context, report func([]E)) error
	// Key identifies an entry.
	Key func(E) string
	// Same reports whether two entries do not differ in anything.
	Same func(a, b *E) bool
	// Check rejects a bad entry.
	Check func(E) error
	// Grace is how long entries are kept that vanish when more than half of
	// what the registry said before vanishes at once; zero: not at all.
	Grace time.Duration

	// Apply takes over a set without duplicates or bad entries, which it may
	// keep; nobody must change it. Rejected and
	// Changed tell of dropped entries and of the status. All are called from
	// the goroutine of Run.
	Apply    func(set []E)
	Rejected func(e E, err error)
	Changed  func(s Status, err error)
}

// Run watches until ctx is done and returns when the watch has ended. A watch
// that ignores its context holds Run.
func (l *Loop[E]) Run(ctx context.Context) {
	// The watch runs in a goroutine of its own, which Run waits for, so that a
	// report never waits for the coalescing and a held set is let go in time.
	r := &runner[E]{Loop: l}
	bound := backoffMin
	for ctx.Err() == nil {
		begun := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= stable {
			bound = backoffMin
		}
		l.Changed(Lost, err)
		pause := time.NewTimer(rand.N(bound) + 1)
		r.idle(ctx, pause.C)
		pause.Stop()
		bound = min(2*bound, backoffMax)
	}
}

type runner[E any] struct {
	*Loop[E]
	// set is the set in use: what the registry said, and what is held. It is
	// immutable, like said.
	set []E
	// said is the latest report without bad entries and duplicates, and present
	// the keys in it; pending while it waits for a burst to end.
	said    []E
	present map[string]bool
	pending bool
	taken   time.Time
	// held are entries of the set that the registry does not name any more,
	// and when each of them is let go; deadline is the first of these times.
	held     map[string]time.Time
	deadline time.Time
}

// once runs one watch to its end.
func (r *runner[E]) once(ctx context.Context) error {
	// reports holds at most the latest set: the watch never waits for us.
	reports := make(chan []E, 1)
	done := make(chan error, 1)
	// Ends with the watch; once waits for it below.
	go func() {
		err := errors.New("the watcher ended its goroutine")
		defer func() { done <- err }()
		err = guarded(func() error {
			return r.Watch(ctx, func(set []E) { replace(reports, slices.Clone(set)) })
		})
	}()
	for {
		timer, stop := r.timer()
		select {
		case set := <-reports:
			r.report(set)
			r.Changed(Live, nil)
		case <-timer:
			r.due()
		case err := <-done:
			stop()
			select {
			case set := <-reports:
				r.report(set)
			default:
			}
			if err == nil {
				err = errors.New("the watch ended without an error")
			}
			return err
		}
		stop()
	}
}

// idle waits between two watches; what is held back still falls due.
func (r *runner[E]) idle(ctx context.Context, pause <-chan time.Time) {
	for {
		timer, stop := r.timer()
		select {
		case <-ctx.Done():
			stop()
			return
		case <-pause:
			stop()
			return
		case <-timer:
			r.due()
		}
	}
}

// timer returns a channel for the next thing that falls due, nil if nothing does.
func (r *runner[E]) timer() (<-chan time.Time, func()) {
	var at time.Time
	if r.pending {
		at = r.taken.Add(coalesce)
	}
	if len(r.held) > 0 && (at.IsZero() || r.deadline.Before(at)) {
		at = r.deadline
	}
	if at.IsZero() {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(at))
	return t.C, func() { t.Stop() }
}

// report takes a set, which is its own, at once or at the end of the burst it
// belongs to.
func (r *runner[E]) report(set []E) {
	r.said, r.pending = r.cleaned(set), true
	if time.Since(r.taken) >= coalesce {
		r.take()
	}
}

// cleaned drops bad entries and duplicates from a report. What is alike at both
// ends of the one before was found to be good then: of thousands of entries few
// change at a time.
func (r *runner[E]) cleaned(set []E) []E {
	from, oldEnd, newEnd := Middle(r.said, set, r.Same)
	for _, e := range r.said[from:oldEnd] {
		delete(r.present, r.Key(e))
	}
	for _, e := range set[from:newEnd] {
		if r.present[r.Key(e)] { // perhaps it is the other one that must go
			from, newEnd = 0, len(set)
			break
		}
	}
	if from == 0 && newEnd == len(set) {
		r.present = make(map[string]bool, len(set))
	}
	good := from + len(r.clean(set[from:newEnd], r.present))
	return slices.Delete(set, good, newEnd)
}

// Middle returns where two sets differ: they are alike before from, and after
// the ends of what is between, oldEnd and newEnd.
func Middle[E any](old, set []E, same func(a, b *E) bool) (from, oldEnd, newEnd int) {
	oldEnd, newEnd = len(old), len(set)
	for from < oldEnd && from < newEnd && same(&old[from], &set[from]) {
		from++
	}
	for oldEnd > from && newEnd > from && same(&old[oldEnd-1], &set[newEnd-1]) {
		oldEnd--
		newEnd--
	}
	return from, oldEnd, newEnd
}

// due does what the timer was for.
func (r *runner[E]) due() {
	if now := time.Now(); len(r.held) > 0 && !now.Before(r.deadline) {
		// The registry has said so for long enough: out of the set, so that
		// take does not see them vanish once more.
		r.set = slices.DeleteFunc(slices.Clone(r.set), func(e E) bool {
			until, held := r.held[r.Key(e)]
			return held && !now.Before(until)
		})
		maps.DeleteFunc(r.held, func(_ string, until time.Time) bool { return !now.Before(until) })
		r.take()
	} else if r.pending && time.Since(r.taken) >= coalesce {
		r.take()
	}
}

// clean drops bad entries and duplicates, and adds the keys of the others to
// seen.
func (r *runner[E]) clean(set []E, seen map[string]bool) []E {
	return slices.DeleteFunc(set, func(e E) bool {
		err := r.Check(e)
		if err == nil {
			n := len(seen)
			if seen[r.Key(e)] = true; len(seen) == n {
				err = errors.New("duplicate entry")
			}
		}
		if err != nil {
			r.Rejected(e, err)
			return true
		}
		return false
	})
}

// take puts what the registry said, and what is held against it, to use.
func (r *runner[E]) take() {
	r.pending, r.taken = false, time.Now()
	from, oldEnd, _ := Middle(r.set, r.said, r.Same)
	var fresh []string // vanished since the last time
	for _, e := range r.set[from:oldEnd] {
		k := r.Key(e)
		if _, held := r.held[k]; !held && !r.present[k] {
			fresh = append(fresh, k)
		}
	}
	if r.Grace > 0 && float64(len(fresh)) > shrink*float64(len(r.set)-len(r.held)) {
		if r.held == nil {
			r.held = map[string]time.Time{}
		}
		for _, k := range fresh {
			r.held[k] = r.taken.Add(r.Grace)
		}
	}
	maps.DeleteFunc(r.held, func(k string, _ time.Time) bool { return r.present[k] })
	last := r.set
	r.set = r.said
	if len(r.held) > 0 {
		r.set = slices.Concat(r.said, slices.DeleteFunc(slices.Clone(last), func(e E) bool {
			_, held := r.held[r.Key(e)]
			return !held
		}))
	}
	r.deadline = time.Time{}
	for _, until := range r.held {
		if r.deadline.IsZero() || until.Before(r.deadline) {
			r.deadline = until
		}
	}
	r.Apply(r.set)
}

// replace puts v in place of what c holds, if anything; c has room for one. It
// never waits, not even for others that do the same.
func replace[T any](c chan T, v T) {
	for {
		select {
		case c <- v:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// guarded turns a panic into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the watcher panicked: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}
