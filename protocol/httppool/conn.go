package httppool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
	tr     *http.Transport   // of this connection alone
	rt     http.RoundTripper // sends on it; tr, if nothing quicker is to be had
	end    func()            // closes it in good order if it is idle
	sock   *socket
	nc     net.Conn // sock, or TLS over it
	http2  bool
	secure bool
	ping   func(context.Context, http.RoundTripper) error

	handed atomic.Bool            // nc was given to tr
	again  atomic.Bool            // it has answered a request
	host   atomic.Pointer[string] // under which tr knows nc
	used   atomic.Int64           // when the last response began, on the alarm's clock
	busy   atomic.Bool            // a request waits for its response; HTTP/1.1 only
	cut    atomic.Bool            // the pool has closed it

	alarm    *alarm   // of all connections of the dialer
	patience patience // HTTP/1.1 only
}

func newConn(ctx context.Context, d *dialer, sock *socket, nc net.Conn) (*Conn, error) {
	c := &Conn{
		sock: sock, nc: nc, http2: d.conf.HTTP2, secure: d.conf.TLS != nil, ping: d.conf.Ping,
		alarm: d.alarm,
	}
	b := d.base
	c.tr = &http.Transport{
		DialContext: c.hand, DialTLSContext: c.hand,
		DisableCompression: b.DisableCompression, ExpectContinueTimeout: b.ExpectContinueTimeout,
		MaxResponseHeaderBytes: b.MaxResponseHeaderBytes, ReadBufferSize: b.ReadBufferSize, WriteBufferSize: b.WriteBufferSize,
		ResponseHeaderTimeout: b.ResponseHeaderTimeout, Protocols: b.Protocols,
	}
	if b.HTTP2 != nil {
		h2 := *b.HTTP2
		c.tr.HTTP2 = &h2
	}
	c.used.Store(int64(d.alarm.now()))
	var err error
	if c.rt, c.end, err = c.single(ctx); err != nil {
		return nil, err
	}
	if !c.http2 {
		c.patience.init(d.conf.Timeout, d.alarm.now, func() { sock.abort(errTimeout) })
	}
	return c, nil
}

// hand gives the connection to the transport when that wants to dial. When it
// wants to again, the connection has ended, and the request that it has in hand
// was not sent, or may be sent twice in its opinion.
func (c *Conn) hand(context.Context, string, string) (net.Conn, error) {
	if c.handed.Swap(true) {
		return nil, errGone
	}
	return c.nc, nil
}

// RoundTrip implements [http.RoundTripper]: it sends the request on this
// connection, once, whatever the host of its URL is.
func (c *Conn) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, _, err := c.roundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Request = req
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
// error it also tells whether a server may have seen anything of the request.
func (c *Conn) roundTrip(req *http.Request) (resp *http.Response, sent bool, err error) {
	req, err = c.address(req)
	if err != nil {
		closeBody(req)
		return nil, false, err
	}
	if !c.http2 {
		if c.busy.Swap(true) {
			closeBody(req)
			return nil, false, errShared
		}
		defer c.busy.Store(false)
		c.patience.begin()
	}
	before := c.sock.written.Load()
	resp, err = c.rt.RoundTrip(req)
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
	// On HTTP/2 others write too, and the transport knows better.
	sent = c.sock.written.Load() != before && !errors.Is(err, errGone)
	return nil, sent, c.reason(req.Context(), err)
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

// address makes the request one that the transport sends on the connection that
// it has: for the same scheme and host always.
func (c *Conn) address(req *http.Request) (*http.Request, error) {
	want := "http"
	if c.secure {
		want = "https"
	}
	if req.URL == nil || req.URL.Scheme != want {
		return req, fmt.Errorf("httppool: the scheme of the URL must be %s, as the pool's connections are", want)
	}
	host := c.host.Load()
	if host == nil {
		name := req.URL.Host
		c.host.CompareAndSwap(nil, &name)
		host = c.host.Load()
	}
	if *host == req.URL.Host {
		return req, nil
	}
	r, u := *req, *req.URL
	u.Host, r.URL = *host, &u
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	return &r, nil
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
	if c.handed.Swap(true) {
		c.end()
		return c.sock.Close()
	}
	if c.ended() {
		return c.sock.Close()
	}
	return c.nc.Close()
}

var (
	_ http.RoundTripper  = (*Conn)(nil)
	_ core.Peeker        = (*Conn)(nil)
	_ core.HealthChecker = (*Conn)(nil)
)
