package httppool

import (
	"errors"
	"net"
	"sync/atomic"
)

// socket is the connection under a [Conn]. It records what net/http keeps to
// itself: whether anything of a request was sent, whether the connection has ended,
// and why.
type socket struct {
	net.Conn

	probe *probe // nil if there is no cheap way to look at the connection

	heard   atomic.Bool  // something was read
	written atomic.Int64 // bytes
	closed  atomic.Bool
	cause   atomic.Pointer[error] // the first
}

func newSocket(nc net.Conn) *socket { return &socket{Conn: nc, probe: newProbe(nc)} }

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
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
	return s.Conn.Close()
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
