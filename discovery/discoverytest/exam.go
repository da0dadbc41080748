package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// exam is what a check works with: the place, and the watches it has begun.
// Only the goroutine of the check uses it.
type exam struct {
	place    Place
	timeout  time.Duration
	scale    int
	seed     uint64
	logf     func(string, ...any)
	sessions []*session
}

// put changes the registry's set. Some registries tell their watchers within
// the call, so a watcher that blocks shows up here.
func (x *exam) put(ctx context.Context, eps ...core.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- x.place.Put(ctx, eps) }() // ends with Put, at the latest when the place is closed
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("putting %s into the registry: %w", show(eps), err)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("the registry could not be changed within %v: does a watch hold it up?", x.timeout)
	}
}

// watcher opens a watcher without starting a watch.
func (x *exam) watcher() (core.Watcher, error) {
	w, err := x.place.Watcher()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("opening a watcher: %w", err)
	}
	return w, err
}

// open opens a watcher and watches with it.
func (x *exam) open(ctx context.Context) (*session, error) {
	w, err := x.watcher()
	if err != nil {
		return nil, err
	}
	return x.watch(ctx, w, nil), nil
}

// openAt puts eps into the registry, and watches from there on.
func (x *exam) openAt(ctx context.Context, eps ...core.Endpoint) (*session, error) {
	if err := x.put(ctx, eps...); err != nil {
		return nil, err
	}
	s, err := x.open(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.await(eps)
}

// awaitSessions gives watches whose context has ended time to return, so that
// the place is not closed under them.
func (x *exam) awaitSessions() {
	late := time.NewTimer(prompt)
	defer late.Stop()
	for _, s := range x.sessions {
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

// rest waits for as long as it takes to believe that nothing more will come.
func rest(ctx context.Context) error { return wait(ctx, quiet) }

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
