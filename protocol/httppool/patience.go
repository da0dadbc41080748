package httppool

import (
	"sync"
	"time"
)

// patience ends the request on an HTTP/1.1 connection whose server lets it
// wait for too long. It is what the ResponseHeaderTimeout of net/http does, and
// more, since that begins only when the request is sent; and it takes neither
// an allocation nor a twentieth of the cost of a small request.
type patience struct {
	limit time.Duration // 0 = for ever
	now   func() time.Duration
	end   func() // ends the request

	mu      sync.Mutex
	timer   *time.Timer
	waiting bool          // for the response to begin
	due     time.Duration // when it is overdue, by now
	ended   bool
}

func (p *patience) init(limit time.Duration, now func() time.Duration, end func()) {
	p.limit, p.now, p.end = limit, now, end
	if limit > 0 {
		p.timer = time.AfterFunc(limit, p.fire)
		p.timer.Stop()
	}
}

// begin begins the wait for a response.
func (p *patience) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = true
	p.restart()
}

// pause says that it is not for the server to do something, but for the reader
// of the request's body.
func (p *patience) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil && p.waiting {
		p.timer.Stop()
		p.due = never
	}
}

const never = 1<<63 - 1

// resume is the end of pause.
func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restart()
}

func (p *patience) restart() {
	if p.timer != nil && p.waiting && !p.ended {
		p.due = p.now() + p.limit
		p.timer.Reset(p.limit)
	}
}

// over ends the wait and reports whether the request was ended before.
func (p *patience) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.waiting = false
	return p.ended
}

// fire runs when the timer goes off, and may come late: it may find the next
// request.
func (p *patience) fire() {
	p.mu.Lock()
	p.ended = p.ended || p.waiting && p.now() >= p.due
	ended := p.ended
	p.mu.Unlock()
	if ended {
		p.end()
	}
}
