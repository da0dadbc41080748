package discoverytest

import (
	"context"
	"errors"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/core"
)

// lossRules are about a registry that forgets: a session, its history, the
// place, or who may read it.
func lossRules() []rule {
	return []rule{
		{
			name:  "Expired",
			says:  "an expired session costs no endpoint, and what changed meanwhile is seen",
			check: checkExpired,
		},
		{
			name:  "Compacted",
			says:  "a history that is gone when a watch wants to follow it is replaced by a new list: additions and removals are seen",
			check: checkCompacted,
		},
		{
			name:  "Removed",
			says:  "a place that is removed is reported as empty, and seen again when it is made again",
			check: checkRemoved,
		},
		{
			name:  "Revoked",
			says:  "a watcher that may not read the place returns an error and reports no smaller set; with permission it goes on",
			check: checkRevoked,
		},
	}
}

func checkExpired(ctx context.Context, x *exam) error {
	e, ok := x.place.(Expirer)
	if !ok {
		return lacks("Expirer", "make a session expire")
	}
	s, err := x.keepAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	if err := tried("expiring", e.Expire(ctx)); err != nil {
		return err
	}
	if err := x.put(ctx, eps(1, 4)...); err != nil {
		return err
	}
	if err := s.await(eps(1, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(1, 4), eps(1, 5)); err != nil {
		return err
	}
	return s.stop()
}

func checkCompacted(ctx context.Context, x *exam) error {
	c, ok := x.place.(Compacter)
	if !ok {
		return lacks("Compacter", "forget its history")
	}
	s, err := x.keepAt(ctx, eps(0, 5)...)
	if err != nil {
		return err
	}
	heal, err := cut(ctx, x.place)
	if err != nil {
		return err
	}
	meanwhile := func() error {
		for _, set := range [][2]int{{1, 5}, {1, 6}, {2, 6}} {
			if err := x.put(ctx, eps(set[0], set[1])...); err != nil {
				return err
			}
		}
		return tried("compacting", c.Compact(ctx))
	}
	if err := errors.Join(meanwhile(), heal()); err != nil {
		return err
	}
	if err := s.await(eps(2, 6), eps(0, 5)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(2, 6), eps(3, 7)); err != nil {
		return err
	}
	return s.stop()
}

func checkRemoved(ctx context.Context, x *exam) error {
	r, ok := x.place.(Remover)
	if !ok {
		return lacks("Remover", "be removed")
	}
	s, err := x.openAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	before := eps(0, 3)
	for i := range 3 {
		if err := tried("removing", r.Remove(ctx)); err != nil {
			return err
		}
		if err := s.await(nil, before); err != nil {
			return err
		}
		now := eps(i+1, i+3)
		if err := follow(ctx, x, s, nil, now); err != nil {
			return err
		}
		before = now
	}
	return s.stop()
}

// checkRevoked takes the permission away from a watch that runs, which need
// not notice, and from one that begins, which has to.
func checkRevoked(ctx context.Context, x *exam) error {
	r, ok := x.place.(Revoker)
	if !ok {
		return lacks("Revoker", "take permissions away")
	}
	running, err := x.keepAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	restore, err := r.Revoke(ctx)
	if err != nil {
		return tried("revoking", err)
	}
	restore = once("restoring", restore)
	if err := x.put(ctx, eps(0, 4)...); err != nil {
		return errors.Join(err, restore())
	}
	begun, err := x.open(ctx)
	if err != nil {
		return errors.Join(err, restore())
	}
	refused := begun.refused()
	if err := errors.Join(refused, restore()); err != nil {
		return err
	}
	if err := running.await(eps(0, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := follow(ctx, x, running, eps(0, 4), eps(1, 5)); err != nil {
		return err
	}
	return running.stop()
}

// refused waits for a watch to return an error, and checks that it reported
// nothing.
func (s *session) refused() error {
	err := s.until("an error", func([][]core.Endpoint) bool { return false })
	v := s.view()
	switch {
	case len(v.reports) > 0:
		return fmt.Errorf("%s was reported", show(v.reports[0]))
	case v.breach != nil || !v.returned:
		return err
	case v.err == nil:
		return errors.New("Watch returned nil")
	default:
		return nil
	}
}
