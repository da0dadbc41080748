package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// In the waiting cases every goroutine leases a connection, lets the others run once while it holds the connection (as
// it would while the server answers), releases it and starts over. There are eight goroutines for each connection, and
// they do nothing else, so all connections are always leased. A call must wait, unless the contender lets it overtake
// calls that wait already: the figures here show how often that happens.

// queueing is how long the calls of one contender waited.
type queueing struct {
	times []time.Duration
	// served counts, for each call, the other calls that got a connection between its arrival and its own lease. It is
	// the wait in a unit that does not depend on the machine: first come, first served makes it the length of the queue.
	served []int64
}

// add measures another slice. It is not one of the slices that measure cost, because it reads the clock in each call.
func (q *queueing) add(w waiter, ctxs []context.Context, d time.Duration) error {
	var total atomic.Int64
	parts := make([]queueing, len(ctxs))
	_, err := measure.Slice(d, len(ctxs), func(i int, stop *atomic.Bool) (int, error) {
		mine := &parts[i]
		var arrival time.Time
		var before int64
		leased := func() {
			mine.times = append(mine.times, time.Since(arrival))
			mine.served = append(mine.served, total.Add(1)-1-before)
			callServer()
		}
		for !stop.Load() {
			before, arrival = total.Load(), time.Now()
			if err := w.hold(ctxs[i], leased); err != nil {
				return len(mine.times), err
			}
		}
		return len(mine.times), nil
	})
	for _, part := range parts {
		q.times = append(q.times, part.times...)
		q.served = append(q.served, part.served...)
	}
	return err
}

func (q *queueing) sort() {
	slices.Sort(q.times)
	slices.Sort(q.served)
}

// waited returns the share of the calls that saw at least as many others served first as there are connections, which
// is more than calls that run in parallel can explain. The calls must be sorted.
func (q *queueing) waited(connections int) float64 {
	first, _ := slices.BinarySearch(q.served, int64(connections))
	return float64(len(q.served)-first) / float64(max(len(q.served), 1))
}
