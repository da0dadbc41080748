package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// client is one process that calls.
type client struct {
	picker  balance.Picker
	members []balance.Member
	loads   []*balancetest.Load
	// server maps members to servers, and member servers to members.
	server []int
	member [servers]int
	// out is which members were unavailable at the last look.
	out     []bool
	retrier *retry.Retrier
}

// newClient returns a client whose retries have the budget of a pool.
func newClient(w *sim) *client { return &client{retrier: retry.New(clock{w})} }

// clock is what a retry.Retrier asks of a pool.
type clock struct{ *sim }

func (c clock) Now() time.Duration   { return c.now }
func (clock) Latency() time.Duration { return 0 }

// Available implements retry.Pool: no server of the simulation is alone.
func (clock) Available(n int, _ string, _ []string) bool { return n <= servers }

// Repeated and Hedged are what a pool counts.
func (clock) Repeated(string)               {}
func (clock) Hedged(string, retry.HedgeEnd) {}

// know gives the client the first n servers, in a random order.
func (c *client) know(w *sim, n int, order *rand.Rand) {
	before := *c
	c.server = order.Perm(n)
	c.members, c.loads, c.out = make([]balance.Member, n), make([]*balancetest.Load, n), make([]bool, n)
	for i, s := range c.server {
		c.member[s] = i
		if s < len(before.server) {
			old := before.member[s]
			c.members[i], c.loads[i], c.out[i] = before.members[old], before.loads[old], before.out[old]
		} else {
			c.members[i], c.loads[i] = balancetest.NewMember(discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", s+1)})
		}
	}
	c.picker = w.arm.build(w, c)
}

// pick chooses a server for an attempt: another one than before, if the picker names one within 20 picks.
func (c *client) pick(a *attempt) int {
	if o, ok := c.picker.(*omniscient); ok {
		return c.server[o.best(a.work)]
	}
	s := c.server[c.picker.Pick(balance.PickInfo{Retry: a.asked != 0})]
	for range 20 {
		if a.asked&(1<<s) == 0 {
			break
		}
		s = c.server[c.picker.Pick(balance.PickInfo{Retry: true})]
	}
	return s
}

// ejections returns how many members have become unavailable since the last look.
func (c *client) ejections() int {
	n := 0
	for i, m := range c.members {
		if out := m.Unavailable(); out != c.out[i] {
			if c.out[i] = out; out {
				n++
			}
		}
	}
	return n
}
