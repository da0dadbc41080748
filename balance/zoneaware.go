package balance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// ZoneAware returns a balancer that keeps calls in zone, the caller's own, as far
// as the endpoints there can carry them; the rest spills to the endpoints of all
// other zones. On either side inner chooses. Endpoints without a zone count as
// outside. With an empty zone, which means unknown, inner chooses among all. A nil
// inner is an error of core.New.
//
// All calls stay in the zone while its part of the available weight is at least
// its part of the traffic (see [TrafficShare]). Below that, the first part over the
// second stays: with a third of the traffic and a fourth of the available weight,
// three calls of four. This is zone-aware routing as in Envoy without its second
// step: Envoy divides what spills among the other zones by their room; here inner
// divides it. The parts are computed for each set of endpoints and at every tick. A
// zone whose last endpoint becomes unavailable loses its calls at once.
//
// The hash of a key decides whether the key stays, so that it keeps its endpoint
// and only as many keys move as calls do. Callers in different zones have
// different endpoints for a key.
func ZoneAware(zone string, inner Balancer, opts ...ZoneOption) Balancer {
	c := zoneConfig{err: validateInner("ZoneAware", inner)}
	c.err = errors.Join(configure(&c, opts), c.err)
	return builder{err: c.err, build: func(previous Picker, members []Member) Picker {
		p := &zoned{members: members, traffic: c.traffic, where: make([]int32, len(members))}
		zones := map[string]bool{zone: true}
		var local, other []Member
		for i, m := range members {
			zones[m.Endpoint.Zone] = true
			if zone == "" || m.Endpoint.Zone == zone {
				p.where[i] = int32(len(local))
				local = append(local, m)
				p.local.at = append(p.local.at, int32(i))
			} else {
				p.where[i] = ^int32(len(other))
				other = append(other, m)
				p.other.at = append(p.other.at, int32(i))
			}
		}
		if p.traffic == 0 {
			p.traffic = 1 / float64(len(zones))
		}
		var localBefore, otherBefore Picker
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
	}}
}

// ZoneOption is a parameter of [ZoneAware].
type ZoneOption func(*zoneConfig)

type zoneConfig struct {
	traffic float64
	err     error
}

// TrafficShare sets the part of all calls to the service that come from callers in
// the zone, above 0 and at most 1. The default, which 0 means too, is one over the
// number of zones that have endpoints, the caller's own included. Anything else is
// an error of core.New.
func TrafficShare(part float64) ZoneOption {
	return func(c *zoneConfig) {
		switch {
		case part > 0 && part <= 1:
			c.traffic = part
		case part != 0:
			c.err = errors.Join(c.err, fmt.Errorf("balance: TrafficShare(%v): must be above 0 and at most 1, or 0 for the default", part))
		}
	}
}

type zoned struct {
	members      []Member
	local, other side
	// where has for each member its index within its side, or the complement of
	// that if the member is outside.
	where   []int32
	traffic float64
	// stay is how many of 2^64 calls stay in the zone.
	stay atomic.Uint64
}

// side is the endpoints of the zone, or those outside.
type side struct {
	picker Picker
	at     []int32
}

// pick returns the member's index, or -1.
func (s *side) pick(info PickInfo) int {
	if len(s.at) == 0 {
		return -1
	}
	i := s.picker.Pick(info)
	if i < 0 || i >= len(s.at) {
		i = rand.IntN(len(s.at)) // it returned "any"
	}
	return int(s.at[i])
}

// Pick implements [Picker].
func (p *zoned) Pick(info PickInfo) int {
	first, second := &p.local, &p.other
	if stay := p.stay.Load(); stay != ^uint64(0) {
		x := mix(info.Hash + golden) // another hash than that by which inner may choose
		if !info.Keyed {
			x = rand.Uint64()
		}
		if x >= stay {
			first, second = second, first
		}
	}
	i := first.pick(info)
	if i >= 0 && !p.members[i].Unavailable() {
		return i
	}
	if j := second.pick(info); j >= 0 && (i < 0 || !p.members[j].Unavailable()) {
		return j
	}
	return i
}

// divide computes how many calls stay in the zone.
func (p *zoned) divide() {
	heaviest := 0.0 // so that the sum is finite
	for i := range p.members {
		heaviest = max(heaviest, p.members[i].Weight())
	}
	local, all := 0.0, 0.0
	for i := range p.members {
		if m := &p.members[i]; !m.Unavailable() {
			w := m.Weight() / heaviest
			all += w
			if p.where[i] >= 0 {
				local += w
			}
		}
	}
	switch {
	case local >= all*p.traffic*(1-1e-9): // but for rounding
		p.stay.Store(^uint64(0))
	default:
		p.stay.Store(fraction(local / all / p.traffic))
	}
}

// Report implements [Picker].
func (p *zoned) Report(i int, r Report) {
	switch {
	case i < 0 || i >= len(p.where):
	case p.where[i] >= 0:
		p.local.picker.Report(int(p.where[i]), r)
	default:
		p.other.picker.Report(int(^p.where[i]), r)
	}
}

// Tick implements [Ticker].
func (p *zoned) Tick(now time.Duration) {
	p.divide()
	tick(p.local.picker, now)
	tick(p.other.picker, now)
}

// tick ticks p, if p is a [Ticker].
func tick(p Picker, now time.Duration) {
	if t, ok := p.(Ticker); ok {
		t.Tick(now)
	}
}
