package discoverytest

import (
	"context"
	"fmt"
)

// endRules are about how Watch ends and is begun again.
func endRules() []rule {
	return []rule{
		{
			name:  "CancelIdle",
			says:  "a watch that waits for news returns within 1 s of its context's end",
			check: checkCancelIdle,
		},
		{
			name:  "CancelInReport",
			says:  "a watch whose context ended during report returns within 1 s of report's return, and not before it",
			check: checkCancelInReport,
		},
		{
			name:  "CancelBeforeStart",
			says:  "a watch begun with an ended context returns within 1 s",
			check: checkCancelBeforeStart,
		},
		{
			name:  "ContextError",
			says:  "Watch returns why it ended: after its context's end, an error that matches the context's",
			check: checkContextError,
		},
		{
			name:  "WatchAgain",
			says:  "a watch can be begun again after it returned, and reports the complete set at once",
			check: checkWatchAgain,
		},
		{
			name:  "WatchAgainAfterChange",
			says:  "what changed between two watches is in the first report of the second",
			check: checkWatchAgainAfterChange,
		},
	}
}

func checkCancelIdle(ctx context.Context, x *exam) error {
	s, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := rest(ctx); err != nil { // idle, not on its way to be
		return err
	}
	return s.stop()
}

func checkCancelInReport(ctx context.Context, x *exam) error {
	if err := x.put(ctx, ep(0)); err != nil {
		return err
	}
	s, release, err := openHeld(ctx, x)
	if err != nil {
		return err
	}
	defer release()
	s.cancel()
	if err := rest(ctx); err != nil {
		return err
	}
	release()
	return s.returns()
}

func checkCancelBeforeStart(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	s := x.watch(ended, w, nil)
	if err := s.returns(); err != nil {
		return err
	}
	return s.verify(eps(0, 3)) // it may have reported, if what it reported is right
}

func checkContextError(ctx context.Context, x *exam) error {
	s, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return fmt.Errorf("cancelled: %w", err)
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	s = x.watch(limited, w, nil)
	<-limited.Done()
	if err := s.returns(); err != nil {
		return fmt.Errorf("timed out: %w", err)
	}
	return nil
}

func checkWatchAgain(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	for range 3 {
		s := x.watch(ctx, w, nil)
		if err := s.await(eps(0, 3)); err != nil {
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
	}
	return nil
}

func checkWatchAgainAfterChange(ctx context.Context, x *exam) error {
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	s := x.watch(ctx, w, nil)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if err := x.put(ctx, eps(1, 5)...); err != nil {
		return err
	}
	s = x.watch(ctx, w, nil)
	if err := s.await(eps(1, 5)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(1, 5), eps(1, 6)); err != nil {
		return err
	}
	return s.stop()
}
