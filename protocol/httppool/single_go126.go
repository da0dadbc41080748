//go:build go1.26 && !httppool_go125

package httppool

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"time"
)

// single returns what sends requests on nc alone, and closes it. The transport
// of an HTTP/1.1 connection is left out of the way of its requests, which saves
// a tenth of their cost, and nc has a reader from the beginning.
//
// HTTP/2 stays with the transport, which knows whether a request can have been
// looked at by a server that refused or went away, and says so only by asking
// for another connection.
func (c *Conn) single(ctx context.Context) (http.RoundTripper, func(), error) {
	if c.http2 {
		// More requests than the server allows wait; they ask for no other
		// connection.
		c.tr.HTTP2.StrictMaxConcurrentRequests = true
		return c.tr, c.tr.CloseIdleConnections, nil
	}
	scheme := "http"
	if c.secure {
		scheme = "https"
	}
	cc, err := c.tr.NewClientConn(ctx, scheme, "pool:0") // hand does not look at the address
	if err != nil {
		return nil, nil, err
	}
	return &traced{cc, c}, func() { _ = cc.Close() }, nil
}

// traced tells the hooks of a request which connection it has got, as the
// transport would.
type traced struct {
	cc   *http.ClientConn
	conn *Conn
}

func (t *traced) RoundTrip(req *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
		if trace.GetConn != nil && req.URL != nil {
			trace.GetConn(req.URL.Host)
		}
		if trace.GotConn != nil {
			idle := t.conn.alarm.now() - time.Duration(t.conn.used.Load())
			trace.GotConn(httptrace.GotConnInfo{Conn: t.conn.nc, Reused: t.conn.again.Load(), WasIdle: true, IdleTime: idle})
		}
	}
	return t.cc.RoundTrip(req)
}
