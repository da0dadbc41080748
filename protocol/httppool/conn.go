package httppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// Conn is one connection to an HTTP server, opened by the dialer of [Dial].
//
// A Conn is an [http.RoundTripper] for those who lease connections with the
// pool's Get, Do or [core.Call]; [Transport] needs none of that. An HTTP/1.1
// connection carries one request at a time, and the response must be read to its
// end before the next request and before the lease ends. An HTTP/2 connection is
// safe for concurrent use.
type Conn struct {
	cc     *http.ClientConn
	sock   *socket
	nc     net.Conn // sock, or TLS over it
	addr   string   // of the endpoint
	http2  bool
	secure bool
	ping   func(context.Context, http.RoundTripper) error

	reused atomic.Bool  // it has answered a request
	used   atomic.Int64 // when the last response began, on the clock of staleness
	busy   atomic.Bool  // a request waits for its response; HTTP/1.1 only
	cut    atomic.Bool  // the pool has closed it

	staleness     *sock.Staleness // of all connections of the dialer
	headerTimeout headerTimeout   // HTTP/1.1 only
}

// newConn hands the connection nc to net/http, which reads from it from now on.
func newConn(ctx context.Context, d *dialer, e core.Endpoint, so *socket, nc net.Conn) (*Conn, error) {
	c := &Conn{
		sock: so, nc: nc, addr: e.Addr, http2: d.conf.HTTP2, secure: d.conf.TLS != nil, ping: d.conf.Ping,
		staleness: d.staleness,
	}
	c.used.Store(int64(d.staleness.Now()))
	if !c.http2 {
		c.headerTimeout.init(d.conf.Timeout, d.staleness.Now, func() { so.abort(errTimeout) })
	}
	var err error
	c.cc, err = d.tr.NewClientConn(context.WithValue(ctx, handedKey{}, nc), c.scheme(), "pool:0")
	return c, err
}

// handedKey is the context key of the connection that a transport gets when it
// dials.
type handedKey struct{}

func handed(ctx context.Context, _, _ string) (net.Conn, error) {
	if nc, ok := ctx.Value(handedKey{}).(net.Conn); ok {
		return nc, nil
	}
	return nil, errGone // nothing dials without the key
}

func (c *Conn) scheme() string {
	if c.secure {
		return "https"
	}
	return "http"
}

// RoundTrip implements [http.RoundTripper]: it sends the request once, on this
// connection, whatever the host of its URL is. Its errors are [*Error]s, whose
// Outcome says whether the server is at fault.
func (c *Conn) RoundTrip(req *http.Request) (*http.Response, error) {
	out, body := c.outgoing(req, req.Body, "")
	resp, sent, err := c.roundTrip(out)
	if err != nil {
		outcome, _ := c.judge(req.Context(), body, sent, err)
		if body == nil {
			closeBody(req)
		} else {
			_ = body.failed(false) // which closes it
		}
		e := explain(req, c.addr, 1, outcome, err)
		return nil, &e
	}
	if body != nil {
		body.answered()
	}
	resp.Request = req
	return resp, nil
}

// stale returns an error if the connection is known to have ended, as far as that
// can be known without waiting. Unless sure is set it does not always look.
func (c *Conn) stale(now time.Duration, sure bool) error {
	if sure || c.ended() || c.staleness.Suspect(time.Duration(c.used.Load()), now) {
		if err := c.sock.look(); err != nil {
			c.staleness.Broke(now)
			return err
		}
	}
	return nil
}

// outgoing returns the request as it goes to the server: the caller's own unless
// it has a body or gets another Host, since a RoundTripper must not change it.
func (c *Conn) outgoing(req *http.Request, body io.ReadCloser, host string) (*http.Request, *requestBody) {
	empty := body == nil || body == http.NoBody
	if empty && host == "" {
		return req, nil
	}
	o := &outgoing{req: *req}
	if host != "" {
		o.req.Host = host
	}
	if empty {
		return &o.req, nil
	}
	o.body.conn, o.body.body, o.body.want = c, body, req.ContentLength
	o.req.Body = &o.body
	o.req.GetBody = nil // net/http must not send the request again by itself
	return &o.req, &o.body
}

