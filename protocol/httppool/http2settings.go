//go:build go1.26

package httppool

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

// settingsConn is a connection of HTTP/2. It reads along until it knows the first
// frame of the server, its settings (RFC 9113, section 3.4). They say how many
// requests the server allows at once, which net/http keeps to itself.
type settingsConn struct {
	net.Conn // the socket, or TLS over it

	// What follows belongs to the reader until known is closed.

	head    []byte // the beginning of what was read
	known   chan struct{}
	settled bool // known is closed
	err     error
	streams int // that the server allows at once; 0 = it does not say
}

const (
	frameHead       = 9 // bytes
	settingsFrame   = 4
	settingBytes    = 6
	settingStreams  = 3       // SETTINGS_MAX_CONCURRENT_STREAMS
	maxSettingsSize = 1 << 14 // of a frame, unless the client allows more
)

func newSettingsConn(nc net.Conn) *settingsConn {
	return &settingsConn{Conn: nc, known: make(chan struct{})}
}

// Read implements net.Conn for the one goroutine of net/http that reads.
func (c *settingsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.settled {
		c.head = append(c.head, p[:n]...)
		c.settle(err)
	}
	return n, err
}

// settle looks for the settings in what was read; err is that of the last read.
func (c *settingsConn) settle(err error) {
	switch size := 0; {
	case len(c.head) < frameHead && err != nil:
		c.err = fmt.Errorf("the server sent no settings: %w", err)
	case len(c.head) < frameHead:
		return
	default:
		size = int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
		if c.head[3] != settingsFrame || size > maxSettingsSize {
			c.err = errNotHTTP2
			break
		}
		if len(c.head) < frameHead+size {
			if err == nil {
				return
			}
			c.err = err
			break
		}
		for s := c.head[frameHead : frameHead+size]; len(s) >= settingBytes; s = s[settingBytes:] {
			if binary.BigEndian.Uint16(s) == settingStreams {
				// A server that allows none for the moment will allow some.
				c.streams = max(1, int(min(binary.BigEndian.Uint32(s[2:]), 1<<30)))
			}
		}
	}
	c.settled, c.head = true, nil
	close(c.known)
}

// wait waits until the settings are known, and returns why they will never be.
func (c *settingsConn) wait(ctx context.Context) error {
	select {
	case <-c.known:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("the server sent no settings: %w", context.Cause(ctx))
	}
}

// secureSettingsConn is a settingsConn over TLS. net/http asks for the state, for
// the TLS of responses.
type secureSettingsConn struct {
	*settingsConn

	secure *tls.Conn
}

func (c secureSettingsConn) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }

// errNotHTTP2 means that what the server sent first is not HTTP/2.
var errNotHTTP2 = errors.New("the server does not speak HTTP/2")
