package balance_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// fleetOf returns n endpoints with some calls in flight.
func fleetOf(n int) []balance.Member {
	var members []balance.Member
	for i := range n {
		m, load := balancetest.NewMember(discovery.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)})
		for range i % 3 {
			load.Begin()
		}
		members = append(members, m)
	}
	return members
}

// BenchmarkPick is the choice for a call without a key, in a fleet that was never measured.
func BenchmarkPick(b *testing.B) {
	for _, c := range []struct {
		name     string
		balancer balance.Balancer
	}{
		{"Default", balance.LeastLatency(balance.LeastLatencyConfig{})},
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
					p.Pick(balance.PickInfo{})
				}
			})
		}
	}
}

// hashing are the balancers that answer keyed calls each in its own way.
func hashing() map[string]balance.Balancer {
	return map[string]balance.Balancer{
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
				p.Pick(balance.PickInfo{Hash: key, Keyed: true})
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

// BenchmarkTick is what ten times a second costs a pool of ten thousand endpoints, of
// which 64 were called since the last time.
func BenchmarkTick(b *testing.B) {
	p := balance.LeastLatency(balance.LeastLatencyConfig{}).Build(nil, fleetOf(10_000))
	now := time.Duration(0)
	for b.Loop() {
		now += 100 * time.Millisecond
		for i := range 64 {
			p.Report(i, balance.Report{Outcome: balance.OutcomeOK, Latency: time.Millisecond, At: now})
		}
		p.(balance.Ticker).Tick(now)
	}
}