// roundTrip sends the request and waits for the response to begin. sent reports,
// beside an error, whether a server may have processed the request.
func (c *Conn) roundTrip(req *http.Request) (resp *http.Response, sent bool, err error) {
	if req.URL == nil || req.URL.Scheme != c.scheme() {
		return nil, false, fmt.Errorf("httppool: the scheme of the URL must be %s, as the pool's connections are", c.scheme())
	}
	if !c.http2 {
		if c.busy.Swap(true) {
			return nil, false, errShared
		}
		defer c.busy.Store(false)
		c.headerTimeout.start()
	}
	c.trace(req)
	before := c.sock.written.Load()
	resp, err = c.cc.RoundTrip(req)
	if !c.http2 && c.headerTimeout.stop() {
		if err == nil {
			_ = resp.Body.Close() // the connection has been closed under it
		}
		return nil, true, errTimeout
	}
	if err == nil {
		c.used.Store(int64(c.staleness.Now()))
		if !c.reused.Load() {
			c.reused.Store(true)
		}
		return resp, true, nil
	}
	sent = c.sock.written.Load() != before
	if c.http2 { // other requests write too
		err = classifyHTTP2(err)
		sent = sent && !errors.Is(err, errGone) && !errors.Is(err, errRefused) && !errors.Is(err, errInvalid)
	}
	return nil, sent, c.reason(req.Context(), err)
}

// trace calls the hooks of a request that name its connection. net/http calls the
// others.
func (c *Conn) trace(req *http.Request) {
	t := httptrace.ContextClientTrace(req.Context())
	if t == nil {
		return
	}
	if t.GetConn != nil {
		t.GetConn(req.URL.Host)
	}
	if t.GotConn != nil {
		idle := c.staleness.Now() - time.Duration(c.used.Load())
		t.GotConn(httptrace.GotConnInfo{Conn: c.nc, Reused: c.reused.Load(), WasIdle: true, IdleTime: idle})
	}
}

// reason adds to err what else is known of why the request failed.
func (c *Conn) reason(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		if errors.Is(err, ended) {
			return err
		}
		return fmt.Errorf("%w: %w", ended, err)
	}
	cause := c.sock.err()
	switch {
	case c.http2 && isTimeout(err):
		return fmt.Errorf("%w: %w", errTimeout, err)
	case cause != nil && !errors.Is(err, cause):
		return fmt.Errorf("%w: %w", err, cause)
	default:
		return err
	}
}

// judge says what a request without a response means for its server, and whether
// it may be sent again, its body apart.
func (c *Conn) judge(ctx context.Context, body *requestBody, sent bool, err error) (balance.Outcome, retry.Verdict) {
	outcome := balance.OutcomeFailure
	if c.cut.Load() {
		outcome = balance.OutcomeNeutral // the pool has closed it, at the end of a drain
	}
	broken := c.ended()
	switch ended := ctx.Err(); {
	case errors.Is(ended, context.Canceled):
		return balance.OutcomeCanceled, retry.VerdictDone
	case ended != nil:
		return balance.OutcomeFailure, retry.VerdictDone
	case body != nil && body.err() != nil: // the body is at fault
		return balance.OutcomeNeutral, retry.VerdictDone
	case errors.Is(err, errRefused):
		return balance.OutcomeOverload, retry.VerdictRefused
	case !sent && (broken || errors.Is(err, errGone)):
		return balance.OutcomeNeutral, retry.VerdictStale
	case !sent: // the request is at fault
		return balance.OutcomeNeutral, retry.VerdictDone
	case broken && !isTimeout(err) && c.reused.Load():
		return outcome, retry.VerdictWorn
	default:
		return outcome, retry.VerdictFailed
	}
}

// ended reports whether the connection is closed, or soon will be.
func (c *Conn) ended() bool { return c.sock.closed.Load() || c.sock.err() != nil }

// Peek implements [core.Peeker]. It reports without waiting whether the server
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

// Close closes the connection. The requests on it fail.
func (c *Conn) Close() error {
	c.cut.Store(true)
	c.headerTimeout.stop()
	_ = c.cc.Close() // never fails
	return c.sock.Close()
}

var (
	_ http.RoundTripper  = (*Conn)(nil)
	_ core.Peeker        = (*Conn)(nil)
	_ core.HealthChecker = (*Conn)(nil)
)
