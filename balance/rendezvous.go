package balance

// Rendezvous returns a balancer that sends a keyed call to the endpoint with the
// highest random number, as computed from the key and the address (Thaler and
// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM ToN
// 6(1), 1998; with weights as in Schindelhauer and Schomaker, SPAA 2005). Calls
// without a key go as with [LeastInFlight].
//
// Rendezvous keeps no table, and keys move only when they must: an endpoint that
// leaves, is unavailable, or is full (see [LoadBound]) passes its keys to all
// others, and one that comes takes its share from all. A keyed pick looks at all
// endpoints, which takes nanoseconds for up to about 20 of them; above 100, prefer
// [Maglev].
func Rendezvous(opts ...HashOption) Balancer {
	c := newHashConfig(opts)
	return builder{err: c.err, build: func(_ Picker, members []Member) Picker {
		return &rendezvous{newHashed(members, c)}
	}}
}

type rendezvous struct{ *hashed }

// Pick implements [Picker].
func (p *rendezvous) Pick(info PickInfo) int {
	if !info.Keyed {
		return p.pick()
	}
	i := p.keyed(info.Hash, nil)
	if i < 0 || p.members[i].Unavailable() || !p.bound.full(&p.fleet, i) {
		return i
	}
	p.bound.count(&p.fleet)
	return p.keyed(info.Hash, &p.bound)
}
