// Package slots keeps the permits of one endpoint: which connections are idle,
// which are leased, and which lease is the current one, in one word of state
// per endpoint and one per slot.
//
// A slot is the right of one caller to use one connection. The idle slots of
// an endpoint are bits of words: to lease is to take the lowest bit off, to
// release is to put it back. There are no next pointers, hence no ABA; the
// lowest bit first keeps a small set of connections hot, as a LIFO would.
//
// A slot's generation changes when a lease ends and at no other time. A lease
// remembers the generation it began with, so ending it twice, or ending one
// that was taken from it, fails one compare-and-swap and touches nothing.
package slots

import (
	"io"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// first is the number of idle bits in the hot word; the 16 bits above
	// them hold the in-flight count and, on top, the flags.
	first      = 48
	idleMask   = 1<<first - 1
	one        = 1 << first
	ejectedBit = 1 << 62
	downBit    = 1 << 63

	// overflow is the number of idle bits in each further word.
	overflow = 64

	// Max is the largest number of slots of one Set.
	Max = 1<<14 - 1
)

// Load is what a picker reads of an endpoint: one word, on a cache line that
// the policy's cost shares, so that looking at an endpoint costs one miss.
type Load struct {
	// word: idle bits of slots 0..47 | in-flight << 48 | ejected << 62 | down << 63.
	//
	// In-flight counts every slot that is taken and not idle: leased, being
	// dialed, being checked or closed. It covers the overflow words too.
	word atomic.Uint64
	// Cost is the policy's price of one call here; only the policy uses it.
	Cost atomic.Uint64
	// Policy and Ejector are the records that these keep of the endpoint; only
	// they touch them, while a picker is built.
	Policy, Ejector any
}

// OutPressure is the least that being down or ejected adds to the pressure.
const OutPressure = ejectedBit >> first

// Pressure orders endpoints by in-flight calls; those ejected come after every
// one that is not, and after them those that are down, since these flags are
// the count's top bits.
func (l *Load) Pressure() uint64 { return l.word.Load() >> first }

// InFlight returns the number of slots taken and not idle.
func (l *Load) InFlight() int { return int(l.word.Load() &^ (downBit | ejectedBit) >> first) }

// Down reports whether the endpoint is marked down: it cannot be dialed.
func (l *Load) Down() bool { return l.word.Load()&downBit != 0 }

// Ejected reports whether the endpoint is marked ejected: it answers badly.
func (l *Load) Ejected() bool { return l.word.Load()&ejectedBit != 0 }

// Out reports whether it is either.
func (l *Load) Out() bool { return l.word.Load()&(downBit|ejectedBit) != 0 }

// SetEjected marks the endpoint ejected or not and reports whether that
// changed it.
func (l *Load) SetEjected(ejected bool) bool {
	if ejected {
		return l.word.Or(ejectedBit)&ejectedBit == 0
	}
	return l.word.And(^uint64(ejectedBit))&ejectedBit != 0
}

// SetDown marks the endpoint down or up and reports whether that changed it.
func (l *Load) SetDown(down bool) bool {
	if down {
		return l.word.Or(downBit)&downBit == 0
	}
	return l.word.And(^uint64(downBit))&downBit != 0
}

// Conn is one open connection with its slots: one, or as many as callers may
// share it.
type Conn struct {
	Value io.Closer
	Slots []Slot
	// Owner is the sub-pool, for the way back from a lease.
	Owner any
	// Born is when it was opened and Expires when it is to be closed (zero:
	// never), both since the pool was made.
	Born, Expires time.Duration

	// What follows belongs to the sweep, under the sub-pool's lock.

	// Seen is the sum of generations at the last sweep, Since the time of
	// the first sweep that saw it, Checked that of the last health check.
	Seen           uint64
	Since, Checked time.Duration
	// Examined: a check has it for a moment.
	Examined bool
	// Open counts the slots not yet retired; the last one closes Value.
	Open int
}

// Uses returns how many leases of the connection have ended.
func (c *Conn) Uses() (n uint64) {
	for i := range c.Slots {
		n += c.Slots[i].Uses()
	}
	return n
}

// Slot is one permit. Its fields besides gen do not change once it is in use.
type Slot struct {
	// gen: uses << 2 | flags.
	gen  atomic.Uint64
	Conn *Conn
	set  *Set
	idx  int32
	word int32 // index of the overflow word, -1 for the hot word
	bit  uint64
	// Taken is when and where it was leased; kept only in leak detection.
	Taken atomic.Pointer[Taken]
}

