package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/echo"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// settings say how long to measure.
type settings struct {
	rounds int
	slice  time.Duration
}

// workload is some callers that each send payload bytes, wait for them to come back and begin again.
type workload struct{ callers, payload int }

func workloads() []workload { return []workload{{1, 100}, {16, 100}, {128, 100}, {16, 4096}} }

func (l workload) name() string { return fmt.Sprintf("%d x %d B", l.callers, l.payload) }

// result is what one arm did, a figure per round.
type result struct {
	name string
	// rate is in calls per second, the others are per call: times in microseconds, allocations in objects.
	rate, p50, p99, cpu, allocs []float64
}

// run lets all arms take turns and returns their results in the order of arms.
func (l workload) run(addrs []string, set settings) ([]result, error) {
	all := arms()
	ways := make([]way, len(all))
	results := make([]result, len(all))
	for i, a := range all {
		w, err := a.open(addrs, l.callers)
		if w != nil {
			defer w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: opening %s: %w", l.name(), a.name, err)
		}
		ways[i], results[i].name = w, a.name
	}
	callers := l.newCallers()
	// The first round opens connections and does not count.
	for round := range set.rounds + 1 {
		for i := range measure.Turns(len(all), round) {
			cost, err := callers.slice(ways[i], set.slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", l.name(), all[i].name, err)
			}
			if round > 0 {
				results[i].add(cost, callers.latencies())
			}
		}
	}
	return results, nil
}

func (r *result) add(cost measure.Cost, sorted []time.Duration) {
	r.rate = append(r.rate, 1e9/cost.WallPerOp())
	r.cpu = append(r.cpu, cost.CPUPerOp()/1e3)
	r.allocs = append(r.allocs, cost.AllocsPerOp())
	r.p50 = append(r.p50, measure.Quantile(sorted, 0.5)/1e3)
	r.p99 = append(r.p99, measure.Quantile(sorted, 0.99)/1e3)
}

// callers are reused from slice to slice, so that their own memory is not counted.
type callers []*caller

type caller struct {
	payload []byte
	took    []time.Duration
}

func (l workload) newCallers() callers {
	all := make(callers, l.callers)
	for i := range all {
		all[i] = &caller{payload: bytes.Repeat([]byte{byte(i)}, l.payload)}
	}
	return all
}

func (cs callers) slice(w way, d time.Duration) (measure.Cost, error) {
	return measure.Slice(d, len(cs), func(i int, stop *atomic.Bool) (int, error) {
		return cs[i].call(echo.NewEchoClient(w.client(i)), stop)
	})
}

var errNotEchoed = errors.New("the answer is not what was sent")

// call calls until stop. The clock is read once per call: one ends where the next begins.
func (c *caller) call(client *echo.EchoClient, stop *atomic.Bool) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.took = c.took[:0]
	for begin := time.Now(); !stop.Load(); {
		answer, err := client.Echo(ctx, c.payload)
		if err != nil {
			return len(c.took), err
		}
		if !bytes.Equal(answer, c.payload) {
			return len(c.took), errNotEchoed
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
