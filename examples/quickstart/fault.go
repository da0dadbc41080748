package main

import (
	"context"
	"fmt"
	"time"
)

// killAndRestart kills the busiest server at a third of d and starts it again
// at two thirds. It returns what had happened at those two moments, as far as
// they came.
func killAndRestart(ctx context.Context, servers fleet, d time.Duration, st *stats, events *timeline) (cuts []period) {
	if !sleep(ctx, d/3) {
		return nil
	}
	cuts = append(cuts, st.now())
	s := servers[cuts[0].busiest()]
	events.did("killed", s.addr, bad)
	if err := s.kill(); err != nil {
		events.saw(s.addr, fmt.Sprintf("cannot be killed: %v", err), bad)
		return cuts
	}
	if !sleep(ctx, 2*d/3-time.Since(st.start)) {
		return cuts
	}
	cuts = append(cuts, st.now())
	events.did("started again", s.addr, good)
	st.atNextAnswer(s.addr, func() { events.saw(s.addr, "answered its first call", good) })
	if err := s.start(ctx); err != nil {
		events.saw(s.addr, fmt.Sprintf("cannot be started: %v", err), bad)
		return cuts
	}
	events.saw(s.addr, "listens", good)
	return cuts
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
