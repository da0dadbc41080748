// Package wait has the ways of waiting that the registry plugins share.
package wait

import (
	"context"
	"sync"
	"time"
)

// For waits for d and returns nil, or returns the error of ctx if ctx ends
// first. It waits for nothing if d is not positive.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// First runs tasks concurrently, the last one in the calling goroutine. When the
// first of them returns, it ends the context of the others, waits for them, and
// returns the first one's error. A task ends with its context.
func First(ctx context.Context, tasks ...func(context.Context) error) error {
	var (
		first sync.Once
		err   error
		all   sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(ctx)
	defer all.Wait() // also if the last task panics
	defer cancel()
	run := func(task func(context.Context) error) {
		taskErr := task(ctx)
		first.Do(func() {
			err = taskErr
			cancel()
		})
	}
	last := len(tasks) - 1
	for _, task := range tasks[:last] {
		all.Go(func() { run(task) })
	}
	run(tasks[last])
	all.Wait()
	return err
}
