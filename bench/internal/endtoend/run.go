package endtoend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// Result is what one arm did, a figure per round.
type Result struct {
	name string
	// Rate is in calls per second, the others are per call: times in microseconds, allocations in objects.
	Rate, P50, P99, CPU, Allocs []float64
}

// run lets all arms take turns and returns their results in the order of the arms.
func (c Comparison) run(load Workload, addrs []string, set measure.Settings) ([]Result, error) {
	all, results := make([]callers, len(c.Arms)), make([]Result, len(c.Arms))
	for i, a := range c.Arms {
		w, err := a.Open(addrs, load)
		if w != nil {
			defer w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", a.Name, err)
		}
		all[i], results[i].name = newCallers(w, load.Callers), a.Name
	}
	err := set.Interleave(len(c.Arms), func(i int, counts bool) error {
		cost, err := all[i].slice(set.Slice)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Arms[i].Name, err)
		}
		if counts {
			results[i].add(cost, all[i].latencies())
		}
		return nil
	})
	return results, err
}

func (r *Result) add(cost measure.Cost, sorted []time.Duration) {
	r.Rate = append(r.Rate, 1e9/cost.WallPerOp())
	r.CPU = append(r.CPU, cost.CPUPerOp()/1e3)
	r.Allocs = append(r.Allocs, cost.AllocsPerOp())
	r.P50 = append(r.P50, measure.Quantile(sorted, 0.5)/1e3)
	r.P99 = append(r.P99, measure.Quantile(sorted, 0.99)/1e3)
}

// callers are reused from slice to slice, so that their own memory is not counted.
type callers []*caller

type caller struct {
	call func(context.Context) error
	took []time.Duration
}

func newCallers(w Way, n int) callers {
	all := make(callers, n)
	for i := range all {
		all[i] = &caller{call: w.Caller(i)}
	}
	return all
}

func (cs callers) slice(d time.Duration) (measure.Cost, error) {
	return measure.Slice(d, len(cs), func(i int, stop *atomic.Bool) (int, error) { return cs[i].run(stop) })
}

// run calls until stop. It reads the clock once per call: one call ends where the next begins.
func (c *caller) run(stop *atomic.Bool) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.took = c.took[:0]
	for begin := time.Now(); !stop.Load(); {
		if err := c.call(ctx); err != nil {
			return len(c.took), err
		}
		end := time.Now()
		c.took = append(c.took, end.Sub(begin))
		begin = end
	}
	return len(c.took), nil
}

// latencies returns those of the last slice, sorted.
func (cs callers) latencies() []time.Duration {
	var all []time.Duration
	for _, c := range cs {
		all = append(all, c.took...)
	}
	slices.Sort(all)
	return all
}

// Try makes calls for about d, as a test does, and returns an error unless each has its latency. On a busy machine d may
// pass without a call, so it tries again a few times.
func Try(w Way, load Workload, d time.Duration) error {
	cs := newCallers(w, load.Callers)
	for range 100 {
		cost, err := cs.slice(d)
		if err != nil {
			return err
		}
		if n := len(cs.latencies()); n != cost.Ops {
			return fmt.Errorf("%d calls have %d latencies", cost.Ops, n)
		}
		if cost.Ops > 0 {
			return nil
		}
	}
	return errors.New("no call ended")
}
