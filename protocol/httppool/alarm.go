package httppool

import (
	"sync/atomic"
	"time"
)

const (
	// rested is how long a connection is idle before a request looks whether
	// its server has closed it.
	rested = time.Millisecond
	// wary is for how long, after a connection broke, every request looks
	// first: a server that shuts down in good order closes each of its
	// connections right behind the last response on it.
	wary = time.Second
)

// alarm tells the connections of a dialer when one of them broke, and the time.
// It is safe for concurrent use.
type alarm struct {
	epoch time.Time
	until atomic.Int64 // nanoseconds since epoch
}

func newAlarm() *alarm { return &alarm{epoch: time.Now()} }

// now is the time since the alarm was made.
func (a *alarm) now() time.Duration { return time.Since(a.epoch) }

func (a *alarm) raise(now time.Duration) { a.until.Store(int64(now + wary)) }

func (a *alarm) raised(now time.Duration) bool { return int64(now) < a.until.Load() }
