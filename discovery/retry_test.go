package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

var errDown = errors.New("down")

func TestRetryReturnsOnlyTheErrorOfAFailureThatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, tries, recovered := time.Now(), 0, time.Time{}
		err := discovery.Retry(t.Context(), func(_ context.Context, healthy func()) error {
			tries++
			if time.Since(begun) >= 8*time.Second && recovered.IsZero() {
				healthy()
				recovered = time.Now()
				time.Sleep(time.Minute) // the registry is healthy
				recovered = time.Now()
			}
			return errDown
		})
		if !errors.Is(err, errDown) {
			t.Errorf("returned %v, want %v", err, errDown)
		}
		if d := time.Since(recovered); d < discovery.RetryWindow || d > discovery.RetryWindow+time.Second {
			t.Errorf("returned %v after the registry was last healthy, want about %v", d, discovery.RetryWindow)
		}
		if tries < 20 || tries > 100 {
			t.Errorf("%d tries in 18 s of failures", tries)
		}
	})
}

func TestRetryBacksOffWhenEveryTrySucceedsAndBreaksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tries := 0
		err := discovery.Retry(ctx, func(_ context.Context, healthy func()) error {
			tries++
			healthy()
			return errDown
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("returned %v, want %v", err, context.DeadlineExceeded)
		}
		if tries > 200 {
			t.Errorf("%d tries in a minute", tries)
		}
	})
}

func TestRetryReturnsAPermanentErrorAtOnce(t *testing.T) {
	tries := 0
	err := discovery.Retry(t.Context(), func(context.Context, func()) error {
		tries++
		return fmt.Errorf("asking: %w", discovery.Permanent(errDown))
	})
	if tries != 1 || !errors.Is(err, errDown) || err.Error() != "asking: down" {
		t.Errorf("returned %v after %d tries", err, tries)
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := discovery.Retry(ctx, func(context.Context, func()) error {
		cancel()
		return errDown
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("returned %v, want %v", err, context.Canceled)
	}
	if err := discovery.Retry(ctx, func(context.Context, func()) error {
		t.Error("tried after the end")
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("returned %v, want %v", err, context.Canceled)
	}
}

func TestDeregisterTriesUntilItSucceedsOrItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		tries := 0
		err := discovery.Deregister(ctx, func(ctx context.Context) error {
			if tries++; tries < 3 {
				return errDown
			}
			return ctx.Err()
		})
		if err != nil || tries != 3 {
			t.Errorf("returned %v after %d tries, want nil after 3", err, tries)
		}
		begun := time.Now()
		err = discovery.Deregister(ctx, func(context.Context) error { return errDown })
		if d := time.Since(begun); !errors.Is(err, errDown) || d != discovery.DeregisterTimeout {
			t.Errorf("returned %v after %v, want %v after %v", err, d, errDown, discovery.DeregisterTimeout)
		}
	})
}

func TestFailuresThatRetryGoesOnAfterAreReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retries := watchFunc(func(ctx context.Context, _ func([]discovery.Endpoint)) error {
			return discovery.Retry(ctx, func(context.Context, func()) error { return errors.New("refused") })
		})
		// Also through a watcher that follows another.
		nested := watchFunc(func(ctx context.Context, _ func([]discovery.Endpoint)) error {
			discovery.Follow(ctx, retries, discovery.Follower{})
			return ctx.Err()
		})
		for _, w := range []discovery.Watcher{retries, nested} {
			var seen []error
			begun := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			discovery.Follow(ctx, w, discovery.Follower{
				Retrying: func(err error) {
					seen = append(seen, err)
					cancel()
				},
				Lost: func(err error, _ time.Duration) { t.Errorf("lost: %v", err) },
			})
			if len(seen) != 1 || seen[0].Error() != "refused" || time.Since(begun) > 0 {
				t.Errorf("%v after %v", seen, time.Since(begun))
			}
		}
	})
}

func TestARegistrationSaysWhyItIsNotRegisteredYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := register(t, func(ctx context.Context, _ discovery.Endpoint, _ func()) error {
			return discovery.Retry(ctx, func(context.Context, func()) error { return errors.New("refused") })
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("Wait returned %v", err)
		}
		if state, err := g.State(); state != discovery.StateRegistering || err == nil {
			t.Errorf("it is %v, error %v", state, err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
