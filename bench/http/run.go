package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// settings say how long to measure.
type settings struct {
	rounds int
	slice  time.Duration
}

// workload is some callers that each get payload bytes and begin again.
type workload struct {
	callers, payload int
	http2            bool // without TLS
}

func workloads() []workload {
	return []workload{{1, 100, false}, {16, 100, false}, {128, 100, false}, {16, 4096, false}, {16, 100, true}, {128, 100, true}}
}

func (l workload) name() string {
	protocol := "HTTP/1.1"
	if l.http2 {
		protocol = "HTTP/2"
	}
	return fmt.Sprintf("%d x %d B, %s", l.callers, l.payload, protocol)
}

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
		w, err := a.open(addrs, l)
		if w != nil {
			defer w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: opening %s: %w", l.name(), a.name, err)
		}
		ways[i], results[i].name = w, a.name
	}
	callers := make(callers, l.callers)
	// The first round opens connections and does not count.
	for round := range set.rounds + 1 {
		for i := range measure.Turns(len(all), round) {
			cost, err := callers.slice(ways[i], l.payload, set.slice)
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
type callers []caller

// caller has the latencies of its calls.
type caller []time.Duration

func (cs callers) slice(w way, payload int, d time.Duration) (measure.Cost, error) {
	return measure.Slice(d, len(cs), func(i int, stop *atomic.Bool) (int, error) {
		return cs[i].call(w, payload, stop)
	})
}

// call calls until stop. The clock is read once per call: one ends where the next begins.
func (c *caller) call(w way, payload int, stop *atomic.Bool) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	took := (*c)[:0]
	defer func() { *c = took }()
	for begin := time.Now(); !stop.Load(); {
		if err := get(ctx, w, payload); err != nil {
			return len(took), err
		}
		end := time.Now()
		took = append(took, end.Sub(begin))
		begin = end
	}
	return len(took), nil
}

func get(ctx context.Context, w way, payload int) error {
	client, url := w.next()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	} else if resp.StatusCode != http.StatusOK || n != int64(payload) {
		return fmt.Errorf("%s: %d bytes, want %d", resp.Status, n, payload)
	}
	return nil
}

// latencies returns those of the last slice, sorted.
func (cs callers) latencies() []time.Duration {
	var all []time.Duration
	for _, c := range cs {
		all = append(all, c...)
	}
	slices.Sort(all)
	return all
}
