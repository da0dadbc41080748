package main

import (
	"runtime"
	"sync"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// stage plays each scenario only once.
type stage struct {
	seeds  int
	played map[run][]outcome
}

type run struct {
	scenario, arm string
	retry         bool
}

func newStage(seeds int) *stage { return &stage{seeds: max(seeds, 1), played: map[run][]outcome{}} }

// play plays a scenario once for each seed, on all processors.
func (g *stage) play(s scenario, a arm, retry bool) []outcome {
	key := run{s.name, a.name, retry}
	if all, ok := g.played[key]; ok {
		return all
	}
	seeds := g.seeds
	if s.long {
		seeds = min(seeds, 3)
	}
	all := make([]outcome, seeds)
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for k := range all {
		room <- struct{}{}
		wg.Go(func() { // ends by itself, and is waited for below
			all[k] = play(s, a, retry, uint64(k+1))
			<-room
		})
	}
	wg.Wait()
	g.played[key] = all
	return all
}

// figure returns the median of a goal's figure over the seeds.
func (g *stage) figure(l goal, a arm) float64 {
	all, best := g.play(l.scenario, a, l.retry), g.play(l.scenario, ideal(), false)
	figures := make([]float64, len(all))
	for k := range all {
		figures[k] = l.figure(&all[k], &best[k])
	}
	return measure.Median(figures)
}
