package core

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// The queue of waiting calls: first in, first out across all endpoints, fed by a
// release, a dial or a change on any of them. Calls walk through these states
// (getSlow in wait.go has the code of the call, this file that of those who wake
// it):
//
//	state      what the call waits for       what moves it on
//	looking    nothing: it looks around      it takes a slot and leaves; or it finds a dial to wait for
//	                                         (dialing), or only connections in use (settled), or nothing
//	                                         that could come (it fails)
//	settled    any slot it accepts, or room  deliver hands it a slot (delivered); wakeFirst offers it room to dial,
//	           to dial                       wakeAll says that something changed (looking)
//	dialing    as settled, and one dial      as settled; the dial fails or its time runs out (looking; then it is
//	                                         late there and looks for a dial elsewhere as well)
//	delivered  it has left the queue         the slot is fit: it leaves with it; else it re-enters before all others
//	gone       its context is done, or the   a slot that was delivered in that instant goes back; room that it was
//	           call has failed               offered and has not used goes to the next
//
// Invariants, all under the queue's lock:
//
//   - A waiter is delivered to at most once, and only while it is queued. Hence a
//     waiter that removed itself and finds no delivery never gets one, and no
//     connection is handed to a call that has given up.
//   - A signal is sent after the state that it is about changed. Hence a waiter
//     that receives one finds it, and one without news costs no more than a look.
//   - Room for one dial is offered to one waiter that it helps: one that waits for
//     no dial, or is late elsewhere. Until a dial is begun for that one, or it
//     looked in vain, the room is its own. If it is served otherwise, gives up or
//     joins another dial, the next waiter gets it, and likewise the dial that it no
//     longer waits for, so that no room is forgotten.
//   - What a waiter asked to be dialed is taken back in the instant it is served
//     or leaves, so that no second connection is dialed for a call that has one.
//
// No wake-up is lost: a call enters the queue before it looks for the last time,
// and a return of a connection, the end of a dial, new room and a change of the
// set take effect before their author looks at the queue.

// maxExcluded is how many endpoints a call can exclude.
const maxExcluded = 4

// waiter is one waiting call. It belongs to the goroutine that waits, except
// for what the queue's lock guards.
type waiter struct {
	// ready carries a token when there is something to see.
	ready chan struct{}
	// woken means that what the waiter waits for may have changed.
	woken atomic.Bool
	// slot and gen are what was delivered; gen is written before slot.
	slot atomic.Pointer[slots.Slot]
	gen  uint64

	timer *time.Timer
	armed bool

	// The rest is under the queue's lock.
	prev, next *waiter
	queued     bool
	// turn orders the waiters.
	turn int64
	// only restricts the waiter to one endpoint; nil is any. exclude are
	// endpoints whose connections it does not take.
	only    *subpool
	exclude [maxExcluded]*subpool
	// settled means that the waiter has looked and found nothing to dial.
	settled bool
	// room is the endpoint that it was offered to dial, until it has done so or
	// found the room gone.
	room *subpool
	// dial is the endpoint whose dial it waits for, if any; late: for too long.
	// left is where it waited for a dial before, until that is offered to another.
	dial *subpool
	late bool
	left *subpool
}

// arm makes wait return timedOut after d, once.
func (w *waiter) arm(d time.Duration) {
	w.timer.Reset(d)
	w.armed = true
}

// disarm stops what arm began.
func (w *waiter) disarm() {
	w.timer.Stop()
	w.armed = false
}

// wakeReason is what ended a wait.
type wakeReason uint8

const (
	// signaled means that a slot was delivered, or something changed.
	signaled wakeReason = iota
	// timedOut means that the time of arm is over.
	timedOut
	// contextDone means that the context is done.
	contextDone
)

// wait waits for a signal, for the time of arm, or for ctx. A signal that is
// there already comes first.
func (w *waiter) wait(ctx context.Context) wakeReason {
	select {
	case <-w.ready:
		return signaled
	default:
	}
	if !w.armed { // most waits: two channels cost less than three
		select {
		case <-w.ready:
			return signaled
		case <-ctx.Done():
			return contextDone
		}
	}
	select {
	case <-w.ready:
		return signaled
	case <-w.timer.C:
		w.armed = false
		return timedOut
	case <-ctx.Done():
		return contextDone
	}
}

func (w *waiter) accepts(s *subpool) bool {
	if w.only != nil {
		return w.only == s
	}
	if s.Ejected() {
		return false // there are others, which answer
	}
	for _, a := range w.exclude {
		if a == nil {
			break
		}
		if a == s {
			return false
		}
	}
	return true
}

