// Package waitq is the pool's one queue of waiting calls: first in, first out
// across all endpoints, fed by a release on any of them.
//
// Invariants, all under the queue's lock:
//   - a waiter is delivered to at most once, and only while it is queued; hence
//     a waiter that removed itself and finds no delivery never gets one, and a
//     connection is never handed to a call that has given up;
//   - a signal is sent after the state that it tells of; hence whoever receives
//     one finds it, and one without news costs no more than a look;
//   - room for one dial is told to one waiter that it helps: one that waits for
//     no dial, or has waited too long for one elsewhere. Until a dial is begun for
//     that one, or it looked in vain, the room is its own: if it is served
//     otherwise, gives up or joins another dial, the next is told, and likewise
//     of the dial that it no longer waits for, so that no room is forgotten;
//   - what a waiter asked to be dialed is taken back in the instant it is served
//     or leaves, so that no second connection is dialed for a call that has one.
package waitq

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// MaxAvoid is how many endpoints a waiter can avoid.
const MaxAvoid = 4

// Waiter is one waiting call. It belongs to the goroutine that waits, except
// for what the queue's lock guards.
type Waiter struct {
	// ready carries a token when there is something to see.
	ready chan struct{}
	// kicked: what the waiter waits for may have changed.
	kicked atomic.Bool
	// slot and gen are what was delivered; gen is written before slot.
	slot atomic.Pointer[slots.Slot]
	gen  uint64

	timer *time.Timer
	armed bool

	// The rest is under the queue's lock.
	prev, next *Waiter
	queued     bool
	// turn orders the waiters.
	turn int64
	// only restricts the waiter to one endpoint; nil is any. avoid are
	// endpoints whose connections it does not take.
	only  *slots.Set
	avoid [MaxAvoid]*slots.Set
	// settled: the waiter has looked and found nothing to dial.
	settled bool
	// room is the endpoint it was kicked for, if it was one, until it has used
	// that or found it gone.
	room *slots.Set
	// dial is what it waits for besides, if anything; late: for too long. left
	// is where it waited for a dial before, until that is told to another.
	dial Dial
	late bool
	left *slots.Set
}

// Dial is where a waiter has asked for a dial: at the endpoint that has these
// slots. Undemand takes that back; it is called under the queue's lock and must
// not wait for anything.
type Dial interface {
	Slots() *slots.Set
	Undemand()
}

// Arm makes Wait return TimedOut after d, once.
func (w *Waiter) Arm(d time.Duration) {
	w.timer.Reset(d)
	w.armed = true
}

// Disarm stops what Arm began.
func (w *Waiter) Disarm() {
	w.timer.Stop()
	w.armed = false
}

// Why is what ended a Wait.
type Why uint8

const (
	// Signalled: a slot was delivered, or something changed.
	Signalled Why = iota
	// TimedOut: the time of Arm is over.
	TimedOut
	// Done: the context is done.
	Done
)

// Wait waits for a signal, for the time of Arm, or for ctx. A signal that is
// there already comes first.
func (w *Waiter) Wait(ctx context.Context) Why {
	select {
	case <-w.ready:
		return Signalled
	default:
	}
	if !w.armed { // most waits: two channels cost less than three
		select {
		case <-w.ready:
			return Signalled
		case <-ctx.Done():
			return Done
		}
	}
	select {
	case <-w.ready:
		return Signalled
	case <-w.timer.C:
		w.armed = false
		return TimedOut
	case <-ctx.Done():
		return Done
	}
}

func (w *Waiter) accepts(s *slots.Set) bool {
	if w.only != nil {
		return w.only == s
	}
	if s.Ejected() {
		return false // there are others, which answer
	}
	for _, a := range w.avoid {
		if a == nil {
			break
		}
		if a == s {
			return false
		}
	}
	return true
}

// Queue is the queue. Its zero value is empty and ready.
type Queue struct {
	// Attention is not zero while a release must look at the queue, or at its
	// own connection, once more: the number of waiters, plus what the pool
	// adds while it drains a sub-pool.
	Attention atomic.Int64

	_  [56]byte // Attention is read by every release: keep the lock off its line
	mu sync.Mutex
	// open are the waiters for any endpoint, named those for one: a long queue
	// for one endpoint costs the releases of the others nothing.
	open  list
	named map[*slots.Set]*list
	// last and first are the turns of who came last, and who returned.
	last, first int64
	length      int
	// hopeless counts the settled waiters that accept any endpoint.
	hopeless int
	// idle are waiters to use again. They are the queue's own: a channel made
	// in one bubble of testing/synctest must not be used in another.
	idle sync.Pool
}

