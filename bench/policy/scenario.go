package main

import (
	"math/rand/v2"
	"time"
)

// scenario is what happens to the fleet.
type scenario struct {
	name string
	// clients is how many processes call, each with its own balancer.
	clients int
	// load is the part of the fleet's capacity that is asked for.
	load float64
	// prepare gives the servers their speeds and faults.
	prepare func(fleet []*server, r *rand.Rand)
	// fault is when the first few servers, the victims, have one.
	fault   span
	victims int
	// joins is when the last server joins; zero: it is there from the beginning.
	joins time.Duration
	// surge is when the load is surgeBy times higher.
	surge   span
	surgeBy float64
	// measured are the calls that begin in this span, and the run ends at ends.
	measured span
	ends     time.Duration
	// long: it is played three times at most.
	long bool
}

// Calls are measured for 40 s after 5 s; faults begin at 10 s and last until the end of it, or for a while.
const (
	begins  = 10 * time.Second
	closes  = 45 * time.Second
	outage  = 12 * time.Second
	surging = 10 * time.Second
)

func steady(name string, clients int) scenario {
	return scenario{
		name: name, clients: clients, load: 0.7,
		measured: span{closes - 40*time.Second, closes}, ends: closes + 2*deadline,
	}
}

func constant(x float64) func(time.Duration) float64 { return func(time.Duration) float64 { return x } }

func homogeneous(clients int) scenario {
	if clients == 1 {
		return steady("homogeneous, one client", 1)
	}
	return steady("homogeneous", clients)
}

// busier is a homogeneous fleet with as much to do as one of ten servers has that lost one.
func busier() scenario {
	s := steady("homogeneous, load of 78 %", 20)
	s.load *= float64(servers) / (servers - 1)
	return s
}

// heterogeneous servers differ by a factor of four in speed.
func heterogeneous() scenario {
	s := steady("heterogeneous", 20)
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		speeds := []float64{0.5, 0.5, 0.75, 0.75, 0.75, 1, 1, 1.25, 1.5, 2}
		for i, v := range fleet {
			v.slower = constant(1 / speeds[i])
		}
	}
	return s
}

// slow: one of ten becomes ten times slower, for good.
func slow() scenario {
	s := faulty("one of 10 is 10x slow", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		fleet[0].slower = func(at time.Duration) float64 {
			if s.fault.has(at) {
				return 10
			}
			return 1
		}
	}
	return s
}

// pauses: each server stops for 100 ms every five seconds or so.
func pauses() scenario {
	s := steady("GC pauses", 20)
	s.prepare = func(fleet []*server, r *rand.Rand) {
		for _, v := range fleet {
			for at := time.Duration(0); at < s.ends; {
				at += time.Duration(r.ExpFloat64() * float64(5*time.Second))
				v.stopped = append(v.stopped, span{at, at + 100*time.Millisecond})
				at += 100 * time.Millisecond
			}
		}
	}
	return s
}

// coldJoin: a server joins that is five times slower than the others, and as fast after ten seconds.
func coldJoin() scenario {
	const warm = 10 * time.Second
	s := steady("cold join", 20)
	s.joins = begins
	s.measured = span{begins, begins + warm}
	s.ends = begins + warm + 2*deadline
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		fleet[servers-1].slower = func(at time.Duration) float64 {
			return max(1, 5-4*float64(at-begins)/float64(warm))
		}
	}
	return s
}

// flashCrowd: the load more than doubles for ten seconds.
func flashCrowd() scenario {
	s := steady("flash crowd, load of 40 to 88 %", 20)
	s.load, s.surgeBy = 0.4, 2.2
	s.surge = span{begins, begins + surging}
	s.measured = s.surge
	s.ends = s.surge.to + 2*deadline
	return s
}

// faulty servers have their fault until the given time.
func faulty(name string, until time.Duration) scenario {
	s := steady(name, 20)
	s.fault, s.victims = span{begins, until}, 1
	return s
}

// blackHole: one of ten fails at once.
func blackHole() scenario {
	s := faulty("black hole", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) { fleet[0].broken = s.fault }
	return s
}

// grey: one of ten fails three calls of ten.
func grey() scenario {
	s := faulty("grey 30 %", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) { fleet[0].flaky, fleet[0].rate = s.fault, 0.3 }
	return s
}

// hang: one of ten takes calls and answers none.
func hang() scenario {
	s := faulty("hang", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) { fleet[0].stopped = []span{s.fault} }
	return s
}

// halfDead: five of ten fail at once.
func halfDead() scenario {
	s := faulty("half the fleet dead, load of 40 %", closes)
	s.load, s.victims = 0.4, servers/2
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		for _, v := range fleet[:s.victims] {
			v.broken = s.fault
		}
	}
	return s
}

// allFail: all of them, for twelve seconds, at once.
func allFail() scenario {
	s := faulty("everything fails", begins+outage)
	s.victims = servers
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		for _, v := range fleet {
			v.broken = s.fault
		}
	}
	return s
}

// unlucky: every hundredth call to any server fails, for n calls or so.
func unlucky(n float64) scenario {
	s := steady("every hundredth call fails", 20)
	s.ends = time.Duration(n / (s.load * servers * workers) * float64(service))
	s.measured, s.long = span{}, true
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		for _, v := range fleet {
			v.flaky, v.rate = span{0, s.ends}, 0.01
		}
	}
	return s
}
