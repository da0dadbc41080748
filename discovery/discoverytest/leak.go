package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

// rounds is the number of watches in a leak rule: more than a client keeps of
// anything for later use.
const rounds = 100

// leakRules are about what watches leave behind when they have ended.
func leakRules() []rule {
	return []rule{
		{
			name:        "NoGoroutineLeft",
			description: "100 watches that have ended leave no goroutine",
			check:       checkNoGoroutineLeft,
		},
		{
			name:        "NoFileLeft",
			description: "100 watches that have ended leave no open file or socket",
			check:       checkNoFileLeft,
		},
		{
			name:        "NoWatchLeft",
			description: "100 watches that have ended leave no watch in the registry",
			check:       checkNoWatchLeft,
		},
	}
}

// watchAndCancel starts n watches and cancels them: after the first report,
// before it, and before the start; with a new watcher, and with one that runs
// again and again. The registry holds eps(0, 3).
func watchAndCancel(ctx context.Context, r *run, n int) error {
	old, err := r.watcher()
	if err != nil {
		return err
	}
	for i := range n {
		w := old
		if i%2 == 0 {
			if w, err = r.watcher(); err != nil {
				return err
			}
		}
		if err := watchOnce(ctx, r, w, i/2%3); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	return nil
}

func watchOnce(ctx context.Context, r *run, w discovery.Watcher, way int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if way == 0 {
		cancel()
	}
	s := r.watch(ctx, w, nil)
	if way == 1 {
		if err := s.await(eps(0, 3)); err != nil {
			return err
		}
	}
	return s.stop()
}

func checkNoGoroutineLeft(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil { // before the count: the fixture may start goroutines of its own
		return err
	}
	before := leak.Goroutines()
	if err := watchAndCancel(ctx, r, rounds); err != nil {
		return err
	}
	return r.awaitGoroutines(ctx, before)
}

// awaitGoroutines waits until all goroutines have ended that are not in before.
func (r *run) awaitGoroutines(ctx context.Context, before map[string]string) error {
	var left error
	if r.poll(ctx, func() bool {
		left = leak.Left(before)
		return left == nil
	}) {
		return nil
	}
	return fmt.Errorf("%v after the last call returned, %w", r.Timeout, left)
}

func checkNoFileLeft(ctx context.Context, r *run) error {
	if _, err := openFiles(); err != nil {
		return fmt.Errorf("this system does not list open files: %w (%w)", err, errors.ErrUnsupported)
	}
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	// The first watch may open files that the process keeps, like the poller's.
	if err := watchAndCancel(ctx, r, 6); err != nil {
		return err
	}
	before, err := openFiles()
	if err != nil {
		return err
	}
	if err := watchAndCancel(ctx, r, rounds); err != nil {
		return err
	}
	var after int
	if r.poll(ctx, func() bool {
		after, err = openFiles()
		return err != nil || after <= before
	}) {
		return err
	}
	return fmt.Errorf("%d files were open before, and %d are open %v after the last watch returned", before, after, r.Timeout)
}

func checkNoWatchLeft(ctx context.Context, r *run) error {
	if r.CountWatches == nil {
		return missing("CountWatches")
	}
	// One watch keeps running, so that a client that watches share stays open.
	s, err := r.openAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	before, err := r.CountWatches(ctx)
	if err != nil {
		return fieldError("CountWatches", err)
	}
	if before == 0 {
		return errors.New("Fixture.CountWatches returned 0 while a watch is running")
	}
	if err := watchAndCancel(ctx, r, rounds); err != nil {
		return err
	}
	after := 0
	if r.poll(ctx, func() bool {
		after, err = r.CountWatches(ctx)
		return err != nil || after <= before
	}) {
		return errors.Join(fieldError("CountWatches", err), s.stop())
	}
	return fmt.Errorf("the registry held %d watches before, and holds %d %v after the last watch returned", before, after, r.Timeout)
}

// openFiles counts the open file descriptors of this process.
func openFiles() (int, error) {
	fds, err := os.ReadDir("/proc/self/fd")
	return len(fds), err
}
