package main

import (
	"math"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/bench/internal/choice"
)

// arm is a way to choose servers.
type arm struct {
	name  string
	build func(w *sim, c *client) balance.Picker
}

func using(name string, b balance.Balancer) arm {
	return arm{name, func(_ *sim, c *client) balance.Picker {
		return b.Build(c.picker, c.members)
	}}
}

// ideal knows every queue, the work of every call, and the future of every server.
func ideal() arm {
	return arm{"omniscient", func(w *sim, c *client) balance.Picker { return &omniscient{w, c} }}
}

// ours is what a pool with default options does.
func ours() arm { return using("multipool", choice.Default()) }

func peers() []arm {
	return []arm{
		using("random", balance.Random()),
		using("round robin", balance.RoundRobin()),
		using("least in-flight of 2", balance.LeastInFlight(balance.Choices(2))),
		using("peak EWMA of 2", balance.PeakEWMA()),
	}
}

// omniscient chooses the server that will answer first.
type omniscient struct {
	w *sim
	c *client
}

func (o *omniscient) best(work time.Duration) int {
	best, first := 0, time.Duration(math.MaxInt64)
	for i, s := range o.c.server {
		v := o.w.fleet[s]
		end, _ := v.done(o.w.now, work)
		if v.failing.has(o.w.now) || v.flaky.has(o.w.now) {
			end += time.Hour // only if all do
		}
		if end < first {
			best, first = i, end
		}
	}
	return best
}

func (o *omniscient) Pick(balance.PickInfo) int  { return o.best(service) }
func (o *omniscient) Report(int, balance.Report) {}
