package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// run is one case under way: its fixture, and what the case has started. Only
// the goroutine of the check uses it.
type run struct {
	Fixture
	logf          func(string, ...any)
	streams       []*stream
	registrations []*registration
	claims        []*claim
}

// put changes the set in the registry. Some registries notify their watchers
// within Put, so put also detects a watcher that blocks the registry.
func (r *run) put(ctx context.Context, set ...discovery.Endpoint) error {
	if r.Put == nil {
		return required("Put")
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Put(ctx, set) }() // ends with Put, at the latest when the fixture is closed
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			err = fmt.Errorf("of %s: %w", show(set), err)
		}
		return fieldError("Put", err)
	case <-ctx.Done():
		return fmt.Errorf("Fixture.Put could not change the registry within %v: does a watch block it?", r.Timeout)
	}
}

// watcher returns a new watcher, without a call of Watch.
func (r *run) watcher() (discovery.Watcher, error) {
	if r.Watcher == nil {
		return nil, required("Watcher")
	}
	w, err := r.Watcher()
	if err == nil && w == nil {
		err = errors.New("the returned watcher is nil")
	}
	return w, fieldError("Watcher", err)
}

// open starts a watch with a new watcher.
func (r *run) open(ctx context.Context) (*stream, error) {
	w, err := r.watcher()
	if err != nil {
		return nil, err
	}
	return r.watch(ctx, w, nil), nil
}

// openAt puts set into the registry, starts a watch and waits for set.
func (r *run) openAt(ctx context.Context, set ...discovery.Endpoint) (*stream, error) {
	if err := r.put(ctx, set...); err != nil {
		return nil, err
	}
	s, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.await(set)
}

// putEach puts one set after the other, and waits for each until s has
// reported it. s has reported the first set already.
func (r *run) putEach(ctx context.Context, s *stream, sets ...[]discovery.Endpoint) error {
	for i, set := range sets[1:] {
		if err := r.put(ctx, set...); err != nil {
			return err
		}
		if err := s.await(set, sets[i]); err != nil {
			return err
		}
	}
	return nil
}

// fault disturbs the registry until restore is called.
type fault func(ctx context.Context) (restore func() error, err error)

func (r *run) cut(ctx context.Context) (func() error, error) { return disturb(ctx, "Cut", r.Cut) }

func (r *run) hang(ctx context.Context) (func() error, error) { return disturb(ctx, "Hang", r.Hang) }

// disturb calls the function of a field, if there is one, and names the field
// in all errors.
func disturb(ctx context.Context, field string, f fault) (func() error, error) {
	if f == nil {
		return nil, missing(field)
	}
	restore, err := f(ctx)
	if err == nil && restore == nil {
		err = errors.New("the returned function is nil")
	}
	if err != nil {
		return nil, fieldError(field, err)
	}
	return func() error { return fieldError(field+", restore", restore()) }, nil
}

// awaitStreams waits for watches whose context has ended, so that the fixture
// is not closed before them.
func (r *run) awaitStreams() {
	late := time.NewTimer(returnTimeout)
	defer late.Stop()
	for _, s := range r.streams {
		s.cancel()
		if s.stuck {
			continue
		}
		select {
		case <-s.ended:
		case <-late.C:
			return
		}
	}
}

// poll waits until ok, for what sends no event: ends of goroutines, closed
// files. It reports whether ok became true within the timeout.
func (r *run) poll(ctx context.Context, ok func() bool) bool { return poll(ctx, r.Timeout, ok) }

func poll(ctx context.Context, timeout time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// waitQuiet waits for quietTime.
func waitQuiet(ctx context.Context) error { return wait(ctx, quietTime) }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
