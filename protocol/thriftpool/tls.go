package thriftpool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/minicaptain/multi_connection_pool/core"
)

// tlsSocket is the socket under a TLS connection. It can make TLS read what
// has arrived without waiting for more.
type tlsSocket struct {
	net.Conn

	probe    *probe
	glancing bool
}

func (s *tlsSocket) Read(b []byte) (int, error) {
	if s.glancing {
		return s.probe.read(b)
	}
	return s.Conn.Read(b)
}

// drain tells whether an idle TLS connection on whose socket bytes are waiting
// is still sound. The bytes say nothing before they are decrypted: after a
// handshake of TLS 1.3 they are session tickets, which are fine and are taken
// in; from a server that closes they are its goodbye.
func (s *tlsSocket) drain(tc *tls.Conn) error {
	s.glancing = true
	defer func() { s.glancing = false }()
	var one [1]byte
	n, err := tc.Read(one[:])
	switch {
	case n > 0:
		return errLeftover
	case errors.Is(err, os.ErrDeadlineExceeded): // of the probe: no more is there
		return nil
	default:
		return err
	}
}

// handshake puts TLS over nc.
func handshake(ctx context.Context, nc net.Conn, p *probe, conf *tls.Config, e core.Endpoint) (*tls.Conn, *tlsSocket, error) {
	if conf.ServerName == "" && !conf.InsecureSkipVerify {
		host, _, err := net.SplitHostPort(e.Addr)
		if err != nil {
			return nil, nil, fmt.Errorf("no ServerName to verify the certificate with: %w", err)
		}
		conf = conf.Clone()
		conf.ServerName = host
	}
	s := &tlsSocket{Conn: nc, probe: p}
	tc := tls.Client(s, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, s, nil
}
