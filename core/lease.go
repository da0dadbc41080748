package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Lease is a leased connection. It is a value and costs no allocation; copies
// are the same lease. It must be ended exactly once, with End, Release or
// Discard; ending it again is an error that does no harm, even if the connection
// serves another caller by then. The zero Lease has ended.
type Lease[C io.Closer] struct {
	slot *slots.Slot
	gen  uint64
}

// Conn returns the connection. It must not be used after the lease has ended.
func (l Lease[C]) Conn() C {
	if l.slot == nil {
		var none C
		return none
	}
	c, _ := l.slot.Conn.Value.(C)
	return c
}

// Endpoint returns the server that the connection leads to.
func (l Lease[C]) Endpoint() Endpoint {
	if l.slot == nil {
		return Endpoint{}
	}
	return *subpoolOf(l.slot).endpoint.Load()
}

// Probe reports whether the server is ejected, so that this call finds out
// whether it has recovered. It is for adapters that have a better way to do so
// than a call that must not be lost.
func (l Lease[C]) Probe() bool { return l.slot != nil && subpoolOf(l.slot).Ejected() }

// End ends the lease with the outcome of the call, err, which may be nil: it
// classifies err (see [WithClassifier]), reports that to the balancer and to
// outlier detection, and keeps or closes the connection. It is kept after
// OutcomeOK and OutcomeOverload, unless err is not nil and it is a [Peeker] that
// reports that it is not in order; and after OutcomeNeutral if it is a [Peeker]
// that reports that it is. The latency of the call is measured, from Get to
// End, about once a second and connection: an adapter that times its calls uses
// [Lease.Report], and then [Lease.Release] or [Lease.Discard]. The error is nil or
// [ErrStaleLease].
func (l Lease[C]) End(err error) error {
	if l.slot == nil || !l.slot.Current(l.gen) {
		return ErrStaleLease
	}
	began, ok := l.slot.Began(l.gen)
	if !ok {
		began = notTimed
	}
	_, err = end(subpoolOf(l.slot), l.slot, l.gen, began, err)
	return err
}

// notTimed is when a lease began whose time was not taken.
const notTimed = -1

// end ends a lease, if it lasts, of a call that began then and ended with err,
// and returns what it reports; the error is nil or [ErrStaleLease]. It is End of
// every type of connection.
func end(s *subpool, sl *slots.Slot, gen uint64, began time.Duration, err error) (balance.Report, error) {
	r := balance.Report{At: s.pool.now()}
	if began != notTimed {
		r.Latency = r.At - began
	}
	keep := true
	switch r.Outcome = s.pool.classify(sl, gen, err); r.Outcome {
	case balance.OutcomeOK, balance.OutcomeOverload:
		if err != nil { // the call may have ended in the middle of the answer
			p, ok := sl.Conn.Value.(Peeker)
			keep = !ok || guarded(p.Peek) == nil
		}
	case balance.OutcomeNeutral:
		p, ok := sl.Conn.Value.(Peeker)
		keep = ok && guarded(p.Peek) == nil
	default:
		keep = false
	}
	if sl.Current(gen) {
		s.failedWith(r.Outcome, err)
		s.pool.report(s, r)
	}
	if keep {
		return r, release(sl, gen)
	}
	return r, discard(sl, gen, err)
}

// Report tells the balancer and outlier detection how the call went. It does not
// end the lease and does nothing when the lease has ended. OutcomeDialFailure says
// that the server had closed the connection, a new one, before anything was sent:
// a server that does so repeatedly backs off as after a failed dial.
func (l Lease[C]) Report(r balance.Report) {
	if l.slot != nil && l.slot.Current(l.gen) {
		s := subpoolOf(l.slot)
		if r.Outcome == balance.OutcomeDialFailure {
			s.hungUp(l.slot.Conn)
		}
		r.At = s.pool.now()
		s.pool.report(s, r)
	}
}

// Release ends the lease and gives the connection back. It never blocks. The
// error is nil or [ErrStaleLease].
func (l Lease[C]) Release() error {
	return release(l.slot, l.gen)
}

// release is Release of every type of connection, in one call.
func release(sl *slots.Slot, gen uint64) error {
	if sl == nil {
		return ErrStaleLease
	}
	how := sl.TryRelease(gen)
	if how == slots.Idle {
		return nil
	}
	if how == slots.NotEnded {
		how = sl.End(gen)
	}
	switch how {
	case slots.Idle:
	case slots.ReleasedAwaited:
		subpoolOf(sl).releasedAwaited(sl)
	case slots.Usable:
		s := subpoolOf(sl)
		if s.pool.reset != nil {
			s.reset(sl)
		} else if s.giveBack(sl) {
			// The connection is of no use until the call that has it now runs:
			// where all processors are busy, let it run first. That is a quarter of
			// what a hand-over costs, see docs/decisions.
			runtime.Gosched()
		}
	case slots.MustClose:
		subpoolOf(sl).retire(sl, nil)
	default:
		return ErrStaleLease
	}
	return nil
}

// Discard ends the lease and closes the connection, in the background. cause,
// which may be nil, is why: if it says that the peer closed or reset the
// connection, the endpoint's idle connections, which have likely met the same
// fate, are closed too. The error is nil or [ErrStaleLease].
func (l Lease[C]) Discard(cause error) error {
	if cause != nil && !errors.Is(cause, context.Canceled) && l.slot != nil && l.slot.Current(l.gen) {
		subpoolOf(l.slot).failedWith(balance.OutcomeFailure, cause)
	}
	return discard(l.slot, l.gen, cause)
}

// discard is Discard of every type of connection.
func discard(sl *slots.Slot, gen uint64, cause error) error {
	if sl == nil || sl.End(gen) == slots.Stale {
		return ErrStaleLease
	}
	subpoolOf(sl).lose(sl, cause, brokenByPeer(cause))
	return nil
}

// failedWith remembers the error of a call that failed, for the event of an
// ejection.
func (s *subpool) failedWith(o balance.Outcome, err error) {
	if o == balance.OutcomeFailure && err != nil {
		last := err // allocated here, and not for each call
		s.lastFailure.Store(&last)
	}
}

// record notes who took a lease, for leak detection.
func record(s *subpool, sl *slots.Slot, gen uint64) {
	pcs := make([]uintptr, 32)
	pcs = pcs[:runtime.Callers(4, pcs)]
	sl.Taken.Store(&slots.Taken{At: s.pool.now(), Gen: gen, PCs: pcs})
}

// stack prints the frames of a recorded lease, from the pool's method on.
func stack(pcs []uintptr) string {
	if len(pcs) == 0 {
		return ""
	}
	var b strings.Builder
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if !strings.Contains(f.Function, "/core.(*pool).") {
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}
