package balance

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// aperture is the least number of endpoints of a client, and wholeBelow
	// the number up to which it uses all: so few connections cost little.
	aperture   = 12
	wholeBelow = 100
)

// Subset returns a balancer that uses a part of a large fleet, among which
// inner chooses, so that not every client is connected to every server. It is
// for many clients of at least 100 endpoints; of fewer it uses all.
//
// The client is number index, from 0, of so many clients; they are to be
// numbered without gaps and to agree on their number, and then all endpoints
// have about the same load: the clients stand on a ring at equal distances, the
// endpoints have arcs of it as long as their weights, and each client uses
// those on the same length from where it stands on, the first and the last to
// the part that lies on it. The length holds at least 12 endpoints (see
// [Aperture]), or one client's distance if that is more, and is a multiple of
// the distance, so that every place of the ring has equally many clients. This
// is the deterministic aperture of Finagle (Ruben Oanta et al., "Deterministic
// Aperture: A distributed, load balancing algorithm", 2019). Very different
// weights make long parts. An index out of range is taken modulo clients;
// clients below 1 mean 1, which uses all.
//
// Should all endpoints of the part be out, calls go to any other. Calls with a
// key do not heed the part at all, since a key would belong to different
// endpoints in different clients: they go as with [Rendezvous], without its
// bound.
//
// The pool still has a place for every endpoint; with [core.MinIdle] it keeps
// connections to all of them, so leave that at zero.
func Subset(index, clients int, inner core.Balancer, opts ...SubsetOption) core.Balancer {
	clients = max(clients, 1)
	s := subsetting{index: (index%clients + clients) % clients, clients: clients, least: aperture}
	for _, o := range opts {
		o(&s)
	}
	return build(func(previous core.Picker, set core.Snapshot) core.Picker {
		p := &subset{fleet: newFleet(set), where: make([]int32, len(set.Members))}
		var part core.Snapshot
		for i, share := range s.choose(&p.fleet) {
			p.where[i] = -1
			if share == 0 {
				continue
			}
			m := set.Members[i]
			m.Endpoint.Weight = max(m.Weight()*share, math.SmallestNonzeroFloat64) // zero would mean 1
			p.where[i] = int32(len(p.at))
			p.at = append(p.at, int32(i))
			part.Members = append(part.Members, m)
		}
		var before core.Picker
		if b, ok := previous.(*subset); ok {
			before = b.picker
		}
		if p.picker = inner.Build(before, part); p.picker == nil {
			return nil
		}
		return p
	})
}

// SubsetOption is a parameter of [Subset].
type SubsetOption func(*subsetting)

type subsetting struct{ index, clients, least int }

// Aperture sets the least number of endpoints that a client uses. The default,
// which less means too, is 12: with fewer, two that fail are felt.
func Aperture(n int) SubsetOption { return func(s *subsetting) { s.least = max(n, aperture) } }

// choose returns which part of each endpoint the client uses, from 0 to 1.
func (s subsetting) choose(f *fleet) []float64 {
	n := len(f.members)
	part := make([]float64, n)
	width := 1.0
	order := make([]int, n) // by hash, the same in all clients
	if n >= wholeBelow {
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.hash[a], f.hash[b]) })
		width = s.width(f, order)
	}
	if width >= 1 {
		for i := range part {
			part[i] = 1
		}
		return part
	}
	from := float64(s.index) / float64(s.clients)
	at := 0.0
	for _, i := range order {
		end := at + f.share[i]
		// The client's stretch may go round the end of the ring.
		on := overlap(at, end, from, from+width) + overlap(at, end, from-1, from-1+width)
		if on > 1e-6*f.share[i] { // less is rounding
			part[i] = min(on/f.share[i], 1)
		}
		at = end
	}
	return part
}

// width is the length of ring that a client uses.
func (s subsetting) width(f *fleet, order []int) float64 {
	n := len(order)
	if s.least >= n {
		return 1
	}
	sum, longest := 0.0, 0.0
	for k := range n + s.least { // of so many neighbours
		sum += f.share[order[k%n]]
		if k >= s.least {
			sum -= f.share[order[(k-s.least)%n]]
		}
		longest = max(longest, sum)
	}
	return math.Ceil(max(longest*float64(s.clients)-1e-6, 1)) / float64(s.clients)
}

func overlap(a, b, c, d float64) float64 { return max(0, min(b, d)-max(a, c)) }

type subset struct {
	fleet
	picker core.Picker
	// at has the members that inner knows, where for each member its index
	// there, or -1.
	at    []int32
	where []int32
}

// Pick implements core.Picker.
func (p *subset) Pick(h core.Hint) int {
	if h.Keyed {
		return p.keyed(h.Key, nil)
	}
	if len(p.at) == 0 {
		return -1
	}
	i := p.picker.Pick(h)
	if i < 0 || i >= len(p.at) {
		i = rand.IntN(len(p.at)) // inner said "any"
	}
	i = int(p.at[i])
	if p.members[i].Out() {
		if l := p.live(); l >= 0 {
			return l
		}
	}
	return i
}

// Report implements core.Picker. Calls that went past inner tell it nothing.
func (p *subset) Report(i int, r core.Report) {
	if i >= 0 && i < len(p.where) && p.where[i] >= 0 {
		p.picker.Report(int(p.where[i]), r)
	}
}

// Tick implements core.Ticker.
func (p *subset) Tick(now time.Duration) { tick(p.picker, now) }
