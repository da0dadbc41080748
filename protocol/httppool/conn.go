package httppool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Conn is one connection to an HTTP server, opened by the dialer of [Dial].
//
// It is an [http.RoundTripper] itself, for those who lease connections with the
// pool's Get or Do. On HTTP/1.1 it carries one request at a time, whose response
// must have been read to its end before the lease ends; when that was not done,
// or RoundTrip failed, the pool must be told by Discard. On HTTP/2 it is safe
// for concurrent use. [Transport] does all of that.
type Conn struct {
	cc     *http.ClientConn
	sock   *socket
	nc     net.Conn // sock, or TLS over it
	http2  bool
	secure bool
	ping   func(context.Context, http.RoundTripper) error

	again atomic.Bool  // it has answered a request
	used  atomic.Int64 // when the last response began, on the alarm's clock
	busy  atomic.Bool  // a request waits for its response; HTTP/1.1 only
	cut   atomic.Bool  // the pool has closed it

	alarm    *alarm   // of all connections of the dialer
	patience patience // HTTP/1.1 only
}

// newConn makes net/http speak on the connection nc, from now on: it has a
// reader from the beginning.
func newConn(ctx context.Context, d *dialer, sock *socket, nc net.Conn) (*Conn, error) {
	c := &Conn{sock: sock, nc: nc, http2: d.conf.HTTP2, secure: d.conf.TLS != nil, ping: d.conf.Ping, alarm: d.alarm}
	c.used.Store(int64(d.alarm.now()))
	if !c.http2 {
		c.patience.init(d.conf.Timeout, d.alarm.now, func() { sock.abort(errTimeout) })
	}
	var err error
	c.cc, err = d.tr.NewClientConn(context.WithValue(ctx, handed{}, nc), c.scheme(), "pool:0")
	return c, err
}

// handed is the key of the connection that a transport gets when it dials.
type handed struct{}

func hand(ctx context.Context, _, _ string) (net.Conn, error) {
	if nc, ok := ctx.Value(handed{}).(net.Conn); ok {
		return nc, nil
	}
	return nil, errGone // nobody asks
}

func (c *Conn) scheme() string {
	if c.secure {
		return "https"
	}
	return "http"
}

// RoundTrip implements [http.RoundTripper]: it sends the request on this
// connection, once, whatever the host of its URL is.
func (c *Conn) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, _, err := c.roundTrip(req)
	if err != nil {
		closeBody(req) // which may have been done
		return nil, err
	}
	return resp, nil
}

// ready tells whether the connection is still there, as far as that can be known
// without waiting. Unless it must be sure, it does not always look.
func (c *Conn) ready(now time.Duration, sure bool) error {
	if sure || c.sock.closed.Load() || c.sock.err() != nil || now-time.Duration(c.used.Load()) >= rested || c.alarm.raised(now) {
		if err := c.sock.look(); err != nil {
			c.alarm.raise(now)
			return err
		}
	}
	return nil
}

// roundTrip sends the request and waits for the response to begin. With an
// error it also tells whether a server may have looked at the request.
func (c *Conn) roundTrip(req *http.Request) (resp *http.Response, sent bool, err error) {
	if req.URL == nil || req.URL.Scheme != c.scheme() {
		return nil, false, fmt.Errorf("httppool: the scheme of the URL must be %s, as the pool's connections are", c.scheme())
	}
	if !c.http2 {
		if c.busy.Swap(true) {
			return nil, false, errShared
		}
		defer c.busy.Store(false)
		c.patience.begin()
	}
	c.trace(req)
	before := c.sock.written.Load()
	resp, err = c.cc.RoundTrip(req)
	if !c.http2 && c.patience.over() {
		if err == nil {
			_ = resp.Body.Close() // it has been cut off
		}
		return nil, true, errTimeout
	}
	if err == nil {
		c.used.Store(int64(c.alarm.now()))
		if !c.again.Load() {
			c.again.Store(true)
		}
		return resp, true, nil
	}
	sent = c.sock.written.Load() != before
	if c.http2 { // where others write too
		err = unseen(err)
		sent = sent && !errors.Is(err, errGone) && !errors.Is(err, errRefused) && !errors.Is(err, errInvalid)
	}
	return nil, sent, c.reason(req.Context(), err)
}

// trace tells the hooks of a request which connection it has got. The others
// are told by net/http.
func (c *Conn) trace(req *http.Request) {
	t := httptrace.ContextClientTrace(req.Context())
	if t == nil {
		return
	}
	if t.GetConn != nil {
		t.GetConn(req.URL.Host)
	}
	if t.GotConn != nil {
		idle := c.alarm.now() - time.Duration(c.used.Load())
		t.GotConn(httptrace.GotConnInfo{Conn: c.nc, Reused: c.again.Load(), WasIdle: true, IdleTime: idle})
	}
}

// reason says more about why a request failed than err does.
func (c *Conn) reason(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		if errors.Is(err, ended) {
			return err
		}
		return fmt.Errorf("%w: %w", ended, err)
	}
	var t net.Error
	cause := c.sock.err()
	switch {
	case c.http2 && errors.As(err, &t) && t.Timeout():
		return fmt.Errorf("%w: %w", errTimeout, err)
	case cause != nil && !errors.Is(err, cause):
		return fmt.Errorf("%w: %w", err, cause)
	default:
		return err
	}
}

// ended reports whether the connection is of no more use, or soon will be.
func (c *Conn) ended() bool { return c.sock.closed.Load() || c.sock.err() != nil }

// Peek implements [core.Peeker]. It tells without waiting whether the server
// has closed or reset the connection.
func (c *Conn) Peek() error { return c.sock.look() }

// Health implements [core.HealthChecker] with [Config.Ping]. Without one it
// returns nil at once.
func (c *Conn) Health(ctx context.Context) error {
	if c.ping == nil {
		return nil
	}
	return c.ping(ctx, c)
}

// Close closes the connection and makes the requests on it fail.
func (c *Conn) Close() error {
	c.cut.Store(true)
	c.patience.over()
	_ = c.cc.Close() // never fails
	return c.sock.Close()
}

var (
	_ http.RoundTripper  = (*Conn)(nil)
	_ core.Peeker        = (*Conn)(nil)
	_ core.HealthChecker = (*Conn)(nil)
)
