// Package retry is how a task that should never end is begun again when it
// does: the pauses, and what an end looks like. The pool's own watch loop
// keeps to the same numbers.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

const (
	// shortest and longest bound the pause before the task is begun again: full jitter
	// over an exponential bound (Brooker, "Exponential Backoff And Jitter",
	// AWS Architecture Blog, 2015).
	shortest = 100 * time.Millisecond
	longest  = 30 * time.Second
	// stable is how long the task must have lasted for the back-off to begin
	// anew: one that has waited that long for its registry has paused enough.
	stable = 5 * time.Second
)

// Forever runs task, again after a pause whenever it ends, until ctx is done;
// then it returns what the last run returned, nil if none was under way. A
// panic of the task, and the end of its goroutine, are errors, like an end
// without one. lost is told of each end before the end of ctx, and of the
// pause that follows. A task that ignores its context holds Forever.
func Forever(ctx context.Context, task func(context.Context) error, lost func(err error, pause time.Duration)) error {
	bound := shortest
	for ctx.Err() == nil {
		begun := time.Now()
		err := once(ctx, task)
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			err = errors.New("it ended without an error")
		}
		if time.Since(begun) >= stable {
			bound = shortest
		}
		pause := rand.N(bound) + 1
		bound = min(2*bound, longest)
		lost(err, pause)
		wait(ctx, pause)
	}
	return nil
}

// once runs the task in a goroutine of its own, which it waits for, so that a
// task that ends its goroutine does not end the loop.
func once(ctx context.Context, task func(context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("it ended its goroutine")
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("it panicked: %v\n%s", v, debug.Stack())
			}
			done <- err
		}()
		err = task(ctx)
	}()
	return <-done
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
