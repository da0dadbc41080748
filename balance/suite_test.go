package balance_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestBalancersPassTheSuite(t *testing.T) {
	even, weighted, learns, keys := balancetest.Even(), balancetest.Weighted(), balancetest.Learns(), balancetest.Keys(1)
	weightedKeys := balancetest.WeightedKeys()
	sampled := balancetest.Except("AvoidsOut", "it looks at four random endpoints, which may all be out")
	bounded := balancetest.Bounded(0.25, 4)
	for _, c := range []struct {
		name      string
		construct func() core.Balancer
		promised  []balancetest.Promise
	}{
		{"RoundRobin", balance.RoundRobin, []balancetest.Promise{even, keys, weightedKeys}},
		{"WeightedRoundRobin", balance.WeightedRoundRobin, []balancetest.Promise{even, weighted, keys, weightedKeys}},
		{"Random", balance.Random, []balancetest.Promise{even, weighted, keys, weightedKeys}},
		{"LeastInFlight", func() core.Balancer { return balance.LeastInFlight() }, []balancetest.Promise{even, weighted, keys, weightedKeys}},
		{"PeakEWMA", func() core.Balancer { return balance.PeakEWMA() }, []balancetest.Promise{even, weighted, keys, weightedKeys, learns}},
		{"RingHash", func() core.Balancer { return balance.RingHash() }, []balancetest.Promise{even, weighted, keys, weightedKeys, bounded}},
		{"Maglev", func() core.Balancer { return balance.Maglev() }, []balancetest.Promise{even, weighted, balancetest.Keys(1.5), weightedKeys, bounded}},
		{"Rendezvous", func() core.Balancer { return balance.Rendezvous() }, []balancetest.Promise{even, weighted, keys, weightedKeys, bounded}},
		{
			"MaglevOfTighterBound", func() core.Balancer { return balance.Maglev(balance.LoadBound(0.1)) },
			[]balancetest.Promise{balancetest.Bounded(0.1, 4)},
		},
		{"ZoneAware", func() core.Balancer { return balance.ZoneAware("a", balance.PeakEWMA()) }, nil},
		{"ZoneAwareOfMaglev", func() core.Balancer { return balance.ZoneAware("a", balance.Maglev()) }, nil},
		{
			"ZoneAwareWithoutZone", func() core.Balancer { return balance.ZoneAware("", balance.PeakEWMA()) },
			[]balancetest.Promise{even, learns},
		},
		{
			"Subset", func() core.Balancer { return balance.Subset(3, 50, balance.PeakEWMA()) },
			[]balancetest.Promise{even, weighted, keys, weightedKeys, learns},
		},
		{"SubsetOfDefault", func() core.Balancer { return balance.Subset(3, 50, core.LeastLatency(core.Latency{})) }, []balancetest.Promise{even, learns}},
		{"LeastLatency", func() core.Balancer { return core.LeastLatency(core.Latency{}) }, []balancetest.Promise{even, weighted, keys, learns, sampled}},
		{
			"EjectingDefault", func() core.Balancer { return core.Ejecting(core.LeastLatency(core.Latency{}), core.Ejection{}) },
			[]balancetest.Promise{even, weighted, keys, learns, sampled},
		},
	} {
		t.Run(c.name, func(t *testing.T) { balancetest.Run(t, c.construct, c.promised...) })
	}
}
