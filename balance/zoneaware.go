package balance

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// ZoneAware returns a balancer that keeps calls in zone, the caller's own, as
// far as its endpoints can carry them, and has inner choose among them; the
// rest spills to the endpoints of all other zones, among which inner chooses
// too. Endpoints without a zone count as elsewhere. An empty zone is unknown:
// then inner chooses among all.
//
// All calls stay while the zone's part of the weight that is not out is at
// least the zone's part of the traffic (see [TrafficShare]), and else as many as
// the first is of the second: with a third of the traffic and a fourth of the
// weight in service, three of four. That is zone aware routing as in Envoy,
// without its second step: there what spills is divided among the other zones
// by what room they have, here inner divides it. The parts are computed for
// each set of endpoints and at every tick; that the last endpoint of a zone goes
// out is noticed at once.
//
// A key decides by itself whether it stays, so it keeps its endpoint, and only
// as many keys move as calls do. Callers in different zones have different
// endpoints for a key.
func ZoneAware(zone string, inner core.Balancer, opts ...ZoneOption) core.Balancer {
	z := zoning{}
	for _, o := range opts {
		o(&z)
	}
	return build(func(previous core.Picker, set core.Snapshot) core.Picker {
		p := &zoned{members: set.Members, traffic: z.traffic, where: make([]int32, len(set.Members))}
		zones := map[string]bool{zone: true}
		var local, other core.Snapshot
		for i, m := range set.Members {
			zones[m.Endpoint.Zone] = true
			if zone == "" || m.Endpoint.Zone == zone {
				p.where[i] = int32(len(local.Members))
				local.Members = append(local.Members, m)
				p.local.at = append(p.local.at, int32(i))
			} else {
				p.where[i] = ^int32(len(other.Members))
				other.Members = append(other.Members, m)
				p.other.at = append(p.other.at, int32(i))
			}
		}
		if p.traffic == 0 {
			p.traffic = 1 / float64(len(zones))
		}
		var localBefore, otherBefore core.Picker
		if before, ok := previous.(*zoned); ok {
			localBefore, otherBefore = before.local.picker, before.other.picker
		}
		p.local.picker = inner.Build(localBefore, local)
		p.other.picker = inner.Build(otherBefore, other)
		if p.local.picker == nil || p.other.picker == nil {
			return nil
		}
		p.divide()
		return p
	})
}

// ZoneOption is a parameter of [ZoneAware].
type ZoneOption func(*zoning)

type zoning struct{ traffic float64 }

// TrafficShare sets which part of all calls to the service comes from callers
// in the zone: above 0, at most 1. By default, and for anything else, all zones
// that have endpoints are taken to call as much.
func TrafficShare(part float64) ZoneOption {
	return func(z *zoning) {
		if part > 0 && part <= 1 {
			z.traffic = part
		}
	}
}

type zoned struct {
	members      []core.Member
	local, other side
	// where has for each member its index within its side, or the complement
	// of that when it is not local.
	where   []int32
	traffic float64
	// stay is how many of 2^64 calls stay.
	stay atomic.Uint64
}

// side is the endpoints of the zone, or all others.
type side struct {
	picker core.Picker
	at     []int32
}

// pick returns the member's index, or -1.
func (s *side) pick(h core.Hint) int {
	if len(s.at) == 0 {
		return -1
	}
	i := s.picker.Pick(h)
	if i < 0 || i >= len(s.at) {
		i = rand.IntN(len(s.at)) // it said "any"
	}
	return int(s.at[i])
}

// Pick implements core.Picker.
func (p *zoned) Pick(h core.Hint) int {
	first, second := &p.local, &p.other
	if stay := p.stay.Load(); stay != ^uint64(0) {
		x := mix(h.Key + golden) // not the hash by which inner may go
		if !h.Keyed {
			x = rand.Uint64()
		}
		if x >= stay {
			first, second = second, first
		}
	}
	i := first.pick(h)
	if i >= 0 && !p.members[i].Out() {
		return i
	}
	if j := second.pick(h); j >= 0 && (i < 0 || !p.members[j].Out()) {
		return j
	}
	return i
}

// divide computes how many calls stay.
func (p *zoned) divide() {
	heaviest := 0.0 // so that the sum is finite
	for i := range p.members {
		heaviest = max(heaviest, p.members[i].Weight())
	}
	local, all := 0.0, 0.0
	for i := range p.members {
		if m := &p.members[i]; !m.Out() {
			w := m.Weight() / heaviest
			all += w
			if p.where[i] >= 0 {
				local += w
			}
		}
	}
	switch {
	case local >= all*p.traffic*(1-1e-9): // rounding is no reason to leave
		p.stay.Store(^uint64(0))
	default:
		p.stay.Store(fraction(local / all / p.traffic))
	}
}

// Report implements core.Picker.
func (p *zoned) Report(i int, r core.Report) {
	switch {
	case i < 0 || i >= len(p.where):
	case p.where[i] >= 0:
		p.local.picker.Report(int(p.where[i]), r)
	default:
		p.other.picker.Report(int(^p.where[i]), r)
	}
}

// Tick implements core.Ticker.
func (p *zoned) Tick(now time.Duration) {
	p.divide()
	tick(p.local.picker, now)
	tick(p.other.picker, now)
}

func tick(p core.Picker, now time.Duration) {
	if t, ok := p.(core.Ticker); ok {
		t.Tick(now)
	}
}
