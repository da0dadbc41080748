package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/core"
)

// settings say how long to measure.
type settings struct {
	rounds int
	slice  time.Duration
}

// batch is how many picks are made between two looks at whether to stop.
const batch = 256

const (
	// inFlight is how many calls each endpoint has that is busy.
	inFlight = 4
	// keyed is how many endpoints keys are looked up among.
	keyed = 1000
	// golden is 2^64 over the golden ratio: its multiples are keys as good as random ones.
	golden = 0x9e3779b97f4a7c15
)

func sizes() []int { return []int{10, 100, 1000, 10_000} }

// What is done.
const (
	pick    = "pick alone"
	count   = "pick, count"
	call    = "whole call"
	lookUp  = "look-up"
	rebuild = "rebuild"
)

// turn is an operation of an arm or a balancer, on n endpoints.
type turn struct {
	name, op string
	n, busy  int
}

// costs are a figure per round.
type costs struct{ cpu, allocs []float64 }

type results map[turn]*costs

// plan is what takes turns, in this order.
type plan struct {
	turns []turn
	works []measure.Work
}

func (p *plan) add(t turn, times int, do func(times int) error) {
	p.turns = append(p.turns, t)
	p.works = append(p.works, func(_ int, stop *atomic.Bool) (ops int, err error) {
		for ; !stop.Load() && err == nil; ops += times {
			err = do(times)
		}
		return ops, err
	})
}

// picks adds all arms; those with the same endpoints are neighbours in time.
func (p *plan) picks() error {
	for _, busy := range []int{0, inFlight} {
		for _, n := range sizes() {
			for _, a := range arms() {
				w, err := a.open(n, busy)
				if err != nil {
					return fmt.Errorf("%s: %w", a.name, err)
				}
				p.add(turn{a.name, call, n, busy}, batch, w.call)
				if m, ok := w.(*multipool); ok {
					p.add(turn{a.name, count, n, busy}, batch, m.count)
					p.add(turn{a.name, pick, n, busy}, batch, m.pick)
				}
			}
		}
	}
	return nil
}

// hasher is a balancer that answers calls with a key.
type hasher struct {
	name string
	core.Balancer
}

const best = "balance.Maglev"

func hashing() []hasher {
	return []hasher{
		{best, balance.Maglev()},
		{"balance.RingHash", balance.RingHash()},
		{"balance.Rendezvous", balance.Rendezvous()},
		{"the default", standard()},
	}
}

// keys adds what the hashers cost on the path of calls, and off it when an endpoint comes.
func (p *plan) keys() {
	more, _ := members(keyed + 1)
	for _, h := range hashing() {
		picker, key := h.Build(nil, core.Snapshot{Members: more.Members[:keyed]}), uint64(0)
		p.add(turn{h.name, lookUp, keyed, 0}, batch, func(times int) error {
			for range times {
				if key += golden; picker.Pick(core.Hint{Key: key, Keyed: true}) < 0 {
					return errNone
				}
			}
			return nil
		})
		p.add(turn{h.name, rebuild, keyed, 0}, 1, func(int) error {
			h.Build(picker, more)
			return nil
		})
	}
}

// run lets all take turns. The first round is not counted.
func run(set settings) (results, error) {
	var p plan
	if err := p.picks(); err != nil {
		return nil, err
	}
	p.keys()
	r := make(results, len(p.turns))
	for round := range set.rounds + 1 {
		for i := range measure.Turns(len(p.turns), round) {
			t := p.turns[i]
			cost, err := measure.Slice(set.slice, 1, p.works[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			if round == 0 {
				r[t] = new(costs)
				continue
			}
			r[t].cpu = append(r[t].cpu, cost.CPUPerOp())
			r[t].allocs = append(r[t].allocs, cost.AllocsPerOp())
		}
	}
	return r, nil
}