// Taken is the debug record of a lease.
type Taken struct {
	At  time.Duration
	Gen uint64
	PCs []uintptr
	// Told belongs to the sweep.
	Told bool
}

// Flags of a generation.
const (
	// Doomed: the connection is to be closed when its lease ends, and must
	// not be leased again.
	Doomed = 1 << 0
	// Rested: the connection was idle for a while and is to be checked before
	// it is leased.
	Rested = 1 << 1

	flags = Doomed | Rested
	use   = 1 << 2
)

// Set is the slots of one endpoint.
type Set struct {
	Load
	_ [16]byte // what follows is read-mostly: keep it off the hot line
	// attention, while not zero, makes every release take the long way.
	attention *atomic.Int64
	// limit is the most slots that may be idle; 0: all.
	limit int
	slot  []atomic.Pointer[Slot]
	more  []atomic.Uint64
}

// Init makes s ready for n slots, 1..Max, of which at most limit may be idle
// (0: all). It must be called once, first.
func (s *Set) Init(n, limit int, attention *atomic.Int64) {
	s.limit, s.attention = limit, attention
	s.slot = make([]atomic.Pointer[Slot], n)
	if n > first {
		s.more = make([]atomic.Uint64, (n-first+overflow-1)/overflow)
	}
}

// TryAcquire is Acquire in one attempt, short enough to be inlined: it returns
// nil also when another caller was faster, or when only a slot beyond the hot
// word is idle. The generation is the slot's.
func (s *Set) TryAcquire() *Slot {
	w := s.word.Load()
	b := w & -w & idleMask
	if b == 0 || !s.word.CompareAndSwap(w, w-b+one) {
		return nil
	}
	return s.slot[bits.TrailingZeros64(b)].Load()
}

// Acquire takes the lowest idle slot and returns it with its generation, or
// nil. The generation may carry flags: then the caller must not use the
// connection before it dealt with them.
func (s *Set) Acquire() (*Slot, uint64) {
	for {
		w := s.word.Load()
		b := w & -w & idleMask
		if b == 0 {
			return s.acquireMore()
		}
		if s.word.CompareAndSwap(w, w-b+one) {
			sl := s.slot[bits.TrailingZeros64(b)].Load()
			return sl, sl.gen.Load()
		}
	}
}

func (s *Set) acquireMore() (*Slot, uint64) {
	for i := range s.more {
		for {
			w := s.more[i].Load()
			if w == 0 {
				break
			}
			b := w & -w
			if s.more[i].CompareAndSwap(w, w&^b) {
				s.word.Add(one)
				sl := s.slot[first+i*overflow+bits.TrailingZeros64(b)].Load()
				return sl, sl.gen.Load()
			}
		}
	}
	return nil, 0
}

// Idle returns the number of idle slots.
func (s *Set) Idle() int {
	n := bits.OnesCount64(s.word.Load() & idleMask)
	for i := range s.more {
		n += bits.OnesCount64(s.more[i].Load())
	}
	return n
}

// Reserve counts one more slot in flight: one that is being dialed.
func (l *Load) Reserve() { l.word.Add(one) }

// Unreserve takes a Reserve, or a slot that was in flight, off the count.
func (l *Load) Unreserve() { l.word.Add(^uint64(one - 1)) }

// Place puts sl into position idx, which must be vacant and reserved. The slot
// is in flight until Put.
func (s *Set) Place(sl *Slot, idx int) {
	sl.set, sl.idx, sl.word = s, int32(idx), -1
	if idx < first {
		sl.bit = 1 << idx
	} else {
		sl.word = int32((idx - first) / overflow)
		sl.bit = 1 << ((idx - first) % overflow)
	}
	s.slot[idx].Store(sl)
}

// Vacate empties the slot's position. The slot must be in flight and owned by
// the caller; it is off the in-flight count afterwards.
func (sl *Slot) Vacate() int {
	sl.set.slot[sl.idx].Store(nil)
	sl.set.Unreserve()
	return int(sl.idx)
}

// Put makes the slot idle. The caller must own it, and does not afterwards.
func (sl *Slot) Put() {
	if sl.word < 0 {
		sl.set.word.Add(sl.bit - one)
		return
	}
	// Off the count first: were the slot acquired again in between, a set of
	// Max slots would count one too many and run into the down flag.
	sl.set.Unreserve()
	sl.set.more[sl.word].Or(sl.bit)
}

