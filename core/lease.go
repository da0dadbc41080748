package core

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
)

// Lease is a connection on loan. It is a value and costs no allocation; copies
// are the same lease. It must be ended exactly once, with Release or Discard;
// ending it again is an error that harms nobody, even if the connection serves
// another caller by then. The zero Lease has ended.
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
	return *serverOf(l.slot).endpoint.Load()
}

// Trial reports whether the server was ejected, so that this call finds out
// whether it is well again. It is for adapters that have a better way to do so
// than a call that must not be lost.
func (l Lease[C]) Trial() bool { return l.slot != nil && subpool.Of(l.slot).Ejected() }

// Report tells the balancer how the call went. It does not end the lease and
// does nothing when the lease has ended.
func (l Lease[C]) Report(r Report) {
	if l.slot != nil && l.slot.Current(l.gen) {
		s := serverOf(l.slot)
		r.At = s.pool.Now()
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
	if how == slots.Unended {
		how = sl.End(gen)
	}
	if !subpool.Released(sl, how) {
		return ErrStaleLease
	}
	return nil
}

// Discard ends the lease and closes the connection, in the background. cause,
// which may be nil, is why: if it tells that the peer closed or reset the
// connection, the endpoint's idle connections, which have likely met the same
// fate, are closed too. The error is nil or [ErrStaleLease].
func (l Lease[C]) Discard(cause error) error {
	if l.slot == nil || !subpool.Discard(l.slot, l.gen, cause, brokenByPeer(cause)) {
		return ErrStaleLease
	}
	return nil
}

// brokenByPeer reports whether err is what a connection says whose peer is gone.
func brokenByPeer(err error) bool {
	return err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		(errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
			errors.Is(err, syscall.EPIPE)) && !errors.Is(err, net.ErrClosed)
}

// record notes who took a lease, for leak detection.
func record(s *server, sl *slots.Slot, gen uint64) {
	pcs := make([]uintptr, 32)
	pcs = pcs[:runtime.Callers(4, pcs)]
	sl.Taken.Store(&slots.Taken{At: s.pool.Now(), Gen: gen, PCs: pcs})
}
