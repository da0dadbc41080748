package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

// faultRules are about a registry in trouble. Each needs a place that can
// bring the trouble about.
func faultRules() []rule {
	return []rule{
		{
			name:  "Cut",
			says:  "a lost connection is survived or returned as an error, never reported as a smaller set; afterwards nothing is missed",
			check: checkCut,
		},
		{
			name:  "CancelHung",
			says:  "a watch of a registry that does not answer returns within 1 s of its context's end",
			check: checkCancelHung,
		},
	}
}

// keepWatching watches with w as the pool does: again, whenever Watch returns.
// Its session ends with the last of them.
type keepWatching struct{ core.Watcher }

func (k keepWatching) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	for {
		err := k.Watcher.Watch(ctx, report)
		if ctx.Err() != nil {
			return err
		}
		if rerr := rest(ctx); rerr != nil { // a registry that is gone is not to be stormed
			return rerr
		}
	}
}

func checkCut(ctx context.Context, x *exam) error {
	cutter, ok := x.place.(Cutter)
	if !ok {
		return lacks("Cutter", "cut the connection between a watcher and its registry")
	}
	if err := x.put(ctx, eps(0, 3)...); err != nil {
		return err
	}
	w, err := x.watcher()
	if err != nil {
		return err
	}
	s := x.watch(ctx, keepWatching{w}, nil)
	if err := s.await(eps(0, 3)); err != nil {
		return err
	}
	heal, err := cutter.Cut(ctx)
	if err != nil {
		return fmt.Errorf("cutting: %w", err)
	}
	if err := x.put(ctx, eps(1, 4)...); err != nil {
		return errors.Join(err, heal())
	}
	// Longer than a try of keepWatching, so that some fail.
	for range 3 {
		if err := rest(ctx); err != nil {
			return errors.Join(err, heal())
		}
	}
	if err := heal(); err != nil {
		return fmt.Errorf("healing: %w", err)
	}
	if err := s.await(eps(1, 4), eps(0, 3)); err != nil {
		return err
	}
	if err := follow(ctx, x, s, eps(1, 4), slices.Concat(eps(1, 4), eps(7, 8))); err != nil {
		return err
	}
	return s.stop()
}

func checkCancelHung(ctx context.Context, x *exam) error {
	hanger, ok := x.place.(Hanger)
	if !ok {
		return lacks("Hanger", "make the registry silent")
	}
	running, err := x.openAt(ctx, ep(0))
	if err != nil {
		return err
	}
	resume, err := hanger.Hang(ctx)
	if err != nil {
		return fmt.Errorf("hanging: %w", err)
	}
	begun, err := x.open(ctx)
	if err != nil {
		return errors.Join(err, resume())
	}
	if err := rest(ctx); err != nil { // until it waits for an answer
		return errors.Join(err, resume())
	}
	return errors.Join(running.stop(), begun.stop(), resume())
}