// PutWithin is Put unless the limit of idle slots is reached: then it returns
// false, and the caller still owns the slot.
func (sl *Slot) PutWithin() bool {
	s := sl.set
	if s.limit == 0 {
		sl.Put()
		return true
	}
	if s.more != nil {
		// The count is not one word: releases in the same instant may
		// overshoot by one each.
		if s.Idle() >= s.limit {
			return false
		}
		sl.Put()
		return true
	}
	for {
		w := s.word.Load()
		if bits.OnesCount64(w&idleMask) >= s.limit {
			return false
		}
		if s.word.CompareAndSwap(w, w+sl.bit-one) {
			return true
		}
	}
}

// Take takes this very slot if it is idle. It must be in its position, and stay
// there during the call.
func (sl *Slot) Take() bool {
	if sl.word >= 0 {
		w := &sl.set.more[sl.word]
		for {
			v := w.Load()
			if v&sl.bit == 0 {
				return false
			}
			if w.CompareAndSwap(v, v&^sl.bit) {
				sl.set.word.Add(one)
				return true
			}
		}
	}
	for {
		v := sl.set.word.Load()
		if v&sl.bit == 0 {
			return false
		}
		if sl.set.word.CompareAndSwap(v, v-sl.bit+one) {
			return true
		}
	}
}

// Placed reports whether the slot is in its position: it was not vacated.
func (sl *Slot) Placed() bool { return sl.set.slot[sl.idx].Load() == sl }

// IsIdle reports whether the slot is idle at this moment.
func (sl *Slot) IsIdle() bool {
	if sl.word >= 0 {
		return sl.set.more[sl.word].Load()&sl.bit != 0
	}
	return sl.set.word.Load()&sl.bit != 0
}

// Gen returns the generation with its flags.
func (sl *Slot) Gen() uint64 { return sl.gen.Load() }

// Flag sets a flag.
func (sl *Slot) Flag(f uint64) { sl.gen.Or(f) }

// Unflag clears a flag and returns the generation that is then current. The
// caller must own the slot.
func (sl *Slot) Unflag(f uint64) uint64 { return sl.gen.And(^f) &^ f }

// Ended is how a lease ended.
type Ended uint8

const (
	// Unended: nothing was done, and the lease may last.
	Unended Ended = iota
	// Stale: the lease was not the current one; nothing was changed.
	Stale
	// Idle: the slot is idle again; nothing is left to do.
	Idle
	// Exposed: the slot is idle, but the attention went up meanwhile: the
	// caller must see whether somebody waits for it.
	Exposed
	// Usable: the caller owns the slot, whose connection may be used again.
	Usable
	// MustClose: the caller owns the slot, whose connection is doomed.
	MustClose
)

// TryRelease ends the lease that began at generation gen and makes the slot
// idle, in two atomic operations and no more, short enough to be inlined. Where
// anything speaks against that it does nothing and returns Unended: then the
// caller must End the lease.
func (sl *Slot) TryRelease(gen uint64) Ended {
	s := sl.set
	if s.attention.Load() != 0 || s.limit != 0 || sl.word >= 0 || !sl.gen.CompareAndSwap(gen, gen+use) {
		return Unended
	}
	s.word.Add(sl.bit - one)
	if s.attention.Load() != 0 {
		return Exposed
	}
	return Idle
}

// End ends the lease that began at gen. Unless the result is Stale the slot
// belongs to the caller, who must Put it or retire it.
func (sl *Slot) End(gen uint64) Ended {
	if sl.gen.CompareAndSwap(gen, gen+use) {
		return Usable
	}
	return sl.endFlagged(gen)
}

// endFlagged is End for a slot whose flags changed during the lease.
func (sl *Slot) endFlagged(gen uint64) Ended {
	for {
		g := sl.gen.Load()
		if g&^flags != gen&^flags {
			return Stale
		}
		if !sl.gen.CompareAndSwap(g, (g+use)&^Rested) {
			continue
		}
		if g&Doomed != 0 {
			return MustClose
		}
		return Usable
	}
}

// Current reports whether the lease that began at gen still lasts.
func (sl *Slot) Current(gen uint64) bool { return sl.gen.Load()&^flags == gen&^flags }

// Uses returns how many leases of the slot ended.
func (sl *Slot) Uses() uint64 { return Uses(sl.gen.Load()) }

// Uses returns how many leases of a slot had ended at a generation.
func Uses(gen uint64) uint64 { return gen >> 2 }
