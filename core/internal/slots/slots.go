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
	"slices"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/load"
)

const (
	// first is the number of idle bits in the hot word.
	first    = load.First
	idleMask = 1<<first - 1
	one      = load.One
	// near is how many slots are found without a step to another place in memory:
	// those that an endpoint uses unless it has many callers at once.
	near     = 8
	nearMask = 1<<near - 1

	// chunkSize is the number of slots in each further chunk.
	chunkSize = 64

	// Max is the largest number of slots of one Set.
	Max = load.Max
)

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

	// Seen is the sum of uses at the last sweep, Since the time of
	// the first sweep that saw it, Checked that of the last health check.
	Seen           uint64
	Since, Checked time.Duration
	// Checking means that a check has it for a moment.
	Checking bool
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

// Slot is one permit, of one cache line. Only its atomic fields change once it is
// in use.
type Slot struct {
	// gen: uses << 3 | flags.
	gen  atomic.Uint64
	Conn *Conn
	set  *Set
	bit  uint64
	idx  int32 // below first: in the hot word
	// began is when the lease numbered timed began.
	began atomic.Int64
	timed atomic.Uint64
	// Taken is when and where it was leased; kept only in leak detection.
	Taken atomic.Pointer[Taken]
}

// Taken is the debug record of a lease.
type Taken struct {
	At  time.Duration
	Gen uint64
	PCs []uintptr
	// Reported belongs to the sweep.
	Reported bool
}

// Flags of a generation.
const (
	// Retired means that the connection is closed when its lease ends, and must
	// not be leased again.
	Retired = 1 << 0
	// NeedsCheck means that the connection was idle for a while and is checked
	// before it is leased.
	NeedsCheck = 1 << 1
	// Timed means that the time of the next lease is taken.
	Timed = 1 << 2

	flags = Retired | NeedsCheck | Timed
	use   = 1 << 3
)

// Set is the slots of one endpoint.
type Set struct {
	load.Load
	_ [8]byte // what follows is read-mostly: keep it off the hot line
	// awaited, while not zero, makes every release take the long way.
	awaited *atomic.Int64
	// limit is the most slots that may be idle; 0: all. brief is where the slots
	// begin that TryRelease leaves to End: with a limit, at the first.
	limit, brief atomic.Int32
	slot         [near]atomic.Pointer[Slot]
	// far has the other slots of the hot word. Few endpoints of a large fleet have
	// any: it is made for the first of them, before that is idle.
	far atomic.Pointer[[first - near]atomic.Pointer[Slot]]
	// more are the chunks beyond the first slots. The slice is replaced when it
	// grows; the chunks stay.
	more atomic.Pointer[[]*chunk]
}

type chunk struct {
	idle atomic.Uint64
	slot [chunkSize]atomic.Pointer[Slot]
}

// Init makes s ready. It must be called once, first.
func (s *Set) Init(awaited *atomic.Int64) {
	s.awaited = awaited
	s.brief.Store(first)
}

// SetLimit bounds the idle slots (0: all). Idle ones beyond it stay.
func (s *Set) SetLimit(n int) {
	s.limit.Store(int32(min(n, Max)))
	if n > 0 {
		s.brief.Store(0)
	} else {
		s.brief.Store(first)
	}
}

func (s *Set) chunks() []*chunk {
	if m := s.more.Load(); m != nil {
		return *m
	}
	return nil
}

// TryAcquire is Acquire in one attempt, short enough to be inlined: it returns
// nil also when another caller was faster, or when only a slot beyond the near
// ones is idle. The generation is the slot's.
func (s *Set) TryAcquire() *Slot {
	w := s.Word.Load()
	b := w & -w & nearMask
	if b == 0 || !s.Word.CompareAndSwap(w, w-b+one) {
		return nil
	}
	return s.slot[bits.TrailingZeros64(b)].Load()
}

// Acquire takes the lowest idle slot and returns it with its generation, or
// nil. The generation may carry flags: then the caller must not use the
// connection before it dealt with them.
func (s *Set) Acquire() (*Slot, uint64) {
	for {
		w := s.Word.Load()
		b := w & -w & idleMask
		if b == 0 {
			return s.acquireMore()
		}
		if s.Word.CompareAndSwap(w, w-b+one) {
			sl := s.hot(bits.TrailingZeros64(b)).Load()
			return sl, sl.gen.Load()
		}
	}
}

