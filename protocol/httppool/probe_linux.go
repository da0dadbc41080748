//go:build go1.26

package httppool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// probe looks at a socket without waiting and without reading. A look takes half
// a microsecond and does not allocate, since the closure is made once. A probe is
// safe for concurrent use.
type probe struct {
	rc  syscall.RawConn
	ask func(fd uintptr)

	mu  sync.Mutex
	err error
	one [1]byte
}

// newProbe returns nil if nc has no descriptor.
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
	if _, tcp := nc.(*net.TCPConn); tcp {
		p.ask = func(fd uintptr) { p.err = state(int(fd)) }
	} else {
		p.ask = func(fd uintptr) { p.err = p.peek(int(fd)) }
	}
	return p
}

// look returns io.EOF if the peer has closed the connection, another error if the
// connection has ended otherwise, and nil while it is open.
func (p *probe) look() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.rc.Control(p.ask); err != nil {
		return err
	}
	return p.err
}

// States of a TCP connection, as in <netinet/tcp.h>.
const (
	established = 1
	closeWait   = 8
)

// state checks the state of a TCP connection. Unlike a read that peeks, it sees
// the end behind bytes that wait to be read. On an idle TLS connection these may
// be session tickets as well as the server's goodbye.
func state(fd int) error {
	// The state is the first byte of struct tcp_info. The kernel writes as much of
	// the struct as there is room for.
	v, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return err
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(v))
	switch b[0] {
	case established:
		return nil
	case closeWait:
		return io.EOF
	default:
		return fmt.Errorf("httppool: the connection is in state %d of TCP: %w", b[0], syscall.ECONNRESET)
	}
}

// peek checks a socket that is not TCP's by a read that takes nothing.
func (p *probe) peek(fd int) error {
	for {
		n, _, err := syscall.Recvfrom(fd, p.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil && n == 0:
			return io.EOF
		case err == nil, errors.Is(err, syscall.EAGAIN):
			return nil
		case !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}
