//go:build go1.26

package httppool

import (
	"sync"
	"time"
)

// headerTimeout bounds how long a server may take to begin its response. It does
// what the ResponseHeaderTimeout of net/http does and more: that one starts only
// when the request has been sent. It allocates nothing per request, and sets its
// timer seldom, since that may wake a processor: one that goes off looks which
// request it is to bound by then.
type headerTimeout struct {
	limit time.Duration // 0 = none
	now   func() time.Duration
	abort func() // ends the request

	mu      sync.Mutex
	present time.Duration // the limit of the present request
	timer   *time.Timer   // nil until there is a limit
	armed   time.Duration // when it goes off, by now; never: it does not
	waiting bool          // for the response to begin
	due     time.Duration // when the response is overdue, by now
	expired bool
}

func (t *headerTimeout) init(limit time.Duration, now func() time.Duration, abort func()) {
	t.limit, t.now, t.abort = limit, now, abort
}

// start starts the clock of a request, whose own limit is within, 0: none.
func (t *headerTimeout) start(within time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting, t.present = true, t.limit
	if within > 0 && (t.limit == 0 || within < t.limit) {
		t.present = within
	}
	t.restartLocked()
}

// pause stops the clock while the reader of the request's body is at work.
func (t *headerTimeout) pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.present > 0 && t.waiting {
		t.due = never
	}
}

const never = 1<<63 - 1

// resume restarts the clock after pause.
func (t *headerTimeout) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.restartLocked()
}

func (t *headerTimeout) restartLocked() {
	if t.present > 0 && t.waiting && !t.expired {
		now := t.now()
		t.due = now + t.present
		t.armLocked(now)
	}
}

// armLocked makes the timer go off when the response is overdue, or before.
func (t *headerTimeout) armLocked(now time.Duration) {
	switch {
	case t.timer == nil:
		t.timer = time.AfterFunc(t.due-now, t.fire)
	case t.due < t.armed:
		t.timer.Reset(t.due - now)
	default:
		return
	}
	t.armed = t.due
}

// stop stops the clock and reports whether the request was aborted before.
func (t *headerTimeout) stop() (expired bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = false
	return t.expired
}

// end frees the timer: no request follows.
func (t *headerTimeout) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = false
	if t.timer != nil {
		t.timer.Stop()
	}
}

// fire runs when the timer goes off, most often during a later request than that
// for which it was set.
func (t *headerTimeout) fire() {
	t.mu.Lock()
	now := t.now()
	t.armed = never
	t.expired = t.expired || t.waiting && now >= t.due
	expired := t.expired
	if t.waiting && !expired && t.due != never {
		t.armLocked(now)
	}
	t.mu.Unlock()
	if expired {
		t.abort()
	}
}
