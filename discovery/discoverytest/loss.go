package discoverytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// lossRules are about a registry that loses a session, its history, the service
// or the watcher's permission.
func lossRules() []rule {
	return []rule{
		{
			name:        "Expired",
			description: "after its session expired, a watcher still reports all endpoints, and reports what changed meanwhile",
			check:       checkExpired,
		},
		{
			name:        "Compacted",
			description: "if the registry has dropped the history that a watcher needs, the watcher reads the complete set again and reports all additions and removals",
			check:       checkCompacted,
		},
		{
			name:        "Removed",
			description: "a watcher reports a removed service as empty, and reports its endpoints when the service is created again",
			check:       checkRemoved,
		},
		{
			name:        "Revoked",
			description: "a watcher without permission to read the service returns an error and does not report a smaller set; with permission, it reports the set again",
			check:       checkRevoked,
		},
	}
}

func checkExpired(ctx context.Context, r *run) error {
	if r.ExpireSessions == nil {
		return missing("ExpireSessions")
	}
	s, err := r.openRetryingAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	if err := r.ExpireSessions(ctx); err != nil {
		return fieldError("ExpireSessions", err)
	}
	if err := r.put(ctx, eps(1, 4)...); err != nil {
		return err
	}
	if err := s.await(eps(1, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := r.putEach(ctx, s, eps(1, 4), eps(1, 5)); err != nil {
		return err
	}
	return s.stop()
}

func checkCompacted(ctx context.Context, r *run) error {
	if r.Compact == nil {
		return missing("Compact")
	}
	s, err := r.openRetryingAt(ctx, eps(0, 5)...)
	if err != nil {
		return err
	}
	restore, err := r.cut(ctx)
	if err != nil {
		return err
	}
	changeAndCompact := func() error {
		for _, set := range [][]discovery.Endpoint{eps(1, 5), eps(1, 6), eps(2, 6)} {
			if err := r.put(ctx, set...); err != nil {
				return err
			}
		}
		return fieldError("Compact", r.Compact(ctx))
	}
	if err := errors.Join(changeAndCompact(), restore()); err != nil {
		return err
	}
	if err := s.await(eps(2, 6), eps(0, 5)); err != nil {
		return err
	}
	if err := r.putEach(ctx, s, eps(2, 6), eps(3, 7)); err != nil {
		return err
	}
	return s.stop()
}

func checkRemoved(ctx context.Context, r *run) error {
	if r.Remove == nil {
		return missing("Remove")
	}
	s, err := r.openAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	before := eps(0, 3)
	for i := range 3 {
		if err := r.Remove(ctx); err != nil {
			return fieldError("Remove", err)
		}
		if err := s.await(nil, before); err != nil {
			return err
		}
		now := eps(i+1, i+3)
		if err := r.putEach(ctx, s, nil, now); err != nil {
			return err
		}
		before = now
	}
	return s.stop()
}

// checkRevoked revokes the permission of a running watch, which may go
// unnoticed, and then starts a watch, which has to fail.
func checkRevoked(ctx context.Context, r *run) error {
	if r.RevokeAccess == nil {
		return missing("RevokeAccess")
	}
	running, err := r.openRetryingAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	restore, err := disturb(ctx, "RevokeAccess", r.RevokeAccess)
	if err != nil {
		return err
	}
	if err := r.put(ctx, eps(0, 4)...); err != nil {
		return errors.Join(err, restore())
	}
	started, err := r.open(ctx)
	if err != nil {
		return errors.Join(err, restore())
	}
	if err := errors.Join(started.awaitError(), restore()); err != nil {
		return err
	}
	if err := running.await(eps(0, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := r.putEach(ctx, running, eps(0, 4), eps(1, 5)); err != nil {
		return err
	}
	return running.stop()
}

// awaitError waits until Watch returns an error, and checks that it has not
// reported anything.
func (s *stream) awaitError() error {
	err := s.until("an error", func([][]discovery.Endpoint) bool { return false })
	now := s.state()
	switch {
	case len(now.reports) > 0:
		return fmt.Errorf("Watch reported %s", show(now.reports[0]))
	case now.violation != nil || !now.returned:
		return err
	case now.err == nil:
		return errors.New("Watch returned nil")
	default:
		return nil
	}
}
