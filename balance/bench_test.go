package balance_test

import (
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// fleetOf returns n endpoints with some calls in flight.
func fleetOf(n int) core.Snapshot {
	var set core.Snapshot
	for i := range n {
		m, load := core.NewMember(core.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)})
		for range i % 3 {
			load.Begin()
		}
		set.Members = append(set.Members, m)
	}
	return set
}

// BenchmarkPick is the choice for a call without a key, in a fleet that was never measured.
func BenchmarkPick(b *testing.B) {
	for _, c := range []struct {
		name     string
		balancer core.Balancer
	}{
		{"Default", core.Ejecting(core.LeastLatency(core.Latency{}), core.Ejection{})},
		{"RoundRobin", balance.RoundRobin()},
		{"WeightedRoundRobin", balance.WeightedRoundRobin()},
		{"Random", balance.Random()},
		{"LeastInFlight", balance.LeastInFlight()},
		{"PeakEWMA", balance.PeakEWMA()},
	} {
		for _, n := range []int{10, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				p := c.balancer.Build(nil, fleetOf(n))
				b.ReportAllocs()
				for b.Loop() {
					p.Pick(core.Hint{})
				}
			})
		}
	}
}

// hashing are the balancers that answer keyed calls each in its own way.
func hashing() map[string]core.Balancer {
	return map[string]core.Balancer{
		"Maglev": balance.Maglev(), "RingHash": balance.RingHash(), "Rendezvous": balance.Rendezvous(),
	}
}

// BenchmarkKey is the look-up of a key among a thousand endpoints.
func BenchmarkKey(b *testing.B) {
	for name, h := range hashing() {
		b.Run(name, func(b *testing.B) {
			p := h.Build(nil, fleetOf(1000))
			key := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				key += 0x9e3779b97f4a7c15
				p.Pick(core.Hint{Key: key, Keyed: true})
			}
		})
	}
}

// BenchmarkBuild is a new picker for a thousand endpoints.
func BenchmarkBuild(b *testing.B) {
	for name, h := range hashing() {
		b.Run(name, func(b *testing.B) {
			set := fleetOf(1000)
			b.ReportAllocs()
			for b.Loop() {
				h.Build(nil, set)
			}
		})
	}
}