// Enter queues a new waiter, behind all others. Unless hopeless is true the
// caller must look once more for a connection: one released before Enter may
// have gone unseen. hopeless means that another call, which accepts any
// endpoint, waits already and found nothing to take or to dial after it had
// entered: all that came since was, and will be, offered to the queue.
func (q *Queue) Enter(only *slots.Set, avoid [MaxAvoid]*slots.Set) (w *Waiter, hopeless bool) {
	w = q.announce(only, avoid)
	q.mu.Lock()
	q.last++
	q.linkLocked(w, q.last)
	if hopeless = q.hopeless > 0; hopeless {
		q.settleLocked(w, true)
	}
	q.mu.Unlock()
	return w, hopeless
}

// Return queues a waiter before all others: the caller's turn had come, but
// what it was given was no good. It must look once more, as after Enter.
func (q *Queue) Return(only *slots.Set, avoid [MaxAvoid]*slots.Set) *Waiter {
	w := q.announce(only, avoid)
	q.mu.Lock()
	q.first--
	q.linkLocked(w, q.first)
	q.mu.Unlock()
	return w
}

// announce makes a waiter that is not queued yet. A releaser either sees it
// announced or released before the look that follows.
func (q *Queue) announce(only *slots.Set, avoid [MaxAvoid]*slots.Set) *Waiter {
	w, _ := q.idle.Get().(*Waiter)
	if w == nil {
		w = newWaiter()
	}
	w.only, w.avoid = only, avoid
	q.Attention.Add(1)
	return w
}

// Settle notes that w has looked, after it entered, at all there is and found
// nothing to take or to dial.
func (q *Queue) Settle(w *Waiter) {
	q.mu.Lock()
	if w.queued && !w.kicked.Load() {
		w.room = nil // it is gone
		q.settleLocked(w, true)
	}
	q.mu.Unlock()
}

// Await notes where the caller is about to ask for a dial, nil for nowhere, and
// takes back what it had asked for elsewhere. late says that it would rather
// dial elsewhere: else it is told of no room. Await returns false, and the
// caller must not ask, when the waiter is queued no more: it was served.
func (q *Queue) Await(w *Waiter, d Dial, late bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.queued {
		return false
	}
	w.late = late
	if back := w.dial; back != d {
		w.dial, w.left = d, nil
		if back != nil {
			back.Undemand()
			w.left = back.Slots()
		}
	}
	return true
}

// Begun notes that a dial is under way where w awaits one: what it was told of
// elsewhere, or left there, may serve another.
func (q *Queue) Begun(w *Waiter) {
	q.mu.Lock()
	if w.queued && w.dial != nil {
		free := [...]*slots.Set{w.room, w.left}
		w.room, w.left = nil, nil
		if free[0] == w.dial.Slots() {
			free[0] = nil // used
		}
		q.passOnLocked(free[:])
	}
	q.mu.Unlock()
}

// Leave ends the wait and returns what was delivered meanwhile, or nil. The
// waiter must not be used afterwards.
func (q *Queue) Leave(w *Waiter) (*slots.Slot, uint64) {
	q.mu.Lock()
	q.unlinkLocked(w)
	q.mu.Unlock()
	return q.recycle(w)
}

// Delivered returns what was delivered to w, which must not be used afterwards
// then. Else it returns nil, and the waiter must look at what has changed.
func (q *Queue) Delivered(w *Waiter) (*slots.Slot, uint64) {
	if w.slot.Load() == nil {
		w.kicked.Store(false) // before the look: a later kick makes it look again
		return nil, 0
	}
	return q.recycle(w)
}

// recycle ends the use of a waiter that is out of the queue: nobody else knows
// it any more.
func (q *Queue) recycle(w *Waiter) (*slots.Slot, uint64) {
	sl, gen := w.slot.Load(), w.gen
	if w.armed {
		w.Disarm()
	}
	w.slot.Store(nil)
	w.kicked.Store(false)
	w.gen, w.dial, w.late = 0, nil, false
	w.only, w.avoid = nil, [MaxAvoid]*slots.Set{}
	select {
	case <-w.ready:
	default:
	}
	q.idle.Put(w)
	return sl, gen
}

func newWaiter() *Waiter {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Waiter{ready: make(chan struct{}, 1), timer: t}
}

// Deliver gives an owned slot of s to the first waiter that accepts it, or
// returns false.
func (q *Queue) Deliver(s *slots.Set, sl *slots.Slot, gen uint64) bool {
	q.mu.Lock()
	w := q.firstLocked(s)
	if w == nil {
		q.mu.Unlock()
		return false
	}
	q.unlinkLocked(w)
	w.gen = gen
	w.slot.Store(sl)
	w.signal()
	q.mu.Unlock()
	return true
}

