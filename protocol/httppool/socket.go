//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
)

// socket is the connection under a [Conn]. It records what net/http keeps to
// itself: whether anything of a request was sent, whether the connection has ended,
// and why.
type socket struct {
	net.Conn

	probe *probe // nil if there is no cheap way to look at the connection

	// reading means that net/http waits for bytes, hence has taken all that it has
	// read before. awaited, if not nil, is closed when that begins, or the connection
	// ends.
	reading atomic.Bool
	awaited atomic.Pointer[chan struct{}]

	heard   atomic.Bool  // something was read
	written atomic.Int64 // bytes
	closed  atomic.Bool
	cause   atomic.Pointer[error] // the first
}

func newSocket(nc net.Conn) *socket { return &socket{Conn: nc, probe: newProbe(nc)} }

func (s *socket) Read(p []byte) (int, error) {
	s.reading.Store(true)
	s.wake()
	n, err := s.Conn.Read(p)
	s.reading.Store(false)
	if n > 0 && !s.heard.Load() {
		s.heard.Store(true)
	}
	if err != nil {
		s.fail(err)
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	s.written.Add(int64(n))
	if err != nil {
		s.fail(err)
	}
	return n, err
}

// CloseWrite serves connections that were upgraded.
func (s *socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection once; later calls do nothing.
func (s *socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.wake()
	return s.Conn.Close()
}

func (s *socket) wake() {
	if s.awaited.Load() == nil {
		return
	}
	if c := s.awaited.Swap(nil); c != nil {
		close(*c)
	}
}

// settle waits until net/http waits for bytes. Before, it may still have some that the
// server has sent behind the last answer, and would take them for the answer to the
// next request; it closes the connection when it comes upon them. An error means that
// the connection has ended, or ctx. Calls of settle must not overlap.
func (s *socket) settle(ctx context.Context) error {
	if s.reading.Load() {
		return nil
	}
	c := make(chan struct{})
	s.awaited.Store(&c)
	if !s.reading.Load() && !s.closed.Load() { // else it may not be closed
		select {
		case <-c:
		case <-ctx.Done():
			return ctxerr.Of(ctx)
		}
	}
	s.awaited.Store(nil)
	return s.look()
}

// abort closes the connection because of err.
func (s *socket) abort(err error) {
	s.fail(err)
	_ = s.Close() // nothing is lost: the connection has failed
}

// fail records what ended the connection; the first cause counts.
func (s *socket) fail(err error) { s.cause.CompareAndSwap(nil, &err) }

// err returns what ended the connection; nil while nothing has.
func (s *socket) err() error {
	if p := s.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// look returns an error if the connection has ended, without waiting.
func (s *socket) look() error {
	switch err := s.err(); {
	case err != nil:
		return err
	case s.closed.Load():
		return errGone
	case s.probe != nil:
		return s.probe.look()
	default:
		return nil
	}
}
