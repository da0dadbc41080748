package main

import (
	"math/rand/v2"
	"time"
)

// scenario is what happens to a fleet of servers.
type scenario struct {
	name string
	// clients is how many processes call, each with its own balancer.
	clients int
	// load is the part of the fleet's capacity that calls ask for.
	load float64
	// prepare sets the speeds and faults of the servers.
	prepare func(fleet []*server, r *rand.Rand)
	// fault is when the first few servers, the victims, have a fault.
	fault   span
	victims int
	// joins is when the last server joins; zero means that it is there from the beginning.
	joins time.Duration
	// surge is when the load is surgeBy times higher.
	surge   span
	surgeBy float64
	// measured is the span in which the calls that count begin. The run ends at ends.
	measured span
	ends     time.Duration
	// long limits it to three runs.
	long bool
}

// The calls of 40 s count, from 5 s on. Faults begin at 10 s and last until the end, or for outage.
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

// busier is a homogeneous fleet with the load that remains on nine of ten servers.
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

// slow makes one of ten servers ten times slower.
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

// pauses stops each server for 100 ms, every five seconds on average.
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

// coldJoin adds a server that is five times slower than the others at first, and as fast after ten seconds.
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

// flashCrowd more than doubles the load for ten seconds.
func flashCrowd() scenario {
	s := steady("flash crowd, load of 40 to 88 %", 20)
	s.load, s.surgeBy = 0.4, 2.2
	s.surge = span{begins, begins + surging}
	s.measured = s.surge
	s.ends = s.surge.to + 2*deadline
	return s
}

// faulty is a fleet whose first server has a fault until the given time.
func faulty(name string, until time.Duration) scenario {
	s := steady(name, 20)
	s.fault, s.victims = span{begins, until}, 1
	return s
}

// blackHole makes one of ten servers fail at once.
func blackHole() scenario {
	s := faulty("black hole", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) { fleet[0].failing = s.fault }
	return s
}

// grey makes one of ten servers fail three calls of ten.
func grey() scenario {
	s := faulty("grey 30 %", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) { fleet[0].flaky, fleet[0].rate = s.fault, 0.3 }
	return s
}

// hang makes one of ten servers take calls and answer none.
func hang() scenario {
	s := faulty("hang", closes)
	s.prepare = func(fleet []*server, _ *rand.Rand) { fleet[0].stopped = []span{s.fault} }
	return s
}

// halfDead makes five of ten servers fail at once.
func halfDead() scenario {
	s := faulty("half the fleet dead, load of 40 %", closes)
	s.load, s.victims = 0.4, servers/2
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		for _, v := range fleet[:s.victims] {
			v.failing = s.fault
		}
	}
	return s
}

// allFail makes all servers fail at once, for twelve seconds.
func allFail() scenario {
	s := faulty("everything fails", begins+outage)
	s.victims = servers
	s.prepare = func(fleet []*server, _ *rand.Rand) {
		for _, v := range fleet {
			v.failing = s.fault
		}
	}
	return s
}

// unlucky makes every hundredth call to any server fail, for about n calls.
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
