package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// client is one process that calls.
type client struct {
	picker  core.Picker
	members []core.Member
	loads   []*core.MemberLoad
	// server maps members to servers, and member servers to members.
	server []int
	member [servers]int
	// out is which members were out of service at the last look.
	out []bool

	// What follows is the budget of retries, as package core has it.
	tokens float64
	calls  int // since the last retry
	filled time.Duration
}

// The budget of retries: a fifth of the calls and ten per second, of about ten seconds.
const (
	retryShare  = 0.2
	retryFloor  = 10
	retryWindow = 10
)

// allow takes the token for one retry, if there is one.
func (c *client) allow(now time.Duration) bool {
	if dt := (now - c.filled).Seconds(); dt > 0 {
		rate := retryFloor + retryShare*float64(c.calls)/dt
		rest := math.Exp(-dt / retryWindow)
		c.tokens = c.tokens*rest + rate*retryWindow*(1-rest)
		c.calls, c.filled = 0, now
	}
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	return true
}

// know tells the client of the first n servers, in an order of its own.
func (c *client) know(w *sim, n int, order *rand.Rand) {
	before := *c
	c.server = order.Perm(n)
	c.members, c.loads, c.out = make([]core.Member, n), make([]*core.MemberLoad, n), make([]bool, n)
	for i, s := range c.server {
		c.member[s] = i
		if s < len(before.server) {
			old := before.member[s]
			c.members[i], c.loads[i], c.out[i] = before.members[old], before.loads[old], before.out[old]
		} else {
			c.members[i], c.loads[i] = core.NewMember(core.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", s+1)})
		}
	}
	c.picker = w.arm.build(w, c)
}

// pick chooses a server for an attempt: none that was tried already, if the picker can be brought to name another.
func (c *client) pick(a *attempt) int {
	if o, ok := c.picker.(*omniscient); ok {
		return c.server[o.best(a.work)]
	}
	s := c.server[c.picker.Pick(core.Hint{Again: a.tried != 0})]
	for range 20 {
		if a.tried&(1<<s) == 0 {
			break
		}
		s = c.server[c.picker.Pick(core.Hint{Again: true})]
	}
	return s
}

// ejections returns how many members went out of service since the last look.
func (c *client) ejections() int {
	n := 0
	for i, m := range c.members {
		if out := m.Out(); out != c.out[i] {
			if c.out[i] = out; out {
				n++
			}
		}
	}
	return n
}
