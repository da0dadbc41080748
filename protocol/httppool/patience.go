package httppool

import (
	"sync/atomic"
	"time"
)

// patience ends the request on an HTTP/1.1 connection whose server does not
// answer in time. Its timer is not set anew with each request: it goes off when
// the first one would be overdue, finds out how long the present one has left,
// and goes to sleep when there is none. A request costs two atomic operations
// and no allocation.
type patience struct {
	limit time.Duration // 0 = for ever
	now   func() time.Duration
	end   func() // ends the request

	// due is when the present request is overdue, in nanoseconds, or one of the
	// values below.
	due     atomic.Int64
	ticking atomic.Bool // the timer is set, or has gone off and looks
	timer   *time.Timer
}

const (
	nothing   = 0  // no request waits
	uploading = -1 // its body is not sent yet: writes are limited, see socket
	overdue   = -2 // it was ended
)

func (p *patience) init(limit time.Duration, now func() time.Duration, end func()) {
	p.limit, p.now, p.end = limit, now, end
	if limit > 0 {
		p.timer = time.AfterFunc(limit, p.tick)
		p.ticking.Store(true)
	}
}

// begin begins the wait for a response at now.
func (p *patience) begin(now time.Duration, upload bool) {
	if p.limit == 0 {
		return
	}
	if upload {
		p.due.Store(uploading)
		return
	}
	p.due.Store(int64(now + p.limit))
	p.wake(p.limit)
}

// uploaded says that the body is sent. If the response has not come, the wait
// for it begins now.
func (p *patience) uploaded() {
	if p.due.Load() == uploading && p.due.CompareAndSwap(uploading, int64(p.now()+p.limit)) {
		p.wake(p.limit)
	}
}

// over ends the wait and reports whether the request was ended before.
func (p *patience) over() bool { return p.due.Swap(nothing) == overdue }

func (p *patience) wake(d time.Duration) {
	if !p.ticking.Load() && p.ticking.CompareAndSwap(false, true) {
		p.timer.Reset(d)
	}
}

// tick runs when the timer goes off.
func (p *patience) tick() {
	due, now := p.due.Load(), int64(p.now())
	switch {
	case due <= nothing:
		p.ticking.Store(false)
		if due := p.due.Load(); due > nothing { // begun meanwhile, by one who saw it ticking
			p.wake(max(time.Duration(due)-p.now(), 0))
		}
	case now < due:
		p.timer.Reset(time.Duration(due - now))
	case p.due.CompareAndSwap(due, overdue):
		p.end()
		p.ticking.Store(false)
	default: // answered in this instant
		p.timer.Reset(p.limit)
	}
}

// stop is for the end of the connection.
func (p *patience) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
