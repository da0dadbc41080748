package netpool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

// DefaultTimeout is the timeout if [Config.Timeout] is zero.
const DefaultTimeout = 5 * time.Second

// DefaultBuffer is the size in bytes if [Config.Buffer] is zero.
const DefaultBuffer = 4096

// DefaultMaxRead is the number of bytes if [Config.MaxRead] is zero.
const DefaultMaxRead = 64 << 20

// Config sets how connections are opened. The zero Config opens plain TCP or unix
// sockets, with keep-alive probes after 15 silent seconds.
type Config struct {
	// TLS is the configuration for servers that speak TLS. Nil means plain
	// connections. Set ServerName to the name that all servers prove. If it is
	// empty, the certificate of each server must be valid for the host of its
	// endpoint's address: whoever writes to the registry chooses the name then, and
	// any certificate that RootCAs accept will do. Unix sockets have no host and need
	// a ServerName.
	TLS *tls.Config

	// TLSNames are the names that servers may have, such as "echo.example.com" or
	// "*.svc.example.com", where "*" is one label, as in certificates. An endpoint
	// whose name (TLS.ServerName, or else the host of its address)
	// matches none of them cannot be dialed. So a registry cannot choose a name
	// that the program did not foresee. Empty means any name.
	TLSNames []string

	// Timeout bounds each call, within the deadline of the caller's context.
	// Zero means [DefaultTimeout]; negative means none.
	Timeout time.Duration

	// Setup is called with each new connection before its first call, such as to
	// log in. [core.DialTimeout] and Timeout bound it. Its error closes the
	// connection and becomes the error of the dial. Nil means no setup. A request
	// with an answer, such as Ping's, is recommended: a server that accepts
	// connections and refuses to serve them then fails the dial and not a call.
	Setup func(c *Conn) error

	// Reset clears what a call has left in the session of its connection: an open
	// transaction, subscriptions, settings. It is called in the background after
	// each call of [Do], or lease of the pool, that leaves the connection in sync,
	// and no other call gets the connection before Reset has returned.
	// [core.DialTimeout] and Timeout bound it. Its error closes the connection.
	// Nil means that the next call finds the session as it was left.
	Reset func(c *Conn) error

	// Ping asks a server on one of its idle connections whether it still works,
	// every [core.HealthCheckInterval]. An error closes the connection. Nil means
	// that the pool only looks whether the server has closed idle connections.
	Ping func(c *Conn) error

	// OneWay means that the protocol has requests without answers: a call whose
	// function returns nil, has sent something and received nothing since, leaves
	// its connection in use. Otherwise the answer could arrive in the next call,
	// so the connection is closed.
	OneWay bool

	// MaxRead bounds what one call reads, in bytes: a server that sends a line
	// without an end must not fill the client's memory. Reading more fails with
	// [ErrMaxRead]. Zero means [DefaultMaxRead], 64 MiB; negative means no bound.
	MaxRead int64

	// Buffer is the size of each of a connection's two buffers in bytes. Zero
	// means [DefaultBuffer]; the least is 16. ReadSlice and ReadLine return lines
	// up to this size whole.
	Buffer int

	// DialContext opens sockets; network is "tcp" or "unix". Nil means a zero
	// net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial returns the dialer of connections for [core.New], which also validates
// the Config. The pool's classifier is [Classify]. A connection carries one call
// at a time: leave [core.MaxConcurrentCalls] at 1. Addresses are "host:port" or
// "unix:/path".
func Dial(conf Config) core.Dialer[*Conn] {
	d := &dialer{conf: conf, dog: sock.NewWatchdog()}
	if d.conf.Timeout == 0 {
		d.conf.Timeout = DefaultTimeout
	}
	if d.conf.MaxRead == 0 {
		d.conf.MaxRead = DefaultMaxRead
	}
	if d.conf.Buffer == 0 {
		d.conf.Buffer = DefaultBuffer
	}
	if conf.Reset != nil {
		return resetter{d}
	}
	return d
}

// resetter is the dialer of connections that are reset after each lease.
type resetter struct{ *dialer }

// Reset calls [Config.Reset]. The pool calls it after each lease.
func (d resetter) Reset(ctx context.Context, c *Conn) error { return c.Call(ctx, d.conf.Reset) }

type dialer struct {
	conf Config
	dog  *sock.Watchdog
}

// minBuffer is the least size that bufio does not raise.
const minBuffer = 16

// Validate reports mistakes in the Config. The pool calls it once.
func (d *dialer) Validate() error {
	if d.conf.Buffer < minBuffer {
		return fmt.Errorf("netpool: config: Buffer is %d bytes, which is less than %d", d.conf.Buffer, minBuffer)
	}
	if err := sock.ValidateNames(d.conf.TLS, d.conf.TLSNames); err != nil {
		return fmt.Errorf("netpool: config: %w", err)
	}
	return nil
}

// Classify is the pool's classifier unless it is given another.
func (d *dialer) Classify(err error) balance.Outcome { return Classify(err) }

// ValidateAfterIdle is the pool's unless it is given another. A look at a socket
// takes less than a microsecond, where it does not wait: then each lease is worth
// one.
func (d *dialer) ValidateAfterIdle() time.Duration {
	if sock.Cheap {
		return 0
	}
	return time.Second
}

// Dial implements [core.Dialer].
func (d *dialer) Dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	conf, err := sock.Named(d.conf.TLS, d.conf.TLSNames, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("netpool: dial %s: %w", e.Addr, err)
	}
	raw, err := sock.Dial(ctx, d.conf.DialContext, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("netpool: dial %s: %w", e.Addr, err)
	}
	s, err := sock.Open(ctx, raw, conf)
	if err != nil {
		return nil, fmt.Errorf("netpool: dial %s: %w", e.Addr, errors.Join(err, raw.Close()))
	}
	c := newConn(s, e, d.conf, d.dog)
	if d.conf.Setup != nil {
		if err := c.Call(ctx, d.conf.Setup); err != nil {
			return nil, fmt.Errorf("netpool: setup of a connection to %s: %w", e.Addr, errors.Join(err, c.Close()))
		}
		c.stream.forget() // a preamble may have no answer
	}
	return c, nil
}
