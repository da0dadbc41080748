package balance_test

import (
	"net/netip"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// arm is a balancer.
type arm struct {
	name string
	new  func() balance.Balancer
	// unweighted balancers give all servers the same share.
	unweighted bool
	// exact balancers have figures that do not depend on chance.
	exact bool
}

// arms returns every balancer of package balance.
func arms() []arm {
	leastLatency := func() balance.Balancer { return balance.LeastLatency(balance.LeastLatencyConfig{}) }
	return []arm{
		{name: "LeastLatency, the default", new: leastLatency, exact: true},
		{name: "RoundRobin", new: balance.RoundRobin, unweighted: true, exact: true},
		{name: "WeightedRoundRobin", new: balance.WeightedRoundRobin, exact: true},
		{name: "Random", new: balance.Random},
		{name: "LeastInFlight", new: func() balance.Balancer { return balance.LeastInFlight() }, exact: true},
		{name: "PeakEWMA", new: func() balance.Balancer { return balance.PeakEWMA() }},
		{name: "RingHash", new: func() balance.Balancer { return balance.RingHash() }, exact: true},
		{name: "Maglev", new: func() balance.Balancer { return balance.Maglev() }},
		{name: "Rendezvous", new: func() balance.Balancer { return balance.Rendezvous() }, exact: true},
		{name: "Ketama", new: func() balance.Balancer { return balance.Ketama() }},
		{name: "Twemproxy", new: func() balance.Balancer { return balance.Twemproxy() }},
		{name: "LibmemcachedKetama", new: func() balance.Balancer { return balance.LibmemcachedKetama() }},
		{name: "Nginx", new: func() balance.Balancer { return balance.Nginx() }},
		{name: "HAProxy", new: func() balance.Balancer { return balance.HAProxy(number) }},
		{name: "GRPCRing", new: func() balance.Balancer { return balance.GRPCRing() }},
		{name: "ZoneAware of the default", new: func() balance.Balancer { return balance.ZoneAware("a", leastLatency()) }},
		{name: "Subset of the default", new: func() balance.Balancer { return balance.Subset(1, 3, leastLatency()) }},
		{name: "Priority of the default", new: func() balance.Balancer { return balance.Priority(leastLatency()) }},
	}
}

// number is that of a server of a fleet, from 1.
func number(e core.Endpoint) uint32 {
	host, _ := netip.ParseAddrPort(e.Addr) // the fleet made it
	ip := host.Addr().As4()
	return uint32(ip[2])<<8 + uint32(ip[3]) + 1
}
