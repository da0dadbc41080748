package balance

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Priority returns a balancer that sends calls to the endpoints of one priority only:
// the lowest that has an available endpoint. Among those, inner chooses. A nil inner is
// an error of core.New.
//
// The priority of an endpoint is its attribute "priority", a whole number from 0 to
// 2^32-1; any other text, and none, is 0. The watchers of discovery/dns and
// discovery/xds set it with their option AllPriorities; entries of other registries
// may have it as an attribute.
//
// The next priority gets calls only while no endpoint of the one before is available:
// all of them are ejected or cannot be dialed. The last one that is available gets all
// calls, as RFC 2782 has it, however many there are. Calls return as soon as an
// endpoint of a lower priority is available again. If no endpoint is available,
// inner chooses among those of the lowest priority.
func Priority(inner Balancer) Balancer {
	return builder{err: validateInner("Priority", inner), build: func(previous Picker, members []Member) Picker {
		levels := map[uint32][]int32{} // the members of each priority
		for i, m := range members {
			level, err := strconv.ParseUint(m.Endpoint.Attrs["priority"], 10, 32)
			if err != nil {
				level = 0
			}
			levels[uint32(level)] = append(levels[uint32(level)], int32(i))
		}
		before, _ := previous.(*prioritized)
		p := &prioritized{members: members, where: make([]place, len(members))}
		for _, level := range slices.Sorted(maps.Keys(levels)) {
			at := levels[level]
			part := make([]Member, len(at))
			for j, i := range at {
				part[j] = members[i]
				p.where[i] = place{int32(len(p.tiers)), int32(j)}
			}
			picker := inner.Build(before.at(level), part)
			if picker == nil {
				return nil
			}
			p.tiers = append(p.tiers, tier{level, side{picker, at}})
		}
		return p
	}}
}

type prioritized struct {
	members []Member
	tiers   []tier  // by priority, the lowest first
	where   []place // of each member
}

// tier is the endpoints of one priority.
type tier struct {
	level uint32
	side
}

// place is a tier, and an index within it.
type place struct{ tier, at int32 }

// at returns the picker of a priority, or nil.
func (p *prioritized) at(level uint32) Picker {
	if p == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(p.tiers, level, func(t tier, level uint32) int { return cmp.Compare(t.level, level) })
	if !ok {
		return nil
	}
	return p.tiers[i].picker
}

// Pick implements [Picker].
func (p *prioritized) Pick(info PickInfo) int {
	first := -1
	for i := range p.tiers {
		m := p.tiers[i].pick(info)
		if m >= 0 && !p.members[m].Unavailable() {
			return m
		}
		if i == 0 {
			first = m
		}
	}
	return first
}

// Report implements [Picker].
func (p *prioritized) Report(i int, r Report) {
	if i >= 0 && i < len(p.where) {
		at := p.where[i]
		p.tiers[at.tier].picker.Report(int(at.at), r)
	}
}

// Tick implements [Ticker].
func (p *prioritized) Tick(now time.Duration) {
	for i := range p.tiers {
		tick(p.tiers[i].picker, now)
	}
}