// Wants reports whether a waiter would accept a slot of s.
func (q *Queue) Wants(s *slots.Set) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.firstLocked(s) != nil
}

// Len returns the number of waiters.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}

// Restrict changes what w accepts: the set of endpoints has changed.
func (q *Queue) Restrict(w *Waiter, only *slots.Set, avoid [MaxAvoid]*slots.Set) {
	q.mu.Lock()
	if w.queued {
		q.settleLocked(w, false)
		if w.only == only {
			w.avoid = avoid
		} else {
			q.unlistLocked(w)
			w.only, w.avoid = only, avoid
			q.listLocked(only).insert(w)
		}
	}
	q.mu.Unlock()
}

// KickFirst makes the first waiter that accepts s, waits for no dial or has
// waited too long for one elsewhere, and is not about to look anyway, look
// again: there is room for one dial.
func (q *Queue) KickFirst(s *slots.Set) {
	q.mu.Lock()
	q.kickFirstLocked(s)
	q.mu.Unlock()
}

func (q *Queue) kickFirstLocked(s *slots.Set) {
	w := q.findLocked(s, func(w *Waiter) bool {
		return !w.kicked.Load() && (w.dial == nil || w.late && w.dial.Slots() != s)
	})
	if w != nil {
		w.room = s
		q.kickLocked(w)
	}
}

// KickAll makes all waiters look again.
func (q *Queue) KickAll() {
	q.mu.Lock()
	for w := q.open.head; w != nil; w = w.next {
		q.kickLocked(w)
	}
	for _, l := range q.named {
		for w := l.head; w != nil; w = w.next {
			q.kickLocked(w)
		}
	}
	q.mu.Unlock()
}

func (q *Queue) firstLocked(s *slots.Set) *Waiter {
	return q.findLocked(s, func(*Waiter) bool { return true })
}

// findLocked returns the first waiter that accepts s and is fit.
func (q *Queue) findLocked(s *slots.Set, fit func(*Waiter) bool) *Waiter {
	open := q.open.head
	for open != nil && !(open.accepts(s) && fit(open)) {
		open = open.next
	}
	l := q.named[s]
	if l == nil {
		return open
	}
	named := l.head
	for named != nil && !fit(named) {
		named = named.next
	}
	if open == nil || named != nil && named.turn < open.turn {
		return named
	}
	return open
}

// listLocked returns the list of those that wait for one endpoint, or for any.
func (q *Queue) listLocked(only *slots.Set) *list {
	if only == nil {
		return &q.open
	}
	l := q.named[only]
	if l == nil {
		if q.named == nil {
			q.named = map[*slots.Set]*list{}
		}
		l = &list{}
		q.named[only] = l
	}
	return l
}

func (q *Queue) unlistLocked(w *Waiter) {
	if l := q.listLocked(w.only); l.remove(w) && w.only != nil {
		delete(q.named, w.only) // the endpoint may never be named again
	}
}

func (q *Queue) linkLocked(w *Waiter, turn int64) {
	w.turn, w.queued = turn, true
	q.listLocked(w.only).insert(w)
	q.length++
}

func (q *Queue) unlinkLocked(w *Waiter) {
	if !w.queued {
		return
	}
	free := [...]*slots.Set{w.room, w.left, nil}
	if w.dial != nil {
		w.dial.Undemand()
		free[2] = w.dial.Slots()
		w.dial = nil
	}
	w.room, w.left = nil, nil
	q.unlistLocked(w)
	q.settleLocked(w, false)
	w.queued = false
	q.length--
	q.Attention.Add(-1)
	q.passOnLocked(free[:])
}

// passOnLocked tells others of room that a waiter will not use.
func (q *Queue) passOnLocked(free []*slots.Set) {
	for i, s := range free {
		if s != nil && !slices.Contains(free[:i], s) {
			q.kickFirstLocked(s)
		}
	}
}

func (q *Queue) kickLocked(w *Waiter) {
	q.settleLocked(w, false)
	w.kicked.Store(true)
	w.signal()
}

func (q *Queue) settleLocked(w *Waiter, settled bool) {
	if w.settled == settled {
		return
	}
	w.settled = settled
	if w.only != nil || w.avoid[0] != nil {
		return
	}
	if settled {
		q.hopeless++
	} else {
		q.hopeless--
	}
}

func (w *Waiter) signal() {
	select {
	case w.ready <- struct{}{}:
	default: // there is a token already
	}
}
