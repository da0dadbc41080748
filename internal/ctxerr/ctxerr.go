// Package ctxerr has the error of a context that is done.
package ctxerr

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Of returns the error of ctx, which is done, and its cause if it has one.
func Of(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// EndedBy returns the error of ctx, with its cause, if ctx is done or if deadline,
// which has passed, is its own; otherwise nil. A deadline that is set on a socket
// too may pass there a moment before the timer of ctx fires and brings the cause:
// EndedBy waits for that timer, for at most lateTimer.
func EndedBy(ctx context.Context, deadline time.Time) error {
	if d, ok := ctx.Deadline(); ctx.Err() == nil && ok && d.Equal(deadline) {
		late := time.NewTimer(lateTimer)
		defer late.Stop()
		select {
		case <-ctx.Done():
		case <-late.C:
			return context.DeadlineExceeded
		}
	}
	if ctx.Err() == nil {
		return nil
	}
	return Of(ctx)
}

const lateTimer = 100 * time.Millisecond
