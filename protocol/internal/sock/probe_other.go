//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package sock

import (
	"errors"
	"net"
	"os"
	"time"
)

// Cheap: here, to look at a socket is to wait for it a moment. Only the
// pool does it, with connections that were idle for long.
const Cheap = false

// glance is how long a probe waits for something to read.
const glance = time.Millisecond

// probe looks at a connection by reading with a short deadline. It is not safe
// for concurrent use.
type probe struct{ nc net.Conn }

func newProbe(nc net.Conn) *probe { return &probe{nc} }

// peek reports whether the peer sent a byte, which is lost, or the error that
// a read would meet: io.EOF when the peer has closed.
func (p *probe) peek() (pending bool, err error) {
	var one [1]byte
	n, err := p.read(one[:])
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return n > 0, err
}

// read reads into b what is there, or comes within the glance. When nothing
// does, its error is os.ErrDeadlineExceeded.
func (p *probe) read(b []byte) (int, error) {
	if err := p.nc.SetReadDeadline(time.Now().Add(glance)); err != nil {
		return 0, err
	}
	n, err := p.nc.Read(b)
	_ = p.nc.SetReadDeadline(time.Time{}) // a broken connection fails later
	return n, err
}
