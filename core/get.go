package core

import (
	"context"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// flagged are the flags of a slot that a lease must deal with first.
const flagged = slots.Retired | slots.NeedsCheck | slots.Timed

// get leases a connection. The whole way of a call without options that finds one
// idle at the endpoint that the picker chose is here: no lock, no allocation, no
// clock. What is left for getSlow passes no options, so that none are kept until then.
func (p *pool) get(ctx context.Context, opts []CallOption) (*slots.Slot, uint64, error) {
	if len(opts) != 0 || p == nil || ctx.Err() != nil {
		return p.getSlow(ctx, opts, none)
	}
	v := p.view.Load()
	i := len(v.subs) - 1
	if i > 0 {
		if v.special.Load() != 0 {
			i = v.pickAny()
		} else {
			i = v.picker.Pick(balance.PickInfo{})
		}
	}
	if uint(i) >= uint(len(v.subs)) {
		return p.getSlow(ctx, nil, none)
	}
	s := v.subs[i]
	sl := s.TryAcquire()
	if sl == nil {
		if sl, _ = s.Acquire(); sl == nil {
			return p.getSlow(ctx, nil, i)
		}
	}
	gen := sl.Gen()
	if gen&flagged|p.careful.Load() != 0 {
		var ok bool
		if gen, ok = p.accept(ctx, s, sl, gen); !ok {
			return p.getSlow(ctx, nil, i)
		}
	}
	p.count(gen)
	return sl, gen, nil
}

// none is the index of a picker that has not chosen.
const none = -1

// accept makes an acquired slot fit for use, or closes its connection.
func (p *pool) accept(ctx context.Context, s *subpool, sl *slots.Slot, gen uint64) (uint64, bool) {
	gen, ok, cause := p.prepare(ctx, s, sl, gen)
	if !ok {
		s.reject(sl, cause)
	}
	return gen, ok
}

// prepare does what flags and options ask for beyond the bare lease. If the slot
// is not fit for use, it says why; the caller must reject it.
func (p *pool) prepare(ctx context.Context, s *subpool, sl *slots.Slot, gen uint64) (_ uint64, ok bool, cause error) {
	set := p.settings()
	if set.validateAfterIdle == 0 {
		gen |= slots.NeedsCheck
	}
	if gen&(slots.Retired|slots.NeedsCheck) != 0 {
		if gen, ok, cause = s.validate(ctx, sl, gen); !ok {
			return 0, false, cause
		}
	}
	if gen&slots.Timed != 0 {
		gen = sl.Unflag(slots.Timed)
		sl.Begin(gen, p.now())
	}
	if set.minIdle > 0 && s.Idle() < set.minIdle*set.share {
		s.refill()
	}
	if set.leakThreshold > 0 {
		record(s, sl, gen)
	}
	return gen, true, nil
}

// pickAny is pick for a call without wishes.
func (v *snapshot) pickAny() int {
	if v.detector != nil {
		if i := v.detector.Probe(); i >= 0 {
			v.subs[i].tally().probes.Add(1)
			return i
		}
	}
	if v.guarded {
		return v.pickGuarded(balance.PickInfo{})
	}
	return v.picker.Pick(balance.PickInfo{})
}

// pick asks for the endpoint of a call: an ejected one that is due for a probe,
// unless the call has a key or has failed already, else what the picker says. A
// call that has failed is better off where others have not failed.
func (v *snapshot) pick(info balance.PickInfo) int {
	switch {
	case len(v.subs) == 0:
		return -1
	case info.Keyed:
	case !info.Retry:
		return v.pickAny()
	case v.detector != nil:
		for range picks - 1 {
			if i := v.pickGuarded(info); !v.detector.Failing(i) {
				return i
			}
		}
	}
	return v.pickGuarded(info)
}

// pickGuarded asks the picker. One that panics says "any".
func (v *snapshot) pickGuarded(info balance.PickInfo) (i int) {
	if len(v.subs) == 0 {
		return -1
	}
	defer func() {
		if recover() != nil {
			i = -1
		}
	}()
	return v.picker.Pick(info)
}

// batch is how many leases of a slot are counted at a time.
const batch = 16

// count counts the leases for the budget of retries.
func (p *pool) count(gen uint64) {
	if slots.Uses(gen)%batch == batch-1 {
		p.retrier.Count(batch)
	}
}

// now is the time since the pool was made.
func (p *pool) now() time.Duration { return time.Since(p.epoch) }
