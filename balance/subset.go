package balance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// minAperture is the least number of endpoints that a client uses: connections to
// fewer cost little.
const minAperture = 12

// Subset returns a balancer that uses a part of a large fleet, among which inner
// chooses, so that not every client is connected to every server. It is for many
// clients of many endpoints; of 12 endpoints or fewer it uses all.
//
// The client is number index, from 0, of so many clients. The clients must be
// numbered without gaps and agree on their number; then all endpoints have about
// the same load. The clients stand on a ring at equal distances, the endpoints own
// arcs of it in proportion to their weights, and each client uses the endpoints
// on an arc of the same length from where it stands. The arc holds at least 12
// endpoints (see [Aperture]), or one client's distance if that is more. Very
// different weights make it longer. This is the deterministic aperture of Finagle
// (Ruben Oanta et al., "Deterministic Aperture: A distributed, load balancing
// algorithm", 2019), with one difference: there the arc is a multiple of the
// distance, which makes clients connect to twice as many endpoints when one
// leaves at the wrong number; here it has any length, and the use of endpoints rises
// at its beginning and falls at its end, so that what the clients use adds up to the
// same everywhere. inner gets that use as a weight: with one that ignores weights,
// such as [RoundRobin], the load of endpoints differs by as much as one client's, of
// those that use each. An index out of range counts modulo clients; clients below
// 1, and a nil inner, are errors of core.New.
//
// When an endpoint comes or leaves, each client changes about one endpoint more at
// either end of its arc.
//
// If all endpoints of the part are unavailable, calls go to any other. Keyed calls
// ignore the part, since a key would belong to different endpoints in different
// clients: they go as with [Rendezvous], without its bound.
//
// With core.MinIdle above zero the pool keeps connections to all endpoints, also
// to those that the client does not use.
func Subset(index, clients int, inner Balancer, opts ...SubsetOption) Balancer {
	c := subsetConfig{err: validateInner("Subset", inner), least: minAperture}
	if clients < 1 {
		c.err = errors.Join(c.err, fmt.Errorf("balance: Subset: %d clients: must be at least 1", clients))
		clients = 1
	}
	c.index, c.clients = (index%clients+clients)%clients, clients
	c.err = errors.Join(configure(&c, opts), c.err)
	return builder{err: c.err, build: func(previous Picker, members []Member) Picker {
		p := &subset{fleet: newFleet(members), where: make([]int32, len(members))}
		var part []Member
		for i, share := range c.choose(&p.fleet) {
			p.where[i] = -1
			if share == 0 {
				continue
			}
			m := members[i]
			m.Endpoint.Weight = max(m.Weight()*share, math.SmallestNonzeroFloat64) // zero would mean 1
			p.where[i] = int32(len(p.at))
			p.at = append(p.at, int32(i))
			part = append(part, m)
		}
		var before Picker
		if b, ok := previous.(*subset); ok {
			before = b.picker
		}
		if p.picker = inner.Build(before, part); p.picker == nil {
			return nil
		}
		return p
	}}
}

// SubsetOption is a parameter of [Subset].
type SubsetOption func(*subsetConfig)

type subsetConfig struct {
	index, clients, least int
	err                   error
}

// Aperture sets the least number of endpoints that a client uses. The default,
// which 0 means too, is 12. It is at least 12: with fewer, two that fail are a
// large part of a client's endpoints. Any other n is an error of core.New.
func Aperture(n int) SubsetOption {
	return func(c *subsetConfig) {
		switch {
		case n >= minAperture:
			c.least = n
		case n != 0:
			c.err = errors.Join(c.err, fmt.Errorf("balance: Aperture(%d): must be at least %d, or 0 for the default", n, minAperture))
		}
	}
}

// choose returns the part of each endpoint that the client uses, from 0 to 1.
func (c subsetConfig) choose(f *fleet) []float64 {
	n := len(f.members)
	part := make([]float64, n)
	order := make([]int, n) // by hash, the same in all clients
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.hash[a], f.hash[b]) })
	distance := 1 / float64(c.clients)
	width := max(c.width(f, order), distance)
	if width >= 1 {
		for i := range part {
			part[i] = 1
		}
		return part
	}
	use := trapezoid{ramp: min(distance, width-distance), width: width}
	from := float64(c.index) * distance
	at := -from // the ring begins where the client stands, and its arc may cross the end
	for _, i := range order {
		end := at + f.share[i]
		on := use.area(at, end) + use.area(at+1, end+1)
		if on > 1e-6*f.share[i] { // less is rounding
			part[i] = min(on/f.share[i], 1)
		}
		at = end
	}
	return part
}

// width returns the length of an arc that holds the least number of endpoints
// wherever it is, as a part of the ring.
func (c subsetConfig) width(f *fleet, order []int) float64 {
	n := len(order)
	if c.least >= n {
		return 1
	}
	sum, longest := 0.0, 0.0
	for k := range n + c.least { // of so many neighbors
		sum += f.share[order[k%n]]
		if k >= c.least {
			sum -= f.share[order[(k-c.least)%n]]
		}
		longest = max(longest, sum)
	}
	return longest
}

// trapezoid is how much a client uses the points of its arc: the part of a box as long
// as the distance of two clients that lies in another box, as one slides over the
// other. Whatever the second is, those of all clients add up to the same everywhere.
type trapezoid struct{ ramp, width float64 }

// area returns the integral from a to b.
func (t trapezoid) area(a, b float64) float64 { return t.until(b) - t.until(a) }

func (t trapezoid) until(x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x < t.ramp:
		return x * x / (2 * t.ramp)
	case x <= t.width-t.ramp:
		return x - t.ramp/2
	case x < t.width:
		return t.width - t.ramp - (t.width-x)*(t.width-x)/(2*t.ramp)
	default:
		return t.width - t.ramp
	}
}

type subset struct {
	fleet
	picker Picker
	// at has the indices of the members that inner knows, where for each member
	// its index there, or -1.
	at    []int32
	where []int32
}

// Pick implements [Picker].
func (p *subset) Pick(info PickInfo) int {
	if info.Keyed {
		return p.keyed(info.Hash, nil)
	}
	if len(p.at) == 0 {
		return -1
	}
	i := p.picker.Pick(info)
	if i < 0 || i >= len(p.at) {
		i = rand.IntN(len(p.at)) // inner returned "any"
	}
	return p.orAvailable(int(p.at[i]))
}

// Report implements [Picker]. inner gets the reports of the endpoints that it knows.
func (p *subset) Report(i int, r Report) {
	if i >= 0 && i < len(p.where) && p.where[i] >= 0 {
		p.picker.Report(int(p.where[i]), r)
	}
}

// Tick implements [Ticker].
func (p *subset) Tick(now time.Duration) { tick(p.picker, now) }
