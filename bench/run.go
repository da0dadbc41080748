package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// settings say how long to measure.
type settings struct {
	rounds int
	slice  time.Duration
}

// batch is how many operations a worker does between two looks at whether to stop.
const batch = 256

// result is what one contender cost in one case, a figure per round.
type result struct {
	name              string
	cpu, wall, allocs []float64
	queueing          queueing
}

// run lets all contenders of a case take turns and returns their results in the order of kinds.
func (s scenario) run(set settings) (results []result, err error) {
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
	// The first round opens connections and does not count.
	for round := range set.rounds + 1 {
		for i := range measure.Turns(len(able), round) {
			cost, err := measure.Slice(set.slice, s.workers, s.work(pools[i], ctxs))
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", s.name, able[i].name, err)
			}
			if round > 0 {
				r := &results[i]
				r.cpu = append(r.cpu, cost.CPUPerOp())
				r.wall = append(r.wall, cost.WallPerOp())
				r.allocs = append(r.allocs, cost.AllocsPerOp())
			}
		}
	}
	if s.waiting {
		err = s.queue(pools, results, ctxs, set)
	}
	return results, err
}

// contexts returns a context for each worker, which can be cancelled as that of any request can.
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

// work is what each worker does with one contender, each with its own context.
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

// queue measures the waits themselves, in a quarter of the rounds.
func (s scenario) queue(pools []contender, results []result, ctxs []context.Context, set settings) error {
	for round := range (set.rounds + 3) / 4 {
		for i := range measure.Turns(len(pools), round) {
			if err := results[i].queueing.add(pools[i].(waiter), ctxs, set.slice); err != nil {
				return fmt.Errorf("%s: %s: %w", s.name, results[i].name, err)
			}
		}
	}
	for i := range results {
		results[i].queueing.sort()
	}
	return nil
}
