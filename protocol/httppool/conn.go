//go:build go1.26

package httppool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/internal/ctxerr"
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
	// allowed is how many requests the server allows at once; 0 = it does not say.
	allowed int

	reused atomic.Bool  // it has answered a request
	used   atomic.Int64 // when the last response ended, on HTTP/2 began, on the clock of staleness
	busy   atomic.Bool  // a request waits for its response; HTTP/1.1 only
	cut    atomic.Bool  // the pool has closed it

	staleness     *sock.Staleness // of all connections of the dialer
	ctx           *connContext    // HTTP/1.1 only
	headerTimeout headerTimeout   // HTTP/1.1 only
	streams       *streamTimeouts // of all connections of the dialer
}

// newConn hands the connection nc to net/http, which reads from it from now on.
func newConn(ctx context.Context, d *dialer, e core.Endpoint, so *socket, nc net.Conn) (*Conn, error) {
	c := &Conn{
		sock: so, nc: nc, addr: e.Addr, http2: d.conf.HTTP2, secure: d.conf.TLS != nil, ping: d.conf.Ping,
		staleness: d.staleness, streams: d.streams,
	}
	c.used.Store(int64(d.staleness.Now()))
	if c.http2 {
		return c, c.openHTTP2(ctx, d)
	}
	c.ctx = newConnContext(d.watchdog)
	c.headerTimeout.init(d.conf.Timeout, d.staleness.Now, func() { so.abort(errTimeout) })
	var err error
	c.cc, err = d.tr.NewClientConn(context.WithValue(ctx, handedKey{}, nc), c.scheme(), "pool:0")
	return c, err
}

// openHTTP2 exchanges settings with the server. It ends with ctx, even if the peer
// does not read.
func (c *Conn) openHTTP2(ctx context.Context, d *dialer) error {
	settings := newSettingsConn(c.nc)
	var nc net.Conn = settings
	if secure, ok := c.nc.(*tls.Conn); ok {
		nc = secureSettingsConn{settings, secure}
	}
	unlink := context.AfterFunc(ctx, func() { c.sock.abort(context.Cause(ctx)) })
	defer unlink()
	// Whether it is secure is settled: for net/http it is a plain connection.
	var err error
	if c.cc, err = d.tr.NewClientConn(context.WithValue(ctx, handedKey{}, nc), "http", "pool:0"); err != nil {
		if ended := ctx.Err(); ended != nil {
			return ended // the cause of what net/http has met
		}
		return err
	}
	if err := settings.wait(ctx); err != nil {
		_ = c.cc.Close() // never fails
		return err
	}
	c.allowed = settings.streams
	return nil
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
	return cancelable(req, c.exchange)
}

// exchange is RoundTrip of a request without a Cancel.
func (c *Conn) exchange(req *http.Request) (*http.Response, error) {
	out := c.outgoing(req, req.Body, "", 0)
	t := traceOf(req)
	t.gotConn(c, t.getConn(req.URL))
	resp, sent, err := c.roundTrip(out)
	if err != nil {
		outcome, _ := c.judge(req.Context(), out.body, sent, err)
		if out.body == nil {
			closeBody(req)
		} else {
			_ = out.body.failed(false) // which closes it
		}
		e := explain(req, c.addr, 1, outcome, err)
		return nil, &e
	}
	if out.body != nil {
		out.body.answered()
	}
	resp.Request = req
	if !c.http2 {
		endWithBody(resp, c.endRequest)
	}
	return resp, nil
}

// newFor is for how long a connection on which nothing was answered is new. A
// server that closes it within this time does so because it was opened, and later
// because it was idle.
const newFor = 3 * time.Second

// isNew reports whether the connection was opened just now and has never answered.
func (c *Conn) isNew(now time.Duration) bool {
	return !c.reused.Load() && now-time.Duration(c.used.Load()) < newFor
}

// stale returns an error if the connection is known to have ended, as far as that
// can be known without waiting. Unless sure is set it does not always look.
func (c *Conn) stale(now time.Duration, sure bool) error {
	if sure || !c.reused.Load() || c.ended() || c.staleness.Suspect(time.Duration(c.used.Load()), now) {
		if err := c.sock.look(); err != nil {
			c.staleness.Broke(now)
			return err
		}
	}
	return nil
}

// outgoing is a request as it goes to one server.
type outgoing struct {
	ctx     context.Context //nolint:containedctx // of the caller's request
	req     *http.Request   // a copy, since a RoundTripper must not change the caller's
	body    *requestBody    // nil if there is none
	timeout *headerTimeout
	stream  *streamTimeout // HTTP/2 only, which has timeout; nil if there is no limit
	within  time.Duration  // the limit of this attempt; 0: only that of the Config
}

