package combine

import (
	"context"
	"errors"
	"sync"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Swap is a watcher that can be exchanged while a pool runs. Make one with
// [NewSwap].
type Swap struct {
	mu      sync.Mutex
	w       core.Watcher
	changed chan struct{} // closed and replaced by Set
}

// NewSwap returns a watcher that is w until Set.
func NewSwap(w core.Watcher) *Swap {
	return &Swap{w: w, changed: make(chan struct{})}
}

// Set puts w in place of the watcher. A Watch that runs goes on with the old
// one until w has reported, however long that takes, so that the pool always
// has a set; then the old one is ended. Set returns at once. It returns an
// error, and changes nothing, if w is not valid.
func (s *Swap) Set(w core.Watcher) error {
	if err := validate(w); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *Swap) current() (core.Watcher, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w, s.changed
}

// Validate asks the watcher of the moment.
func (s *Swap) Validate() error {
	w, _ := s.current()
	return validate(w)
}

// Watch watches the watcher of the moment. A loss of it is returned, unless
// another was set and has neither reported nor failed yet.
func (s *Swap) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	w, changed := s.current()
	if err := validate(w); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	report = changes(report)
	now := g.follow(inner, w)
	var next *follower // was set, and has not reported yet
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			if next != nil {
				next.stop()
			}
			w, changed = s.current()
			next = g.follow(inner, w)
		case <-g.news:
		}
		var coming status
		if next != nil {
			if coming = next.status(); coming.known {
				now.stop()
				now, next = next, nil
			}
		}
		switch said := now.status(); {
		case ctx.Err() != nil:
			return ctx.Err()
		case said.live:
			report(said.set)
		case said.err != nil && next == nil:
			return said.err
		case said.err != nil && coming.err != nil:
			return errors.Join(said.err, coming.err)
		}
	}
}
