package main

import (
	"regexp"
	"runtime"
)

// scenario is one case of the comparison.
type scenario struct {
	name string
	// why says what the case stands for.
	why     string
	workers int
	demand  demand
	// waiting makes every caller wait; see waits.go.
	waiting bool
	// targets are the most that our CPU time per operation may be, as a multiple of each contender's.
	targets map[string]float64
	// limit is the most that our CPU time per operation may be, in nanoseconds; 0 for no limit.
	limit float64
	// among matches the names of the contenders that run; nil matches all.
	among *regexp.Regexp
}

func scenarios() []scenario {
	return []scenario{
		{
			name:    "one endpoint",
			why:     "one goroutine, one server: the lease alone",
			workers: 1, demand: demand{endpoints: 1, each: 64},
			targets: map[string]float64{puddlePeer: 0.12, vitessPeer: 0.19, syncPeer: 1.1},
		},
		{
			name:    "pick among 8",
			why:     "one goroutine: choice of a server and lease, against the peers' lease alone",
			workers: 1, demand: demand{endpoints: 8, each: 8},
			targets: map[string]float64{puddlePeer: 0.18, vitessPeer: 0.30, syncPeer: 1.7},
			limit:   250,
		},
		{
			name:    "pick among 64",
			why:     "the same with more servers than are looked at",
			workers: 1, demand: demand{endpoints: 64, each: 1},
			targets: map[string]float64{puddlePeer: 0.22, vitessPeer: 0.34, syncPeer: 2.0},
		},
		{
			name:    "pick among 8, expiring",
			why:     "the same as among 8, with a maximum lifetime and an idle timeout; puddle with the checks of pgxpool",
			workers: 1, demand: demand{endpoints: 8, each: 8, expiring: true},
			targets: map[string]float64{puddlePeer: 0.12, vitessPeer: 0.20},
		},
		{
			name:    "16 goroutines",
			why:     "16 goroutines on 8 servers, 64 connections: contention without waiting",
			workers: 16, demand: demand{endpoints: 8, each: 8},
			targets: map[string]float64{puddlePeer: 0.18, vitessPeer: 0.32, syncPeer: 1.8},
		},
		{
			name:    "waiting, one endpoint",
			why:     "64 goroutines on one server with 8 connections",
			workers: 64, demand: demand{endpoints: 1, each: 8}, waiting: true,
			targets: map[string]float64{puddlePeer: 0.45, vitessPeer: 0.35},
		},
		{
			name:    "waiting, 8 endpoints",
			why:     "64 goroutines on 8 servers with one connection each",
			workers: 64, demand: demand{endpoints: 8, each: 1}, waiting: true,
			targets: map[string]float64{puddlePeer: 0.45, vitessPeer: 0.35},
		},
	}
}

// contenders returns the kinds that run in the case. A reference can neither wait nor expire connections.
func (s scenario) contenders() []kind {
	var all []kind
	for _, k := range kinds() {
		able := !k.reference || !s.waiting && !s.demand.expiring
		if able && (s.among == nil || s.among.MatchString(k.name)) {
			all = append(all, k)
		}
	}
	return all
}

// callServer stands for the call that a lease is for: the caller parks while other goroutines run.
func callServer() { runtime.Gosched() }
