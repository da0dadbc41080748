package core

import (
	"maps"
	"math/rand/v2"

	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
	"github.com/minicaptain/multi_connection_pool/core/internal/watch"
)

// A registry of thousands of servers changes by one or two at a time, over and
// over. What follows makes such a change cost little more than reading the set:
// what two reports begin and end with is skipped, and the rest is edited in
// copies of what there is.

// change is what a report changes: endpoints that came, and sub-pools of those
// that left or have other attributes.
type change struct {
	came          []Endpoint
	left, altered []*subpool.Sub
}

func (c *change) none() bool { return len(c.came)+len(c.left)+len(c.altered) == 0 }

func same(a, b *Endpoint) bool { return a.Equal(*b) }

// difference compares a report with the one that v was made of. Those that have
// other attributes have them from then on.
func (v *view) difference(set []Endpoint) (c change) {
	from, oldEnd, newEnd := watch.Middle(v.set, set, same)
	stays := make(map[string]bool, newEnd-from)
	for _, e := range set[from:newEnd] {
		stays[e.Addr] = true
		if s := v.byAddr.get(e.Addr); s == nil {
			c.came = append(c.came, e)
		} else if srv := recordOf(s); !srv.endpoint.Load().Equal(e) {
			srv.endpoint.Store(&e)
			c.altered = append(c.altered, s)
		}
	}
	for _, e := range v.set[from:oldEnd] {
		if !stays[e.Addr] {
			c.left = append(c.left, v.byAddr.get(e.Addr))
		}
	}
	return c
}

// edit makes the lists of v those of a set that differs from it by c and by the
// sub-pools of those that came.
//
// The order is random, and another in each process, so that pickers which go by
// index do not make a fleet of clients march in step. The first set is shuffled
// before its sub-pools are made, which leaves neighbours in the index neighbours
// in memory; later the last one fills the gap of one that left, and one that came
// changes places with any.
func (v *view) edit(c *change, came []*subpool.Sub) {
	first := len(v.subs) == 0
	subs := append(make([]*subpool.Sub, 0, len(v.subs)+len(came)), v.subs...)
	members := append(make([]Member, 0, cap(subs)), v.members...)
	var moved []int
	set := func(i int, s *subpool.Sub) {
		srv := recordOf(s)
		subs[i], members[i] = s, Member{Endpoint: *srv.endpoint.Load(), load: &s.Load}
		srv.at = i
		moved = append(moved, i)
	}
	for _, s := range c.altered {
		set(recordOf(s).at, s)
	}
	for _, s := range c.left {
		last := len(subs) - 1
		set(recordOf(s).at, subs[last])
		subs, members = subs[:last], members[:last]
	}
	for _, s := range came {
		last := len(subs)
		subs, members = append(subs, s), append(members, Member{})
		if i := last; !first {
			i = rand.IntN(last + 1)
			set(last, subs[i])
			set(i, s)
		} else {
			set(i, s)
		}
	}
	for _, i := range moved {
		if i < len(subs) {
			recordOf(subs[i]).index.Store(int32(i))
		}
	}
	v.subs, v.members = subs, members
	v.byAddr = v.byAddr.with(came, c.left, subs)
}

// index finds sub-pools by address. It is immutable.
type index struct {
	all map[string]*subpool.Sub
	// diff is what came since all was made, and nil for what left.
	diff map[string]*subpool.Sub
}

// rebuilt is the part of all that diff may be.
const rebuilt = 1. / 16

func (x index) get(addr string) *subpool.Sub {
	if s, ok := x.diff[addr]; ok {
		return s
	}
	return x.all[addr]
}

// with returns the index of subs, which is that of x but for what came and left.
func (x index) with(came, left, subs []*subpool.Sub) index {
	if float64(len(x.diff)+len(came)+len(left)) > rebuilt*float64(len(x.all)) {
		x = index{all: make(map[string]*subpool.Sub, len(subs))}
		for _, s := range subs {
			x.all[addr(s)] = s
		}
		return x
	}
	diff := make(map[string]*subpool.Sub, len(x.diff)+len(came)+len(left))
	maps.Copy(diff, x.diff)
	for _, s := range left {
		diff[addr(s)] = nil
	}
	for _, s := range came {
		diff[addr(s)] = s
	}
	return index{x.all, diff}
}
