//go:build go1.26

package httppool

import (
	"sync"
	"time"
)

// headerTimeout bounds how long a server may take to begin its response. It does
// what the ResponseHeaderTimeout of net/http does and more: that one starts only when the request has been sent. It allocates nothing
// per request and costs less than a twentieth of a small one.
type headerTimeout struct {
	limit time.Duration // 0 = none
	now   func() time.Duration
	abort func() // ends the request

	mu      sync.Mutex
	present time.Duration // the limit of the present request
	timer   *time.Timer   // nil until there is a limit
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
	if t.timer == nil && t.present > 0 {
		t.timer = time.AfterFunc(t.present, t.fire)
	}
	t.restartLocked()
}

// pause stops the clock while the reader of the request's body is at work.
func (t *headerTimeout) pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.present > 0 && t.waiting {
		t.timer.Stop()
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
		t.due = t.now() + t.present
		t.timer.Reset(t.present)
	}
}

// stop stops the clock and reports whether the request was aborted before.
func (t *headerTimeout) stop() (expired bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.waiting = false
	return t.expired
}

// fire runs when the timer goes off. It may run late, during the next request.
func (t *headerTimeout) fire() {
	t.mu.Lock()
	t.expired = t.expired || t.waiting && t.now() >= t.due
	expired := t.expired
	t.mu.Unlock()
	if expired {
		t.abort()
	}
}
