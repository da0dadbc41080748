package httppool

import (
	"errors"
	"net"
	"sync/atomic"
)

// socket is the connection under a [Conn]. It knows what net/http does not
// tell: whether anything of a request was sent, what ended the connection, and
// that it has ended.
type socket struct {
	net.Conn

	probe *probe // nil when there is no cheap way to look at it

	written atomic.Int64 // bytes
	closed  atomic.Bool
	cause   atomic.Pointer[error] // the first
}

func newSocket(nc net.Conn) *socket { return &socket{Conn: nc, probe: newProbe(nc)} }

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
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

// CloseWrite is for connections that were upgraded.
func (s *socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close may be called again, and does nothing then.
func (s *socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.Conn.Close()
}

// abort closes the connection because of err.
func (s *socket) abort(err error) {
	s.fail(err)
	_ = s.Close() // it is given up
}

// fail notes what ended the connection.
func (s *socket) fail(err error) { s.cause.CompareAndSwap(nil, &err) }

// err returns what ended the connection; nil when nothing has.
func (s *socket) err() error {
	if p := s.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// look tells without waiting whether the peer has ended the connection.
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