// outgoing makes the request for this connection, with another body and, unless
// host is empty, another Host, whose response must begin within the given time,
// unless that is 0.
func (c *Conn) outgoing(req *http.Request, body io.ReadCloser, host string, within time.Duration) outgoing {
	o := outgoing{ctx: req.Context(), timeout: &c.headerTimeout, within: within}
	empty := body == nil || body == http.NoBody
	if c.http2 {
		o.req = new(http.Request)
		*o.req = *req
		if o.stream = c.streams.begin(o.req, within); o.stream != nil {
			o.timeout = &o.stream.headerTimeout
		}
	} else {
		o.req = req.WithContext(c.ctx) //nolint:contextcheck // it has the values and the end of that of req
	}
	if host != "" {
		o.req.Host = host
	}
	switch {
	case empty:
	case !c.http2 && inMemory(req, body):
		o.req.Body, o.req.GetBody = body, nil
	default:
		o.body = &requestBody{ctx: req.Context(), timeout: o.timeout, body: body, want: req.ContentLength}
		o.req.Body, o.req.GetBody = o.body, nil // net/http must not send the request again by itself
	}
	return o
}

// roundTrip sends the request and waits for the response to begin. sent reports,
// beside an error, whether a server may have processed the request. After a
// response, endRequest must be called when its body has ended.
func (c *Conn) roundTrip(out outgoing) (resp *http.Response, sent bool, err error) {
	if u := out.req.URL; u == nil || u.Scheme != c.scheme() {
		return nil, false, fmt.Errorf("httppool: the scheme of the URL must be %s, as the pool's connections are", c.scheme())
	}
	if !c.http2 {
		if c.busy.Swap(true) {
			return nil, false, errShared
		}
		defer c.busy.Store(false)
		if err := c.sock.settle(out.ctx); err != nil {
			if out.ctx.Err() == nil {
				err = fmt.Errorf("%w: %w", errGone, err)
			}
			return nil, false, err
		}
		c.ctx.begin(out.ctx)
		if c.ctx.Err() != nil && out.ctx.Err() == nil { // by the end of the request before this one
			c.endRequest()
			return nil, false, errGone
		}
	}
	before := c.sock.written.Load()
	out.timeout.start(out.within)
	resp, err = c.cc.RoundTrip(out.req)
	expired := out.timeout.stop()
	if out.stream != nil && out.body == nil && !expired {
		c.streams.end(out.stream)
	}
	switch {
	case err != nil:
		c.endRequest()
	case expired:
		c.endRequest()
		_ = resp.Body.Close() // the connection has been closed under it
	case !c.http2 && out.ctx.Err() != nil && c.ctx.Err() != nil: // likewise, as the response came
		c.endRequest()
		_ = resp.Body.Close()
		err = ctxerr.Of(out.ctx)
	default:
		if c.http2 {
			c.used.Store(int64(c.staleness.Now()))
		}
		if !c.reused.Load() {
			c.reused.Store(true)
		}
		return resp, true, nil
	}
	if expired && out.ctx.Err() == nil {
		return nil, true, errTimeout
	}
	sent = c.sock.written.Load() != before
	if c.http2 { // other requests write too
		err = classifyHTTP2(err)
		sent = sent && !errors.Is(err, errGone) && !errors.Is(err, errRefused) && !errors.Is(err, errInvalid)
	}
	return nil, sent, c.reason(out.ctx, err)
}

// endRequest ends the request on an HTTP/1.1 connection, with the body of its
// response.
func (c *Conn) endRequest() {
	if !c.http2 {
		c.ctx.end()
		c.used.Store(int64(c.staleness.Now()))
	}
}

// reason adds to err what else is known of why the request failed.
func (c *Conn) reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		ended := ctxerr.Of(ctx)
		if errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
			return err
		}
		if errors.Is(ended, err) { // net/http gives the cause alone
			return ended
		}
		return fmt.Errorf("%w: %w", ended, err)
	}
	cause := c.sock.err()
	switch {
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
	case ended != nil && body != nil && body.isLate():
		return balance.OutcomeNeutral, retry.VerdictDone
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

// ended reports whether the connection is closed, or soon will be: net/http closes one
// whose request was canceled in the background.
func (c *Conn) ended() bool {
	return c.sock.closed.Load() || c.sock.err() != nil || !c.http2 && c.ctx.Err() != nil
}

// MaxConcurrentCalls returns how many requests the server of an HTTP/2 connection
// allows at once, 0 if it does not say, and 1 for HTTP/1.1. The pool asks.
func (c *Conn) MaxConcurrentCalls() int {
	if c.http2 {
		return c.allowed
	}
	return 1
}

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
	c.headerTimeout.end()
	_ = c.cc.Close() // never fails
	if !c.http2 {
		c.ctx.cancel(errGone)
		c.ctx.end()
	}
	return c.sock.Close()
}

var (
	_ http.RoundTripper  = (*Conn)(nil)
	_ core.Peeker        = (*Conn)(nil)
	_ core.HealthChecker = (*Conn)(nil)
)