// hot is position idx, below first. If it is not a near one, far must be made.
func (s *Set) hot(idx int) *atomic.Pointer[Slot] {
	if idx < near {
		return &s.slot[idx]
	}
	return &s.far.Load()[idx-near]
}

func (s *Set) acquireMore() (*Slot, uint64) {
	for _, c := range s.chunks() {
		for {
			w := c.idle.Load()
			if w == 0 {
				break
			}
			b := w & -w
			if c.idle.CompareAndSwap(w, w&^b) {
				s.Word.Add(one)
				sl := c.slot[bits.TrailingZeros64(b)].Load()
				return sl, sl.gen.Load()
			}
		}
	}
	return nil, 0
}

// Idle returns the number of idle slots.
func (s *Set) Idle() int {
	n := bits.OnesCount64(s.Word.Load() & idleMask)
	for _, c := range s.chunks() {
		n += bits.OnesCount64(c.idle.Load())
	}
	return n
}

// Place puts sl into position idx, below Max, which must be vacant and
// reserved. The slot is in flight until Put. Calls of Place must not overlap.
func (s *Set) Place(sl *Slot, idx int) {
	sl.set, sl.idx = s, int32(idx)
	if idx < first {
		sl.bit = 1 << idx
		if idx >= near && s.far.Load() == nil {
			s.far.Store(new([first - near]atomic.Pointer[Slot]))
		}
		s.hot(idx).Store(sl)
		return
	}
	k := (idx - first) / chunkSize
	for len(s.chunks()) <= k {
		more := append(slices.Clip(s.chunks()), new(chunk))
		s.more.Store(&more)
	}
	sl.bit = 1 << ((idx - first) % chunkSize)
	sl.position().Store(sl)
}

// position is where the slot is placed.
func (sl *Slot) position() *atomic.Pointer[Slot] {
	if sl.idx < first {
		return sl.set.hot(int(sl.idx))
	}
	return &sl.chunk().slot[(sl.idx-first)%chunkSize]
}

// chunk is where a slot beyond the hot word is.
func (sl *Slot) chunk() *chunk { return sl.set.chunks()[(sl.idx-first)/chunkSize] }

// Vacate empties the slot's position. The slot must be in flight and owned by
// the caller; it is off the in-flight count afterwards.
func (sl *Slot) Vacate() int {
	sl.position().Store(nil)
	sl.set.Unreserve()
	return int(sl.idx)
}

// Put makes the slot idle. The caller must own it, and does not afterwards.
func (sl *Slot) Put() {
	if sl.idx < first {
		sl.set.Word.Add(sl.bit - one)
		return
	}
	// Off the count first: were the slot acquired again in between, a set of
	// Max slots would count one too many and run into the down flag.
	sl.set.Unreserve()
	sl.chunk().idle.Or(sl.bit)
}

// PutWithin is Put unless the limit of idle slots is reached: then it returns
// false, and the caller still owns the slot.
func (sl *Slot) PutWithin() bool {
	s := sl.set
	limit := int(s.limit.Load())
	if limit == 0 {
		sl.Put()
		return true
	}
	if len(s.chunks()) > 0 {
		// The count is not one word: releases in the same instant may
		// overshoot by one each.
		if s.Idle() >= limit {
			return false
		}
		sl.Put()
		return true
	}
	for {
		w := s.Word.Load()
		if bits.OnesCount64(w&idleMask) >= limit {
			return false
		}
		if s.Word.CompareAndSwap(w, w+sl.bit-one) {
			return true
		}
	}
}

// Take takes this very slot if it is idle. It must be in its position, and stay
// there during the call.
func (sl *Slot) Take() bool {
	if sl.idx >= first {
		w := &sl.chunk().idle
		for {
			v := w.Load()
			if v&sl.bit == 0 {
				return false
			}
			if w.CompareAndSwap(v, v&^sl.bit) {
				sl.set.Word.Add(one)
				return true
			}
		}
	}
	for {
		v := sl.set.Word.Load()
		if v&sl.bit == 0 {
			return false
		}
		if sl.set.Word.CompareAndSwap(v, v-sl.bit+one) {
			return true
		}
	}
}

