// Package waitq is the pool's one queue of waiting calls: first in, first out
// across all endpoints, fed by a release on any of them.
//
// Invariants, all under the queue's lock:
//   - a waiter is delivered to at most once, and only while it is queued; hence
//     a waiter that removed itself and finds no delivery never gets one, and a
//     connection is never handed to a call that has given up;
//   - a signal is sent after the state that it tells of; hence whoever receives
//     one finds it.
package waitq

import (
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
	// Ready carries a token when the waiter should look again: it was
	// delivered to, or what it waits for changed.
	Ready chan struct{}

	timer *time.Timer
	armed bool

	prev, next *Waiter
	queued     bool
	// only restricts the waiter to one endpoint; nil is any. avoid are
	// endpoints whose connections it does not take.
	only  *slots.Set
	avoid [MaxAvoid]*slots.Set
	// slot and gen are what was delivered; gen is written before slot.
	slot atomic.Pointer[slots.Slot]
	gen  uint64
}

// Arm makes C deliver after d.
func (w *Waiter) Arm(d time.Duration) {
	w.timer.Reset(d)
	w.armed = true
}

// Disarm stops what Arm began.
func (w *Waiter) Disarm() {
	w.timer.Stop()
	w.armed = false
}

// C is the channel of the timer; nil while it is not armed.
func (w *Waiter) C() <-chan time.Time {
	if !w.armed {
		return nil
	}
	return w.timer.C
}

func (w *Waiter) accepts(s *slots.Set) bool {
	if w.only != nil {
		return w.only == s
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

var waiters = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &Waiter{Ready: make(chan struct{}, 1), timer: t}
}}

// Queue is the queue. Its zero value is empty and ready.
type Queue struct {
	// Attention is not zero while a release must look at the queue, or at its
	// own connection, once more: the number of waiters, plus what the pool
	// adds while it drains a sub-pool.
	Attention atomic.Int64

	_          [56]byte // Attention is read by every release: keep the lock off its line
	mu         sync.Mutex
	head, tail *Waiter
	free       int // waiters without restrictions
}

// Enter queues a new waiter. After Enter the caller must look once more for a
// connection: one released before it may have gone unseen.
func (q *Queue) Enter(only *slots.Set, avoid [MaxAvoid]*slots.Set) *Waiter {
	w, _ := waiters.Get().(*Waiter)
	// Announced first: a releaser either sees this or released before the
	// look that follows.
	q.Attention.Add(1)
	q.mu.Lock()
	w.only, w.avoid = only, avoid
	w.prev, w.queued = q.tail, true
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.free += free(w)
	q.mu.Unlock()
	return w
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
// then, or nil.
func (q *Queue) Delivered(w *Waiter) (*slots.Slot, uint64) {
	if w.slot.Load() == nil {
		return nil, 0
	}
	// A delivered waiter is out of the queue: nobody else knows it.
	return q.recycle(w)
}

func (q *Queue) recycle(w *Waiter) (*slots.Slot, uint64) {
	sl, gen := w.slot.Load(), w.gen
	if w.armed {
		w.Disarm()
	}
	w.slot.Store(nil)
	w.gen, w.only, w.avoid = 0, nil, [MaxAvoid]*slots.Set{}
	select {
	case <-w.Ready:
	default:
	}
	waiters.Put(w)
	return sl, gen
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
	signal(w)
	q.mu.Unlock()
	return true
}

// Wants reports whether a waiter would accept a slot of s.
func (q *Queue) Wants(s *slots.Set) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.firstLocked(s) != nil
}

// Crowded reports whether a waiter that accepts any endpoint is queued: then
// there was nothing to be had when it looked, and all that came since was
// offered to it.
func (q *Queue) Crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free > 0
}

// Len returns the number of waiters.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for w := q.head; w != nil; w = w.next {
		n++
	}
	return n
}

// Restrict changes what w accepts: the set of endpoints has changed.
func (q *Queue) Restrict(w *Waiter, only *slots.Set, avoid [MaxAvoid]*slots.Set) {
	q.mu.Lock()
	if w.queued {
		q.free -= free(w)
		w.only, w.avoid = only, avoid
		q.free += free(w)
	}
	q.mu.Unlock()
}

// KickFirst makes the first waiter that accepts s look again: there is room
// for a dial.
func (q *Queue) KickFirst(s *slots.Set) {
	q.mu.Lock()
	for w := q.head; w != nil; w = w.next {
		if w.accepts(s) {
			signal(w)
			break
		}
	}
	q.mu.Unlock()
}

// KickAll makes all waiters look again.
func (q *Queue) KickAll() {
	q.mu.Lock()
	for w := q.head; w != nil; w = w.next {
		signal(w)
	}
	q.mu.Unlock()
}

func (q *Queue) firstLocked(s *slots.Set) *Waiter {
	w := q.head
	for w != nil && !w.accepts(s) {
		w = w.next
	}
	return w
}

func (q *Queue) unlinkLocked(w *Waiter) {
	if !w.queued {
		return
	}
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	q.free -= free(w)
	w.prev, w.next, w.queued = nil, nil, false
	q.Attention.Add(-1)
}

// free is 1 for a waiter without restrictions.
func free(w *Waiter) int {
	if w.only == nil && w.avoid[0] == nil {
		return 1
	}
	return 0
}

func signal(w *Waiter) {
	select {
	case w.Ready <- struct{}{}:
	default:
	}
}
