package thriftpool

import (
	"sync/atomic"
	"time"
)

const (
	// rested is how long a connection is idle before a call looks whether its
	// server has closed it. A look costs 0.6 us, some 4 % of what a call in
	// a busy loop does, and is rarely of use there: the first call that finds a
	// connection closed makes the pool drop the idle ones of that server.
	rested = time.Millisecond
	// wary is for how long, after a connection broke, every call looks first: a
	// server that shuts down in good order closes each of its connections right
	// behind the last reply on it.
	wary = time.Second
)

// alarm tells the connections of a dialer when one of them broke. It is safe
// for concurrent use.
type alarm struct {
	epoch time.Time
	until atomic.Int64 // nanoseconds since epoch
}

func newAlarm() *alarm { return &alarm{epoch: time.Now()} }

func (a *alarm) raise(now time.Time) { a.until.Store(int64(now.Sub(a.epoch) + wary)) }

func (a *alarm) raised(now time.Time) bool { return int64(now.Sub(a.epoch)) < a.until.Load() }
