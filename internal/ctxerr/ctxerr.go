// Package ctxerr has the error of a context that is done.
package ctxerr

import (
	"context"
	"errors"
	"fmt"
)

// Of returns the error of ctx, which is done, and its cause if it has one.
func Of(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