// Placed reports whether the slot is in its position: it was not vacated.
func (sl *Slot) Placed() bool { return sl.position().Load() == sl }

// IsIdle reports whether the slot is idle at this moment.
func (sl *Slot) IsIdle() bool {
	if sl.idx >= first {
		return sl.chunk().idle.Load()&sl.bit != 0
	}
	return sl.set.Word.Load()&sl.bit != 0
}

// Gen returns the generation with its flags.
func (sl *Slot) Gen() uint64 { return sl.gen.Load() }

// Flag sets a flag.
func (sl *Slot) Flag(f uint64) { sl.gen.Or(f) }

// Unflag clears a flag and returns the generation that is then current. The
// caller must own the slot.
func (sl *Slot) Unflag(f uint64) uint64 { return sl.gen.And(^f) &^ f }

// EndResult is how a lease ended.
type EndResult uint8

const (
	// NotEnded means that nothing was done, and the lease may last.
	NotEnded EndResult = iota
	// Stale means that the lease was not the current one; nothing was changed.
	Stale
	// Idle means that the slot is idle again; nothing is left to do.
	Idle
	// ReleasedAwaited means that the slot is idle, but a call began to wait
	// meanwhile: the caller must see whether it waits for this slot.
	ReleasedAwaited
	// Usable means that the caller owns the slot, whose connection may be used again.
	Usable
	// MustClose means that the caller owns the slot, whose connection is retired.
	MustClose
)

// TryRelease ends the lease that began at generation gen and makes the slot
// idle, in two atomic operations and no more, short enough to be inlined. Where
// anything speaks against that it does nothing and returns NotEnded: then the
// caller must End the lease.
func (sl *Slot) TryRelease(gen uint64) EndResult {
	s := sl.set
	if s.awaited.Load() != 0 || sl.idx >= s.brief.Load() || !sl.gen.CompareAndSwap(gen, gen+use) {
		return NotEnded
	}
	s.Word.Add(sl.bit - one)
	if s.awaited.Load() != 0 {
		return ReleasedAwaited
	}
	return Idle
}

// End ends the lease that began at gen. Unless the result is Stale the slot
// belongs to the caller, who must Put it or retire it.
func (sl *Slot) End(gen uint64) EndResult {
	if sl.gen.CompareAndSwap(gen, gen+use) {
		return Usable
	}
	return sl.endFlagged(gen)
}

// endFlagged is End for a slot whose flags changed during the lease.
func (sl *Slot) endFlagged(gen uint64) EndResult {
	for {
		g := sl.gen.Load()
		if g&^flags != gen&^flags {
			return Stale
		}
		if !sl.gen.CompareAndSwap(g, (g+use)&^NeedsCheck) {
			continue
		}
		if g&Retired != 0 {
			return MustClose
		}
		return Usable
	}
}

// Current reports whether the lease that began at gen still lasts.
func (sl *Slot) Current(gen uint64) bool { return sl.gen.Load()&^flags == gen&^flags }

// Begin notes when the lease that begins at gen did. The caller must own the slot.
func (sl *Slot) Begin(gen uint64, now time.Duration) {
	sl.timed.Store(0) // so that no lease before takes the new time for its own
	sl.began.Store(int64(now))
	sl.timed.Store(Uses(gen) + 1)
}

// Began returns when the lease that began at gen did, or false if Begin did not
// note that, or has noted a later lease.
func (sl *Slot) Began(gen uint64) (time.Duration, bool) {
	at := sl.began.Load()
	return time.Duration(at), sl.timed.Load() == Uses(gen)+1
}

// Uses returns how many leases of the slot ended.
func (sl *Slot) Uses() uint64 { return Uses(sl.gen.Load()) }

// Uses returns how many leases of a slot had ended at a generation.
func Uses(gen uint64) uint64 { return gen >> 3 }
