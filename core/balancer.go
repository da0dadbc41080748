package core

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Member is an endpoint as a picker sees it, with its live load.
type Member struct {
	Endpoint Endpoint
	load     *slots.Load
}

// InFlight returns the number of connections leased or being dialed now.
func (m Member) InFlight() int { return m.load.InFlight() }

// Down reports whether the endpoint has no connection and cannot be dialed.
func (m Member) Down() bool { return m.load.Down() }

// Weight is the endpoint's weight, with zero as 1.
func (m Member) Weight() float64 { return m.Endpoint.weight() }

// defaultBalancer is package policy behind the contract.
type defaultBalancer struct{}

func (defaultBalancer) Build(previous Picker, set Snapshot) Picker {
	members := make([]policy.Member, len(set.Members))
	for i, m := range set.Members {
		members[i] = policy.Member{Key: m.Endpoint.Addr, Weight: m.Weight(), Load: m.load}
	}
	before, _ := previous.(defaultPicker)
	return defaultPicker{policy.New(before.policy, members)}
}

type defaultPicker struct{ policy *policy.Picker }

func (p defaultPicker) Pick(h Hint) int {
	if h.Keyed {
		return p.policy.PickKey(h.Key)
	}
	return p.policy.Pick()
}

func (p defaultPicker) Report(i int, r Report) {
	switch r.Class {
	case OK:
		p.policy.Report(i, policy.Answered, r.Latency, r.At)
	case Failure, Overload:
		p.policy.Report(i, policy.Failed, r.Latency, r.At)
	case Cancelled:
		p.policy.Report(i, policy.AtLeast, r.Latency, r.At)
	case Ignored, DialFailure: // a server that cannot be dialed is marked down by its sub-pool
	}
}

func (p defaultPicker) Tick(now time.Duration) { p.policy.Tick(now) }
