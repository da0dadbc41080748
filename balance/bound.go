package balance

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

const (
	// minBound is how many calls in flight an endpoint may have in any case: a
	// pool with little to do must not move keys for evenness.
	minBound = 4
	// recount is after how many endpoints found full, as a part of the number of
	// endpoints, the calls in flight are counted again.
	recount = 1.0 / 8
)

// HashOption is a parameter of [RingHash], [Maglev] and [Rendezvous].
type HashOption func(*hashConfig)

type hashConfig struct {
	excess float64
	err    error
}

// LoadBound bounds the calls in flight of an endpoint to 1 + excess times its
// share of them, rounded up, or four if that is more: the keys that come next go
// to other endpoints until it is below. The default is 0.25; values from 0.1 to 1
// are useful. 0 allows no more than the share, and [math.Inf](1) is no bound. A
// negative excess or NaN is an error of core.New.
//
// The share is the endpoint's part of the calls that this pool has in flight to
// available endpoints, by weight. It is counted when it matters and at every tick,
// hence is up to 100 ms old; calls that choose at the same moment do not see each
// other.
func LoadBound(excess float64) HashOption {
	return func(c *hashConfig) {
		if !(excess >= 0) {
			c.err = errors.Join(c.err, fmt.Errorf("balance: LoadBound(%v): must be a number of at least 0", excess))
			return
		}
		c.excess = excess
	}
}

func newHashConfig(opts []HashOption) hashConfig {
	c := hashConfig{excess: 0.25}
	c.err = errors.Join(configure(&c, opts), c.err)
	return c
}

// bound knows which endpoints have more than their share of the calls (Mirrokni,
// Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018).
type bound struct {
	factor float64
	// limit is the bound of an endpoint that had the whole weight, float64 bits.
	limit atomic.Uint64
	// found counts how often an endpoint was found full; every period times the
	// calls in flight are counted again.
	found  atomic.Uint64
	period uint64
}

func (b *bound) init(f *fleet, c hashConfig) {
	b.factor = 1 + c.excess
	b.period = max(1, uint64(recount*float64(len(f.members))))
	b.count(f)
}

// count counts the calls in flight.
func (b *bound) count(f *fleet) {
	calls, share := 1, 0.0 // the call to come
	for i := range f.members {
		if m := &f.members[i]; !m.Unavailable() {
			calls += m.InFlight()
			share += f.share[i]
		}
	}
	if share > 0 {
		b.limit.Store(math.Float64bits(b.factor * float64(calls) / share))
	}
}

// full reports whether endpoint i has no room for a call.
func (b *bound) full(f *fleet, i int) bool {
	n := f.members[i].InFlight()
	return n >= minBound && float64(n) >= float(&b.limit)*f.share[i]
}

// fits reports whether endpoint i is available and not full.
func (b *bound) fits(f *fleet, i int) bool { return !f.members[i].Unavailable() && !b.full(f, i) }

// reconsider counts the calls in flight again if that is due, after endpoint i was
// found not to fit, and reports whether it fits then.
func (b *bound) reconsider(f *fleet, i int) bool {
	if f.members[i].Unavailable() || b.found.Add(1)%b.period != 0 {
		return false
	}
	b.count(f)
	return b.fits(f, i)
}

// hashed is what the pickers with hashing of their own have in common.
type hashed struct {
	*least
	bound bound
}

func newHashed(members []Member, c hashConfig) *hashed {
	p := &hashed{least: newLeast(members, defaultChoices)}
	p.bound.init(&p.fleet, c)
	return p
}

// Tick implements [Ticker].
func (p *hashed) Tick(time.Duration) { p.bound.count(&p.fleet) }

// fallback is the choice for a key when many endpoints did not fit: owner if all
// are unavailable.
func (p *hashed) fallback(key uint64, owner int) int {
	p.bound.count(&p.fleet) // by the newest count there is always one that fits
	if i := p.keyed(key, &p.bound); !p.members[i].Unavailable() {
		return i
	}
	return owner
}
