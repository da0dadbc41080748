package netpool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

// DefaultTimeout is what a [Config.Timeout] of zero means.
const DefaultTimeout = 5 * time.Second

// DefaultBuffer is what a [Config.Buffer] of zero means.
const DefaultBuffer = 4096

// Config says how connections are opened. The zero Config is plain TCP or unix
// sockets, with keep-alive probes after 15 silent seconds.
type Config struct {
	// TLS is for servers that speak TLS. Nil means plain connections. Where
	// ServerName is empty, each server must prove to be the host of its
	// endpoint's address; a unix socket has none, and needs a ServerName.
	TLS *tls.Config

	// Timeout bounds each call, within the deadline of the caller's context.
	// Zero means [DefaultTimeout]; negative means none.
	Timeout time.Duration

	// Setup is called with each new connection before its first call, such as to
	// greet and to log in. It is bounded by [core.DialTimeout] and Timeout. An
	// error closes the connection and is that of the dial. Nil means nothing.
	Setup func(c *Conn) error

	// Ping asks a server through one of its idle connections whether it still
	// works, every [core.HealthInterval]. An error closes the connection. Nil
	// means that idle connections are only looked at, for having been closed.
	Ping func(c *Conn) error

	// Buffer is the size of each of a connection's two buffers in bytes. Zero
	// means [DefaultBuffer]. The longest line that ReadSlice and ReadLine return
	// whole has this size.
	Buffer int

	// DialContext opens sockets; network is "tcp" or "unix". Nil means a zero
	// net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial returns the dialer of connections for [core.New], which also validates
// the Config. A connection carries one call at a time: leave [core.Share] at 1.
// Addresses are "host:port" or "unix:/path".
func Dial(conf Config) core.Dialer[*Conn] {
	d := &dialer{conf: conf, dog: sock.NewWatchdog()}
	if d.conf.Timeout == 0 {
		d.conf.Timeout = DefaultTimeout
	}
	if d.conf.Buffer == 0 {
		d.conf.Buffer = DefaultBuffer
	}
	return d
}

type dialer struct {
	conf Config
	dog  *sock.Watchdog
}

// smallest is the least buffer that bufio keeps to.
const smallest = 16

// Validate reports what is wrong with the Config. The pool calls it once.
func (d *dialer) Validate() error {
	if d.conf.Buffer < smallest {
		return fmt.Errorf("netpool: config: a Buffer of %d bytes is less than %d", d.conf.Buffer, smallest)
	}
	return nil
}

// Dial implements [core.Dialer].
func (d *dialer) Dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	raw, err := sock.Dial(ctx, d.conf.DialContext, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("netpool: dial %s: %w", e.Addr, err)
	}
	s, err := sock.Open(ctx, raw, d.conf.TLS, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("netpool: dial %s: %w", e.Addr, errors.Join(err, raw.Close()))
	}
	c := newConn(s, e, d.conf, d.dog)
	if d.conf.Setup != nil {
		if err := c.Call(ctx, d.conf.Setup); err != nil {
			return nil, fmt.Errorf("netpool: setup of a connection to %s: %w", e.Addr, errors.Join(err, c.Close()))
		}
	}
	return c, nil
}
