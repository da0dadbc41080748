package combine

import (
	"context"
	"errors"
	"sync"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Swap is a watcher that stands for another one, which can be exchanged while a
// pool runs. Make one with [NewSwap].
type Swap struct {
	origin origin

	mu      sync.Mutex
	w       discovery.Watcher
	changed chan struct{} // closed and replaced by Set
	// sets counts the calls of Set. reported is the number of the last one whose
	// watcher has reported.
	sets, reported int
}

// NewSwap returns a Swap that watches w until Set replaces it.
func NewSwap(w discovery.Watcher) *Swap {
	return &Swap{w: w, changed: make(chan struct{})}
}

// Set makes w the watcher. A Watch that runs goes on with the old one until w has
// reported, however long that takes, so that the pool always has a set; then the
// watch of the old one ends. The first set of w is the program's own decision and
// counts without removal grace. Set does not wait for any of that. It returns an
// error, and changes nothing, if w is not valid.
func (s *Swap) Set(w discovery.Watcher) error {
	if err := validate(w); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
	s.sets++
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *Swap) current() (w discovery.Watcher, set int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w, s.sets, s.changed
}

// reports notes that the watcher of a call of Set has reported. It returns whether
// it does so for the first time, in whichever Watch.
func (s *Swap) reports(set int) (another bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	another = s.reported < set
	s.reported = max(s.reported, set)
	return another
}

// Validate validates the present watcher.
func (s *Swap) Validate() error {
	w, _, _ := s.current()
	return validate(w)
}

// Authoritative returns true for the first set of a watcher that came by Set, and
// for each set of which the watcher says so.
func (s *Swap) Authoritative() bool { return s.origin.Authoritative() }

// Watch watches the present watcher. It returns when that is lost, unless Set has
// brought another one that has neither reported nor failed yet.
func (s *Swap) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	w, set, changed := s.current()
	if err := validate(w); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	active := g.follow(inner, w)
	var next *follower // came by Set, and has not reported yet
	swapped := false   // active was next, and its first set is not reported yet
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			if next != nil {
				next.stop()
			}
			w, set, changed = s.current()
			next = g.follow(inner, w)
		case <-g.news:
		}
		now := active.status()
		var coming status
		if next != nil {
			if coming = next.status(); coming.known {
				active.stop()
				active, next, now, swapped = next, nil, coming, true
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if now.fresh {
			another := next == nil && s.reports(set)
			s.origin.report(report, now.set, now.own || another || swapped)
			swapped = false
		}
		switch {
		case now.err != nil && next == nil:
			return now.err
		case now.err != nil && coming.err != nil:
			return errors.Join(now.err, coming.err)
		}
	}
}
