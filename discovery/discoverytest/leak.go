package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// rounds is how often the leak rules begin and end a watch: more than anything
// a client keeps for later use.
const rounds = 100

// leakRules are about what watches leave behind.
func leakRules() []rule {
	return []rule{
		{
			name:  "NoGoroutineLeft",
			says:  "100 watches that ended leave no goroutine",
			check: checkNoGoroutineLeft,
		},
		{
			name:  "NoFileLeft",
			says:  "100 watches that ended leave no open file or socket",
			check: checkNoFileLeft,
		},
		{
			name:  "NoWatchLeft",
			says:  "100 watches that ended leave no watch in the registry",
			check: checkNoWatchLeft,
		},
	}
}

// watchAndCancel begins and ends watches in every way: after the first report,
// on the way to it and before the start; with a new watcher and with one that
// is used again and again. The registry holds eps(0, 3).
func watchAndCancel(ctx context.Context, x *exam, n int) error {
	old, err := x.watcher()
	if err != nil {
		return err
	}
	for i := range n {
		w := old
		if i%2 == 0 {
			if w, err = x.watcher(); err != nil {
				return err
			}
		}
		if err := watchOnce(ctx, x, w, i/2%3); err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
	}
	return nil
}

func watchOnce(ctx context.Context, x *exam, w core.Watcher, way int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if way == 0 {
		cancel()
	}
	s := x.watch(ctx, w, nil)
	if way == 1 {
		if err := s.await(eps(0, 3)); err != nil {
			return err
		}
	}
	return s.stop()
}

func checkNoGoroutineLeft(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil { // the place's own goroutines are not the watcher's
		return err
	}
	before := goroutines()
	if err := watchAndCancel(ctx, x, rounds); err != nil {
		return err
	}
	var left map[string]string
	if x.poll(ctx, func() bool {
		left = goroutines()
		for id := range before {
			delete(left, id)
		}
		return len(left) == 0
	}) {
		return nil
	}
	var one string
	for _, one = range left {
		break
	}
	return fmt.Errorf("%d goroutines are left %v after the last watch returned, one of them:\n%s", len(left), x.timeout, one)
}

func checkNoFileLeft(ctx context.Context, x *exam) error {
	if _, err := openFiles(); err != nil {
		return fmt.Errorf("this system does not list open files: %w (%w)", err, errors.ErrUnsupported)
	}
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	// The first watch may open what the process then keeps, like the poller.
	if err := watchAndCancel(ctx, x, 6); err != nil {
		return err
	}
	before, err := openFiles()
	if err != nil {
		return err
	}
	if err := watchAndCancel(ctx, x, rounds); err != nil {
		return err
	}
	var after int
	if x.poll(ctx, func() bool {
		after, err = openFiles()
		return err != nil || after <= before
	}) {
		return err
	}
	return fmt.Errorf("%d files were open before and %d are %v after the last watch returned", before, after, x.timeout)
}

func checkNoWatchLeft(ctx context.Context, x *exam) error {
	c, ok := x.place.(WatchCounter)
	if !ok {
		return lacks("WatchCounter", "count the watches that its registry holds")
	}
	// One watch stays, so that a client which watches share stays too.
	s, err := x.openAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	before, err := c.Watches(ctx)
	if err != nil {
		return tried("counting watches", err)
	}
	if before == 0 {
		return errors.New("the registry holds no watch while one runs: is it counted?")
	}
	if err := watchAndCancel(ctx, x, rounds); err != nil {
		return err
	}
	after := 0
	if x.poll(ctx, func() bool {
		after, err = c.Watches(ctx)
		return err != nil || after <= before
	}) {
		return errors.Join(err, s.stop())
	}
	return fmt.Errorf("the registry held %d watches before and %d %v after the last watch returned", before, after, x.timeout)
}

// poll waits for what sends no event: ends of goroutines, closed files.
func (x *exam) poll(ctx context.Context, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
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

// goroutines returns the stacks of all goroutines by their number, without
// this one and those of the testing package.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := strings.Split(string(buf), "\n\n")
	all := make(map[string]string, len(stacks))
	for _, stack := range stacks[1:] { // the first is this goroutine
		if strings.Contains(stack, "\ncreated by testing.") {
			continue
		}
		id, _, _ := strings.Cut(stack, " [")
		all[id] = stack
	}
	return all
}

// openFiles counts the open file descriptors of this process.
func openFiles() (int, error) {
	fds, err := os.ReadDir("/proc/self/fd")
	return len(fds), err
}