// waitQueue is the queue of waiting calls. Its zero value is empty and ready.
type waitQueue struct {
	// awaited is not zero while a release must look at the queue, or at its own
	// connection, once more: 1 while there are waiters, plus what the pool adds
	// while it drains a sub-pool. It is not their number: every release reads it,
	// and should find it in its processor's cache.
	awaited atomic.Int64

	_  [56]byte // awaited is read by every release: keep the lock off its line
	mu sync.Mutex
	// open are the waiters for any endpoint, named those for one: a long queue
	// for one endpoint costs the releases of the others nothing.
	open  list
	named map[*subpool]*list
	// last and first are the turns of who came last, and who returned.
	last, first int64
	length      int
	// settledAny counts the settled waiters that accept any endpoint.
	settledAny int
	// idle are waiters to use again. They are the queue's own: a channel made
	// in one bubble of testing/synctest must not be used in another.
	idle sync.Pool
}

// enter queues a new waiter, behind all others. Unless futile is true the caller
// must look once more for a connection: one released before enter may have gone
// unseen. futile means that another call, which accepts any endpoint, waits
// already and found nothing to take or to dial after it had entered: all that
// came since was, and will be, offered to the queue.
func (q *waitQueue) enter(only *subpool, exclude [maxExcluded]*subpool) (w *waiter, futile bool) {
	w = q.waiter(only, exclude)
	q.mu.Lock()
	q.last++
	q.linkLocked(w, q.last)
	if futile = q.settledAny > 0; futile {
		q.settleLocked(w, true)
	}
	q.mu.Unlock()
	return w, futile
}

// reenter queues a waiter before all others: the caller's turn had come, but
// what it was given was no good. It must look once more, as after enter.
func (q *waitQueue) reenter(only *subpool, exclude [maxExcluded]*subpool) *waiter {
	w := q.waiter(only, exclude)
	q.mu.Lock()
	q.first--
	q.linkLocked(w, q.first)
	q.mu.Unlock()
	return w
}

// waiter makes a waiter that is not queued yet.
func (q *waitQueue) waiter(only *subpool, exclude [maxExcluded]*subpool) *waiter {
	w, _ := q.idle.Get().(*waiter)
	if w == nil {
		w = newWaiter()
	}
	w.only, w.exclude = only, exclude
	return w
}

// settle notes that w has looked, after it entered, at all there is and found
// nothing to take or to dial.
func (q *waitQueue) settle(w *waiter) {
	q.mu.Lock()
	if w.queued && !w.woken.Load() {
		w.room = nil // it is gone
		q.settleLocked(w, true)
	}
	q.mu.Unlock()
}

// await asks for a dial at d, nil for nowhere, and takes back what the caller had
// asked for elsewhere; the caller must look at d afterwards, with dialAwaited. late
// means that it would rather dial elsewhere: only then is it offered room. await
// returns false, and asks for nothing, when the waiter has left the queue: it was
// served.
//
// The demand is added under the lock under which it is taken back. Else a call that is
// served in between takes back first, and the demand of the next one counts for nothing:
// no dial begins for it, and it waits beside room to dial.
func (q *waitQueue) await(w *waiter, d *subpool, late bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.queued {
		return false
	}
	w.late = late
	if back := w.dial; back != d {
		w.dial, w.left = d, nil
		if d != nil {
			d.demand.Add(1)
		}
		if back != nil {
			back.undemand()
			w.left = back
		}
	}
	return true
}

// begun notes that a dial is under way where w awaits one: room that it was
// offered elsewhere, or left there, may serve another.
func (q *waitQueue) begun(w *waiter) {
	q.mu.Lock()
	if w.queued && w.dial != nil {
		free := [...]*subpool{w.room, w.left}
		w.room, w.left = nil, nil
		if free[0] == w.dial {
			free[0] = nil // used
		}
		q.passOnLocked(free[:])
	}
	q.mu.Unlock()
}

// leave ends the wait and returns what was delivered meanwhile, or nil. The
// waiter must not be used afterwards.
func (q *waitQueue) leave(w *waiter) (*slots.Slot, uint64) {
	q.mu.Lock()
	q.unlinkLocked(w)
	q.mu.Unlock()
	return q.recycle(w)
}

// delivered returns what was delivered to w, which must not be used afterwards
// then. Else it returns nil, and the waiter must look at what has changed.
func (q *waitQueue) delivered(w *waiter) (*slots.Slot, uint64) {
	if w.slot.Load() == nil {
		w.woken.Store(false) // before the look: a later kick makes it look again
		return nil, 0
	}
	return q.recycle(w)
}

// recycle ends the use of a waiter that is out of the queue: nobody else knows
// it any more.
func (q *waitQueue) recycle(w *waiter) (*slots.Slot, uint64) {
	sl, gen := w.slot.Load(), w.gen
	if w.armed {
		w.disarm()
	}
	w.slot.Store(nil)
	w.woken.Store(false)
	w.gen, w.dial, w.late = 0, nil, false
	w.only, w.exclude = nil, [maxExcluded]*subpool{}
	select {
	case <-w.ready:
	default:
	}
	q.idle.Put(w)
	return sl, gen
}

func newWaiter() *waiter {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &waiter{ready: make(chan struct{}, 1), timer: t}
}

