package discoverytest

import (
	"context"
	"fmt"
)

// cancelRules are about how Watch returns and is called again.
func cancelRules() []rule {
	return []rule{
		{
			name:        "CancelIdle",
			description: "Watch returns within 1 s of its context's end while it waits for a change",
			check:       checkCancelIdle,
		},
		{
			name:        "CancelInReport",
			description: "if the context ends during report, Watch returns within 1 s of report's return, and not before",
			check:       checkCancelInReport,
		},
		{
			name:        "CancelBeforeStart",
			description: "Watch returns within 1 s if its context has ended before",
			check:       checkCancelBeforeStart,
		},
		{
			name:        "ContextError",
			description: "after its context's end, Watch returns an error that matches the context's",
			check:       checkContextError,
		},
		{
			name:        "WatchAgain",
			description: "Watch can be called again after it returned, and reports the complete set at once",
			check:       checkWatchAgain,
		},
		{
			name:        "WatchAgainAfterChange",
			description: "the first report of a Watch has what changed since the last Watch of the same watcher",
			check:       checkWatchAgainAfterChange,
		},
	}
}

func checkCancelIdle(ctx context.Context, r *run) error {
	s, err := r.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := waitQuiet(ctx); err != nil { // until Watch waits
		return err
	}
	return s.stop()
}

func checkCancelInReport(ctx context.Context, r *run) error {
	if err := r.put(ctx, ep(0)); err != nil {
		return err
	}
	s, release, err := r.openHeld(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.cancel()
	if err := waitQuiet(ctx); err != nil {
		return err
	}
	release()
	return s.awaitReturn()
}

func checkCancelBeforeStart(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	s := r.watch(ended, w, nil)
	if err := s.awaitReturn(); err != nil {
		return err
	}
	return s.verify(eps(0, 3)) // a report is allowed, but not a wrong one
}

func checkContextError(ctx context.Context, r *run) error {
	s, err := r.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return fmt.Errorf("after a cancellation: %w", err)
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, quietTime)
	defer cancel()
	s = r.watch(limited, w, nil)
	<-limited.Done()
	if err := s.awaitReturn(); err != nil {
		return fmt.Errorf("after a timeout: %w", err)
	}
	return nil
}

func checkWatchAgain(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	for range 3 {
		s := r.watch(ctx, w, nil)
		if err := s.await(eps(0, 3)); err != nil {
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
	}
	return nil
}

func checkWatchAgainAfterChange(ctx context.Context, r *run) error {
	if err := r.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	s := r.watch(ctx, w, nil)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if err := r.put(ctx, eps(1, 5)...); err != nil {
		return err
	}
	s = r.watch(ctx, w, nil)
	if err := s.await(eps(1, 5)); err != nil {
		return err
	}
	if err := r.putEach(ctx, s, eps(1, 5), eps(1, 6)); err != nil {
		return err
	}
	return s.stop()
}
