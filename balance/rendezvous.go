package balance

import "github.com/minicaptain/multi_connection_pool/core"

// Rendezvous returns a balancer that sends the calls with a key to the
// endpoint that has the highest random number for it, as computed from the key
// and the address (Thaler and Ravishankar, "Using Name-Based Mappings to
// Increase Hit Rates", IEEE/ACM ToN 6(1), 1998; with weights as in Schindelhauer
// and Schomaker, SPAA 2005). Calls without a key go as with [LeastInFlight].
//
// Nothing is kept per key, and keys move only when they must: an endpoint that
// leaves, is out, or is full (see [LoadBound]) passes its keys to all others,
// and one that comes takes its share from all. A pick with a key looks at all
// endpoints, which is a matter of nanoseconds up to about 20 of them; prefer
// [Maglev] above 100.
func Rendezvous(opts ...HashOption) core.Balancer {
	h := newHashing(opts)
	return build(func(_ core.Picker, set core.Snapshot) core.Picker {
		return &rendezvous{newHashed(set, h)}
	})
}

type rendezvous struct{ *hashed }

// Pick implements core.Picker.
func (p *rendezvous) Pick(h core.Hint) int {
	if !h.Keyed {
		return p.pick()
	}
	i := p.keyed(h.Key, nil)
	if i < 0 || p.members[i].Out() || !p.bound.full(&p.fleet, i) {
		return i
	}
	p.bound.count(&p.fleet)
	return p.keyed(h.Key, &p.bound)
}
