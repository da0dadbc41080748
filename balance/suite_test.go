package balance_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
)

func TestBalancersPassTheSuite(t *testing.T) {
	type properties = balancetest.Properties
	for _, c := range []struct {
		name        string
		newBalancer func() balance.Balancer
		properties
	}{
		{
			"RoundRobin", balance.RoundRobin,
			properties{Even: true, MaxKeyMoves: 1, WeightedKeys: true},
		},
		{
			"WeightedRoundRobin", balance.WeightedRoundRobin,
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true},
		},
		{
			"Random", balance.Random,
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true},
		},
		{
			"LeastInFlight", func() balance.Balancer { return balance.LeastInFlight() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true},
		},
		{
			"PeakEWMA", func() balance.Balancer { return balance.PeakEWMA() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true, AvoidsSlow: true},
		},
		{
			"RingHash", func() balance.Balancer { return balance.RingHash() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true, LoadBound: 0.25},
		},
		{
			"Maglev", func() balance.Balancer { return balance.Maglev() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1.5, WeightedKeys: true, LoadBound: 0.25},
		},
		{
			"Rendezvous", func() balance.Balancer { return balance.Rendezvous() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true, LoadBound: 0.25},
		},
		{
			"MaglevWithTighterBound", func() balance.Balancer { return balance.Maglev(balance.LoadBound(0.1)) },
			properties{LoadBound: 0.1},
		},
		{
			"Ketama", func() balance.Balancer { return balance.Ketama() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 10, WeightedKeys: true}, // numbers of points change with the fleet
		},
		{
			"Twemproxy", func() balance.Balancer { return balance.Twemproxy() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 10, WeightedKeys: true}, // numbers of points change with the fleet
		},
		{
			"LibmemcachedKetama", func() balance.Balancer { return balance.LibmemcachedKetama() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 10, WeightedKeys: true}, // numbers of points change with the fleet
		},
		{
			"Nginx", func() balance.Balancer { return balance.Nginx() },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true},
		},
		{
			"HAProxy", func() balance.Balancer { return balance.HAProxy(idOfIP) },
			properties{Even: true, Weighted: true}, // 16 points are too few for even shares
		},
		{
			"GRPCRing", func() balance.Balancer { return balance.GRPCRing() },
			properties{Even: true, Weighted: true, WeightedKeys: true}, // all servers share 1024 points
		},
		{
			"ZoneAware", func() balance.Balancer { return balance.ZoneAware("a", balance.PeakEWMA()) },
			properties{},
		},
		{
			"ZoneAwareOfMaglev", func() balance.Balancer { return balance.ZoneAware("a", balance.Maglev()) },
			properties{},
		},
		{
			"ZoneAwareWithoutZone", func() balance.Balancer { return balance.ZoneAware("", balance.PeakEWMA()) },
			properties{Even: true, AvoidsSlow: true},
		},
		{
			"Subset", func() balance.Balancer { return balance.Subset(3, 50, leastLatency()) },
			properties{MaxKeyMoves: 1, WeightedKeys: true},
		},
		{
			"SubsetOfOneClient", func() balance.Balancer { return balance.Subset(0, 1, balance.PeakEWMA()) },
			properties{Even: true, AvoidsSlow: true},
		},
		{
			"Priority", func() balance.Balancer { return balance.Priority(balance.PeakEWMA()) },
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true, AvoidsSlow: true},
		},
		{
			"LeastLatency", leastLatency,
			properties{Even: true, Weighted: true, MaxKeyMoves: 1, WeightedKeys: true, AvoidsSlow: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) { balancetest.Run(t, c.newBalancer, c.properties) })
	}
}

func leastLatency() balance.Balancer { return balance.LeastLatency(balance.LeastLatencyConfig{}) }
