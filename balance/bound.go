package balance

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

const (
	// spare is how many calls in flight an endpoint may have in any case: a
	// pool with little to do is not to move keys about for evenness.
	spare = 4
	// recount: the calls in flight are counted anew when so many times the
	// number of endpoints found one full.
	recount = 1.0 / 8
)

// HashOption is a parameter of [RingHash], [Maglev] and [Rendezvous].
type HashOption func(*hashing)

type hashing struct{ excess float64 }

// LoadBound sets by how much an endpoint may have more calls in flight than
// its share of them, before the keys that come next go elsewhere: with 0.25 it
// has at most 1.25 times its share, rounded up, or four. The default is 0.25;
// useful are 0.1 to 1. Less than 0 or NaN means the default, and
// [math.Inf](1) no bound.
//
// The share is that of the calls of this pool to the endpoints that are not
// out. It is counted when it matters and at every tick, hence may be up to
// 100 ms old; calls that choose at the same moment do not see each other.
func LoadBound(excess float64) HashOption {
	return func(h *hashing) {
		if excess >= 0 {
			h.excess = excess
		}
	}
}

func newHashing(opts []HashOption) hashing {
	h := hashing{excess: 0.25}
	for _, o := range opts {
		o(&h)
	}
	return h
}

// bound says which endpoints have more than their share of the calls
// (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded
// Loads", SODA 2018).
type bound struct {
	factor float64
	// whole is the calls in flight that one endpoint with all of the weight
	// could have, float64 bits.
	whole atomic.Uint64
	// found counts how often an endpoint was found full, period when to count
	// the calls in flight again.
	found  atomic.Uint64
	period uint64
}

func (b *bound) init(f *fleet, h hashing) {
	b.factor = 1 + h.excess
	b.period = max(1, uint64(recount*float64(len(f.members))))
	b.count(f)
}

// count takes the calls in flight anew.
func (b *bound) count(f *fleet) {
	calls, share := 1, 0.0 // the call to come
	for i := range f.members {
		if m := &f.members[i]; !m.Out() {
			calls += m.InFlight()
			share += f.share[i]
		}
	}
	if share > 0 {
		b.whole.Store(math.Float64bits(b.factor * float64(calls) / share))
	}
}

// full reports whether endpoint i has no room for a call.
func (b *bound) full(f *fleet, i int) bool {
	n := f.members[i].InFlight()
	return n >= spare && float64(n) >= math.Float64frombits(b.whole.Load())*f.share[i]
}

// fits reports whether endpoint i may be called: it is not out and not full.
func (b *bound) fits(f *fleet, i int) bool { return !f.members[i].Out() && !b.full(f, i) }

// reconsider counts the calls in flight anew if that is due, once endpoint i
// was found not to fit, and reports whether it fits then.
func (b *bound) reconsider(f *fleet, i int) bool {
	if f.members[i].Out() || b.found.Add(1)%b.period != 0 {
		return false
	}
	b.count(f)
	return b.fits(f, i)
}

// hashed is what the pickers have in common that answer keyed calls.
type hashed struct {
	*least
	bound bound
}

func newHashed(set core.Snapshot, h hashing) *hashed {
	p := &hashed{least: newLeast(set, 4)}
	p.bound.init(&p.fleet, h)
	return p
}

// Tick implements core.Ticker.
func (p *hashed) Tick(time.Duration) { p.bound.count(&p.fleet) }

// last is the choice for a key after many others were no use: owner if all
// endpoints are out.
func (p *hashed) last(key uint64, owner int) int {
	p.bound.count(&p.fleet) // with the newest count there is always one that fits
	if i := p.keyed(key, &p.bound); !p.members[i].Out() {
		return i
	}
	return owner
}
