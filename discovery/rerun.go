package discovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

const (
	// backoffMin and backoffMax bound the pause before a task is run again:
	// full jitter over an exponential bound (Brooker, "Exponential Backoff And
	// Jitter", AWS Architecture Blog, 2015).
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
	// stableAfter is how long a run must last for the back-off to start over: a
	// task that waited that long for its registry has paused enough.
	stableAfter = 5 * time.Second
)

// rerun runs task until ctx is done, again after a pause whenever it ends. It
// returns what the last run returned, or nil if ctx ended during a pause.
// Errors call the task name. A task that ignores its context holds rerun up.
//
// A nil error, a panic and the end of the task's goroutine are losses like any
// error. rerun calls lost with each of them, its text bounded, and with the pause that follows.
// rerun waits in await, which returns what the channel delivers: once for each
// run and once for each pause.
func rerun(ctx context.Context, name string, task func(context.Context, *attempt) error,
	lost func(err error, pause time.Duration), await func(end <-chan error) error,
) error {
	bound := backoffMin
	for ctx.Err() == nil {
		begun := time.Now()
		err := await(start(ctx, name, func(ctx context.Context) error {
			a := &attempt{}
			defer a.end()
			return task(ctx, a)
		}))
		if ctx.Err() != nil {
			return err
		}
		err = brief.Error(err)
		if err == nil {
			err = fmt.Errorf("%s returned without an error", name)
		}
		if time.Since(begun) >= stableAfter {
			bound = backoffMin
		}
		pause := rand.N(bound) + 1
		bound = min(2*bound, backoffMax)
		lost(err, pause)
		_ = await(start(ctx, name, func(ctx context.Context) error { return sleep(ctx, pause) }))
	}
	return nil
}

// attempt is one run of a task. It keeps a task that calls back after its end,
// or from several goroutines, from doing harm.
type attempt struct {
	mu    sync.Mutex
	ended bool
}

// do calls f, one call at a time, unless the run has ended.
func (a *attempt) do(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		f()
	}
}

func (a *attempt) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// start runs task in a goroutine of its own, so that a task which ends its
// goroutine does not end the caller's. The channel delivers how it ended; the
// caller waits for that.
func start(ctx context.Context, name string, task func(context.Context) error) <-chan error {
	end := make(chan error, 1)
	go func() {
		err := fmt.Errorf("%s ended its goroutine", name)
		defer func() {
			if v := recover(); v != nil {
				err = &panicked{fmt.Sprintf("%s panicked: %.1000s", name, fmt.Sprint(v)), string(debug.Stack())}
			}
			end <- err
		}()
		err = task(ctx)
	}()
	return end
}

// panicked is the error of a task that panicked. Its text, which callers of a pool
// see, has no stack.
type panicked struct{ text, stack string }

func (p *panicked) Error() string { return p.text }

// Stack is for events.
func (p *panicked) Stack() string { return p.stack }

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
