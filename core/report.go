package core

import (
	"context"
	"errors"
	"time"
)

// Class says what the outcome of a call tells about its server.
type Class uint8

const (
	// OK: the server answered as it should, if only with an error of the
	// application. Do keeps the connection.
	OK Class = iota
	// Failure: the server is at fault: it broke the connection, did not
	// answer in time, answered nonsense. Do discards the connection.
	Failure
	// Overload: the server answered that it has too much to do. Do keeps the
	// connection.
	Overload
	// Ignored: the error says nothing of the server. Do discards the
	// connection, whose state is unknown.
	Ignored
	// Cancelled: the caller gave up before the answer. The time it waited is
	// a lower bound of the latency and nothing else. Do discards the
	// connection, since the answer may still arrive on it.
	Cancelled
	// DialFailure: no connection could be opened. Reported by the pool itself.
	DialFailure
)

// String returns the name of the class in lower case.
func (c Class) String() string {
	switch c {
	case OK:
		return "ok"
	case Failure:
		return "failure"
	case Overload:
		return "overload"
	case Ignored:
		return "ignored"
	case Cancelled:
		return "cancelled"
	case DialFailure:
		return "dial failure"
	default:
		return "unknown class"
	}
}

// Classifier decides what the error of a call tells about its server; err may
// be nil. It must be safe for concurrent use. A classifier that panics counts
// as [Failure].
type Classifier func(err error) Class

// Report is the outcome of one call as the balancer sees it. The zero Report
// says "the server answered" and no more.
type Report struct {
	Class Class
	// Latency is how long the server took; zero when it was not measured.
	Latency time.Duration
	// Load is what the server said of its own load: 0 that it is idle, or
	// nothing; 1 that a call takes about twice as long as it would then, as
	// where one waits before it. [LeastLatency] takes an answer for 1 + Load
	// times as late as it was, so that a server that others keep busy gets less
	// before its latency tells; a Load that is negative or absurd counts for
	// nothing or for 100.
	Load float64
	// At is the time of the report since the pool was made. The pool fills it
	// in.
	At time.Duration
}

// classify is the default Classifier.
func classify(err error) Class {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, context.Canceled):
		return Cancelled
	default:
		return Failure
	}
}

// classify asks the classifier.
func (p *pool) classify(err error) (c Class) {
	defer func() {
		if recover() != nil {
			c = Failure
		}
	}()
	return p.cfg.classify(err)
}
