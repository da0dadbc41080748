package core

import (
	"context"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

const (
	// tick is the time between two ticks of the picker.
	tick = 100 * time.Millisecond
	// restAfter is how long nothing must have happened for the ticks of picker and
	// outlier detection to pause, which look at every endpoint: several times what
	// either takes to forget, so that the ticks left out would change nothing.
	restAfter = time.Minute
)

// janitor lets a pool see time pass. What it does about ten times and once a second
// costs as much as there are endpoints with connections, dials or failed ones, and
// not as the fleet is large. Its fields belong to its goroutine.
type janitor struct {
	p *pool
	// live are the sub-pools that time concerns.
	live []*subpool
	// view and out, the number of live endpoints that are unavailable, are those
	// of the last tick, and busy is when something had happened last.
	view *snapshot
	out  int
	busy time.Duration
	// silenceChecked means that the watcher has said something in time, or that
	// the observers know that it has not.
	silenceChecked bool
}

// run sweeps the sub-pools about once a second, more often where a time of the
// settings is shorter than a few seconds, and lets the picker see time pass, until
// close stops it.
//
// It has one timer and not two tickers: where both are due at the same moment, which in
// a testing/synctest bubble they often are, the race detector of Go 1.26 may crash
// (https://go.dev/issue/78156).
func (j *janitor) run(ctx context.Context) {
	ticked := j.p.now()
	swept := ticked
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		nextTick, nextSweep := ticked+tick, swept+j.p.settings().sweepInterval()
		timer.Reset(min(nextTick, nextSweep) - j.p.now())
		select {
		case <-ctx.Done():
			return
		case <-j.p.resized: // the next sweep may be due earlier or later
		case <-timer.C:
			now := j.p.now()
			if now >= nextTick {
				ticked = now
				j.tick()
			}
			if now >= nextSweep {
				swept = now
				j.sweep()
			}
		}
	}
}

// enlist makes the janitor look at s, if it does not. It comes after what makes s live,
// and sweep takes the mark away before it looks whether s is live: one sees the other.
func (p *pool) enlist(s *subpool) {
	if s.listed.Load() || !s.listed.CompareAndSwap(false, true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = append(p.woken, s)
}

// takeWoken adds what was listed since the last time.
func (j *janitor) takeWoken() {
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	j.live, j.p.woken = append(j.live, j.p.woken...), nil
}

// sweep sweeps the live sub-pools, and leaves out those that are so no more.
func (j *janitor) sweep() {
	j.takeWoken()
	now, kept := j.p.now(), j.live[:0]
	for _, s := range j.live {
		s.listed.Store(false)
		if s.isLive() && s.listed.CompareAndSwap(false, true) { // else it is among the woken again
			s.sweep(now)
			kept = append(kept, s)
		}
	}
	j.live = fit(kept)
}

// isLive reports whether time concerns s: it has connections, should have some, or
// could not be dialed.
func (s *subpool) isLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.draining && (s.takenLocked() > 0 || s.failing >= 0 || s.Unavailable() || s.demand.Load() > 0 || s.pool.settings().minIdle > 0)
}

// tick lets the picker, outlier detection and the hedge see time pass, and keeps
// a connection ready to each server that is ejected: its probe finds out how the
// server is now, and not that a connection has ended meanwhile.
func (j *janitor) tick() {
	j.takeWoken()
	p := j.p
	v, now := p.view.Load(), p.now()
	j.checkSilence(v, now)
	n, out, calls := 0, 0, p.reported.Load()
	p.reported.Store(false)
	for _, s := range j.live {
		inFlight := s.InFlight()
		n += inFlight
		calls = calls || inFlight > 0 && !s.Down() // else it is a dial
		if s.Unavailable() {
			out++
		}
		if s.Ejected() {
			s.sweep(now)
			if inFlight == 0 && s.Idle() == 0 {
				s.prewarm()
			}
		}
	}
	p.latency.tick(j.live)
	p.retrier.Tick(n)
	if calls || v != j.view || out != j.out {
		j.view, j.out, j.busy = v, out, now
	}
	if now-j.busy > restAfter {
		return
	}
	if v.detector != nil {
		v.detector.Tick(now)
	}
	if t, ok := v.picker.(balance.Ticker); ok {
		if !v.guarded {
			t.Tick(now)
		} else {
			_ = apart(func() { t.Tick(now) }) // a panic is dropped, as the contract of Picker says
		}
	}
}
