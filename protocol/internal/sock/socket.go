// Package sock is what the adapters of protocols do with a socket beyond reading
// and writing: look whether its server is done with it, speak TLS on it, and end
// what blocks on it when a context is cancelled.
package sock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// ErrUnasked means that the server has sent bytes that no call asked for.
var ErrUnasked = errors.New("the server sent something unasked")

// Dial opens a socket to the address of an endpoint, "host:port" or
// "unix:/path". A nil dial is that of a zero net.Dialer, which keeps the
// connection alive by probes every 15 seconds.
func Dial(
	ctx context.Context, dial func(ctx context.Context, network, addr string) (net.Conn, error), addr string,
) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, network, addr)
}

// Socket is an open connection, plain or with TLS.
type Socket struct {
	// Raw is the connection to the peer, Conn what is read and written: Raw, or
	// TLS over it.
	Raw, Conn net.Conn

	probe  *probe // nil when Raw has no descriptor
	layer  *layer // nil without TLS
	secure *tls.Conn
}

// Open makes a socket of a connection, with a TLS handshake unless conf, which is of
// [Named], is nil. After an error the caller still owns raw.
func Open(ctx context.Context, raw net.Conn, conf *tls.Config) (*Socket, error) {
	s := &Socket{Raw: raw, Conn: raw, probe: newProbe(raw)}
	if conf == nil {
		return s, nil
	}
	s.layer = &layer{Conn: raw, probe: s.probe}
	s.secure = tls.Client(s.layer, conf)
	if err := s.secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", s.layer.explain(err))
	}
	s.Conn = s.secure
	return s, nil
}

// Peek tells whether an idle connection is still sound, without waiting where
// that is [Cheap]: its error is ErrUnasked, or what a read would meet, such as
// io.EOF. Of a connection without a descriptor it knows nothing bad. Nobody may
// read meanwhile, and where it is not cheap it ends the deadline for reading.
func (s *Socket) Peek() error {
	if s.probe == nil {
		return nil
	}
	if Cheap || s.secure == nil {
		if pending, err := s.probe.peek(); err != nil || !pending {
			return err
		}
	}
	if s.secure == nil {
		return ErrUnasked
	}
	return s.layer.drain(s.secure)
}

// layer is the socket under a TLS connection. It can make TLS read what has
// arrived without waiting for more.
type layer struct {
	net.Conn

	probe    *probe
	glancing bool
	answered bool // by a byte at least
}

func (l *layer) Read(b []byte) (int, error) {
	if l.glancing {
		return l.probe.read(b)
	}
	n, err := l.Conn.Read(b)
	l.answered = l.answered || n > 0
	return n, err
}

// drain tells whether an idle TLS connection on whose socket bytes are waiting
// is still sound. The bytes say nothing before they are decrypted: after a
// handshake of TLS 1.3 they are session tickets, which are fine and are taken
// in; from a server that closes they are its goodbye.
func (l *layer) drain(tc *tls.Conn) error {
	l.glancing = true
	defer func() { l.glancing = false }()
	var one [1]byte
	n, err := tc.Read(one[:])
	switch {
	case n > 0:
		return ErrUnasked
	case errors.Is(err, os.ErrDeadlineExceeded): // of the probe: no more is there
		return nil
	default:
		return err
	}
}
