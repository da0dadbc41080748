package main

import (
	"fmt"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/bench/internal/choice"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// batch is how many picks are made between two checks of whether to stop.
const batch = 256

const (
	// inFlight is how many calls a busy endpoint has in flight.
	inFlight = 4
	// keyed is the number of endpoints for the look-up of keys.
	keyed = 1000
	// golden is 2^64 over the golden ratio. Its multiples are as good as random keys.
	golden = 0x9e3779b97f4a7c15
)

func sizes() []int { return []int{10, 100, 1000, 10_000} }

// The operations.
const (
	pick    = "pick alone"
	count   = "pick, count"
	call    = "whole call"
	lookUp  = "look-up"
	rebuild = "rebuild"
)

// turn is an operation of an arm or a balancer on n endpoints.
type turn struct {
	name, op string
	n, busy  int
}

type results map[turn]*measure.Costs

// plan has the operations that take turns, in this order.
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

// picks adds all arms. Arms with the same endpoints run one after the other.
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
	balance.Balancer
}

const best = "balance.Maglev"

func hashing() []hasher {
	return []hasher{
		{best, balance.Maglev()},
		{"balance.RingHash", balance.RingHash()},
		{"balance.Rendezvous", balance.Rendezvous()},
		{"the default", choice.Default()},
	}
}

// keys adds the hashers: the look-up, which is on the call path, and the rebuild when an endpoint comes, which is not.
func (p *plan) keys() {
	more, _ := members(keyed + 1)
	for _, h := range hashing() {
		picker, key := h.Build(nil, more[:keyed]), uint64(0)
		p.add(turn{h.name, lookUp, keyed, 0}, batch, func(times int) error {
			for range times {
				if key += golden; picker.Pick(balance.PickInfo{Hash: key, Keyed: true}) < 0 {
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

// run lets all take turns.
func run(set measure.Settings) (results, error) {
	var p plan
	if err := p.picks(); err != nil {
		return nil, err
	}
	p.keys()
	r := make(results, len(p.turns))
	for _, t := range p.turns {
		r[t] = new(measure.Costs)
	}
	err := set.Interleave(len(p.turns), func(i int, counts bool) error {
		cost, err := measure.Slice(set.Slice, 1, p.works[i])
		if err != nil {
			return fmt.Errorf("%s: %w", p.turns[i].name, err)
		}
		if counts {
			r[p.turns[i]].Add(cost)
		}
		return nil
	})
	return r, err
}
