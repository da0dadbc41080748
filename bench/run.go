package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// batch is how many operations a worker does between two checks of whether to stop.
const batch = 256

// result is what one contender cost in one case, a figure per round.
type result struct {
	name string
	measure.Costs
	queueing queueing
}

// run lets all contenders of a case take turns and returns their results in the order of kinds.
func (s scenario) run(set measure.Settings) (results []result, err error) {
	able := s.contenders()
	pools := make([]contender, len(able))
	results = make([]result, len(able))
	for i, k := range able {
		if pools[i], err = k.open(new(fleet), s.demand); err != nil {
			return nil, fmt.Errorf("%s: opening %s: %w", s.name, k.name, err)
		}
		defer pools[i].close()
		results[i].name = k.name
	}
	ctxs, cancel := contexts(s.workers)
	defer cancel()
	err = set.Interleave(len(able), func(i int, counts bool) error {
		cost, err := measure.Slice(set.Slice, s.workers, s.work(pools[i], ctxs))
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, able[i].name, err)
		}
		if counts {
			results[i].Add(cost)
		}
		return nil
	})
	if err == nil && s.waiting {
		err = s.queue(pools, results, ctxs, set)
	}
	return results, err
}

// contexts returns a context for each worker. It can be canceled, as the context of a request can.
func contexts(workers int) ([]context.Context, context.CancelFunc) {
	ctxs := make([]context.Context, workers)
	cancels := make([]context.CancelFunc, workers)
	for i := range ctxs {
		ctxs[i], cancels[i] = context.WithCancel(context.Background())
	}
	return ctxs, func() {
		for _, cancel := range cancels {
			cancel()
		}
	}
}

// work returns what the workers do with a contender, each with its own context.
func (s scenario) work(c contender, ctxs []context.Context) measure.Work {
	some := func(ctx context.Context) (int, error) { return batch, c.cycle(ctx, batch) }
	if s.waiting {
		w := c.(waiter)
		some = func(ctx context.Context) (int, error) { return 1, w.hold(ctx, callServer) }
	}
	return func(worker int, stop *atomic.Bool) (ops int, err error) {
		for !stop.Load() {
			n, err := some(ctxs[worker])
			if err != nil {
				return ops, err
			}
			ops += n
		}
		return ops, nil
	}
}

// queue measures how long calls wait, in a quarter of the rounds.
func (s scenario) queue(pools []contender, results []result, ctxs []context.Context, set measure.Settings) error {
	for round := range (set.Rounds + 3) / 4 {
		for i := range measure.Turns(len(pools), round) {
			if err := results[i].queueing.add(pools[i].(waiter), ctxs, set.Slice); err != nil {
				return fmt.Errorf("%s: %s: %w", s.name, results[i].name, err)
			}
		}
	}
	for i := range results {
		results[i].queueing.sort()
	}
	return nil
}