// deliver gives an owned slot of s to the first waiter that accepts it, or
// returns false.
func (q *waitQueue) deliver(s *subpool, sl *slots.Slot, gen uint64) bool {
	q.mu.Lock()
	w := q.firstLocked(s)
	if w == nil {
		q.mu.Unlock()
		return false
	}
	q.unlinkLocked(w)
	w.gen = gen
	w.slot.Store(sl)
	q.mu.Unlock()
	// Not under the lock, for which others wait. If the call has left by now, this
	// is a signal without news for whoever uses the waiter next.
	w.signal()
	return true
}

// wants reports whether a waiter would accept a slot of s.
func (q *waitQueue) wants(s *subpool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.firstLocked(s) != nil
}

// len returns the number of waiters.
func (q *waitQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}

// restrict changes what w accepts: the set of endpoints has changed.
func (q *waitQueue) restrict(w *waiter, only *subpool, exclude [maxExcluded]*subpool) {
	q.mu.Lock()
	if w.queued {
		q.settleLocked(w, false)
		if w.only == only {
			w.exclude = exclude
		} else {
			q.unlistLocked(w)
			w.only, w.exclude = only, exclude
			q.listLocked(only).insert(w)
		}
	}
	q.mu.Unlock()
}

// wakeFirst makes the first waiter that accepts s, waits for no dial or has
// waited too long for one elsewhere, and is not about to look anyway, look
// again: there is room for one dial.
func (q *waitQueue) wakeFirst(s *subpool) {
	q.mu.Lock()
	q.wakeFirstLocked(s)
	q.mu.Unlock()
}

func (q *waitQueue) wakeFirstLocked(s *subpool) {
	w := q.findLocked(s, func(w *waiter) bool {
		return !w.woken.Load() && (w.dial == nil || w.late && w.dial != s)
	})
	if w != nil {
		old := w.room
		w.room = s
		q.wakeLocked(w)
		if old != nil { // it looks already, and can use one of the two
			q.wakeFirstLocked(old)
		}
	}
}

// wakeAll makes all waiters look again.
func (q *waitQueue) wakeAll() {
	q.mu.Lock()
	for w := q.open.head; w != nil; w = w.next {
		q.wakeLocked(w)
	}
	for _, l := range q.named {
		for w := l.head; w != nil; w = w.next {
			q.wakeLocked(w)
		}
	}
	q.mu.Unlock()
}

func (q *waitQueue) firstLocked(s *subpool) *waiter {
	return q.findLocked(s, func(*waiter) bool { return true })
}

// findLocked returns the first waiter that accepts s and is fit.
func (q *waitQueue) findLocked(s *subpool, fit func(*waiter) bool) *waiter {
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
func (q *waitQueue) listLocked(only *subpool) *list {
	if only == nil {
		return &q.open
	}
	l := q.named[only]
	if l == nil {
		if q.named == nil {
			q.named = map[*subpool]*list{}
		}
		l = &list{}
		q.named[only] = l
	}
	return l
}

func (q *waitQueue) unlistLocked(w *waiter) {
	if l := q.listLocked(w.only); l.remove(w) && w.only != nil {
		delete(q.named, w.only) // the endpoint may never be named again
	}
}

// linkLocked queues w. A releaser either sees that there are waiters, or released
// before the look that follows.
func (q *waitQueue) linkLocked(w *waiter, turn int64) {
	w.turn, w.queued = turn, true
	q.listLocked(w.only).insert(w)
	if q.length++; q.length == 1 {
		q.awaited.Add(1)
	}
}

func (q *waitQueue) unlinkLocked(w *waiter) {
	if !w.queued {
		return
	}
	free := [...]*subpool{w.room, w.left, nil}
	if w.dial != nil {
		w.dial.undemand()
		free[2] = w.dial
		w.dial = nil
	}
	w.room, w.left = nil, nil
	q.unlistLocked(w)
	q.settleLocked(w, false)
	w.queued = false
	if q.length--; q.length == 0 {
		q.awaited.Add(-1)
	}
	q.passOnLocked(free[:])
}

// passOnLocked offers others the room that a waiter will not use.
func (q *waitQueue) passOnLocked(free []*subpool) {
	for i, s := range free {
		if s != nil && !slices.Contains(free[:i], s) {
			q.wakeFirstLocked(s)
		}
	}
}

func (q *waitQueue) wakeLocked(w *waiter) {
	q.settleLocked(w, false)
	w.woken.Store(true)
	w.signal()
}

func (q *waitQueue) settleLocked(w *waiter, settled bool) {
	if w.settled == settled {
		return
	}
	w.settled = settled
	if w.only != nil || w.exclude[0] != nil {
		return
	}
	if settled {
		q.settledAny++
	} else {
		q.settledAny--
	}
}

func (w *waiter) signal() {
	select {
	case w.ready <- struct{}{}:
	default: // there is a token already
	}
}
