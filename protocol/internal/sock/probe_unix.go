//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package sock

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Cheap means that looking at a socket takes less than a microsecond.
const Cheap = true

// probe looks at a socket without waiting: 0.6 us and no allocation, since the
// closures are made once. It is not safe for concurrent use.
//
// It asks the descriptor and not the Conn, whose Read would fail at once when
// the deadline of the last call has passed, and would take what it found.
type probe struct {
	rc   syscall.RawConn
	look func(fd uintptr)
	take func(fd uintptr)
	n    int
	err  error
	one  [1]byte
	buf  []byte // for take
}

// newProbe returns nil when nc has no descriptor.
func newProbe(nc net.Conn) *probe {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	p := &probe{rc: rc}
	p.look = func(fd uintptr) {
		p.n, _, p.err = syscall.Recvfrom(int(fd), p.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
	p.take = func(fd uintptr) {
		p.n, _, p.err = syscall.Recvfrom(int(fd), p.buf, syscall.MSG_DONTWAIT)
	}
	return p
}

// peek reports whether bytes are waiting to be read, or the error that a read
// would meet: io.EOF when the peer has closed.
func (p *probe) peek() (pending bool, err error) {
	n, err := p.try(p.look)
	return n > 0, err
}

// read reads into b what is there. When nothing is, its error is
// os.ErrDeadlineExceeded, which tells TLS to try again later.
func (p *probe) read(b []byte) (int, error) {
	p.buf = b
	n, err := p.try(p.take)
	p.buf = nil
	if n == 0 && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// try runs f on the descriptor. It returns 0 and no error when nothing is there
// to read.
func (p *probe) try(f func(fd uintptr)) (int, error) {
	for {
		if err := p.rc.Control(f); err != nil {
			return 0, err
		}
		switch {
		case p.err == nil && p.n == 0:
			return 0, io.EOF
		case p.err == nil:
			return p.n, nil
		case errors.Is(p.err, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(p.err, syscall.EINTR):
			return 0, os.NewSyscallError("recvfrom", p.err)
		}
	}
}
