//go:build go1.26

package httppool

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// trace is the hooks of a request, or nil. It calls those that tell of its
// connection as an http.Transport does; net/http calls those of what happens on the
// connection. Dials belong to no request, so nothing calls the hooks of theirs.
type trace struct{ *httptrace.ClientTrace }

func traceOf(req *http.Request) trace { return trace{httptrace.ContextClientTrace(req.Context())} }

// getConn tells that the request is about to ask for a connection, and returns when
// that was, if there are hooks.
func (t trace) getConn(u *url.URL) (asked time.Time) {
	if t.ClientTrace == nil {
		return time.Time{}
	}
	asked = time.Now()
	if t.GetConn == nil {
		return asked
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	t.GetConn(net.JoinHostPort(u.Hostname(), port))
	return asked
}

// gotConn tells that the request has the connection, which it asked for at the
// time asked. One that was in use or being dialed then was not idle.
func (t trace) gotConn(c *Conn, asked time.Time) {
	if t.ClientTrace == nil || t.GotConn == nil {
		return
	}
	info := httptrace.GotConnInfo{Conn: c.nc, Reused: c.reused.Load()}
	used := time.Duration(c.used.Load())
	if c.http2 {
		info.WasIdle = info.Reused && c.cc.InFlight() == 0
	} else {
		info.WasIdle = used <= c.staleness.At(asked)
	}
	if info.WasIdle {
		info.IdleTime = c.staleness.Now() - used
	}
	t.GotConn(info)
}
