//go:build go1.26

package httppool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

const (
	// DefaultTimeout is what a [Config.Timeout] of zero means.
	DefaultTimeout = 30 * time.Second

	// http2Calls is how many requests share a connection of HTTP/2. RFC 9113,
	// section 6.5.2, recommends that servers allow no fewer than 100, and common
	// servers allow 100 to 250. net/http assumes 100 until a server has announced
	// its limit.
	http2Calls = 100

	// pingAfter and pingTimeout hold for silent connections of HTTP/2, unless
	// Config.Base has settings of its own.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
)

// Config says how connections are opened and what is spoken on them. The zero
// Config is HTTP/1.1 over plain TCP.
type Config struct {
	// HTTP2 makes the connections speak HTTP/2: with TLS as agreed by ALPN,
	// without TLS by prior knowledge (h2c). A server that does not speak it cannot
	// be dialed. Up to 100 requests share a connection, which all common servers
	// allow; [core.MaxConcurrentCalls] changes that. Where a server allows fewer,
	// its connections carry fewer. Without HTTP2 the connections speak HTTP/1.1, and
	// each carries one request at a time.
	HTTP2 bool

	// TLS is for servers that speak TLS. The URLs of the requests must begin with
	// https then. Nil means plain connections. NextProtos is ignored. Set its
	// ServerName to the name that all servers prove: without one, whoever writes to
	// the registry chooses the name, and any certificate that RootCAs accept will do.
	TLS *tls.Config

	// ServerName returns the name that a server must prove by its certificate, where
	// one name for all will not do. It should follow from what the program knows, as
	// the name of the service does. An attribute of the endpoint, like its address,
	// is what somebody has written to the registry. Nil and an empty name mean
	// TLS.ServerName, and if that is empty too, the host of the endpoint's address.
	ServerName func(core.Endpoint) string

	// TLSNames are the names that servers may have, such as "echo.example.com" or
	// "*.svc.example.com", where "*" is one label, as in certificates. An endpoint
	// whose name (of ServerName, TLS.ServerName, or else the host of its address)
	// matches none of them cannot be dialed. So a registry cannot choose a name
	// that the program did not foresee. Empty means any name.
	TLSNames []string

	// Timeout bounds how long a server may do nothing: take nothing of the request
	// or, once the request is sent, not begin its response. When it passes, the
	// connection gets no more requests, the server counts as failed, and a request
	// that may be repeated is sent to another server. The time that the reader of
	// the request's body takes does not count. The response's body is not bounded:
	// use the context. Zero means [DefaultTimeout]; negative means no bound.
	Timeout time.Duration

	// Ping asks a server through one of its idle connections whether it still
	// works: every [core.HealthCheckInterval], and when the server was ejected,
	// before a request that must not be repeated probes it. Ping must close the
	// response's body. An error closes the connection. Nil means that idle
	// connections are only checked for having been closed.
	Ping func(ctx context.Context, conn http.RoundTripper) error

	// DialContext opens sockets; network is "tcp" or "unix". Nil means a zero
	// net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Base has further settings: DisableCompression, ExpectContinueTimeout, HTTP2,
	// MaxResponseHeaderBytes, ReadBufferSize and WriteBufferSize. They are copied
	// when the dialer is made; the other fields are ignored, and there are no
	// proxies. A MaxResponseHeaderBytes of zero means 64 KiB, not the 10 MiB of
	// net/http. Nil means zero values, except for an ExpectContinueTimeout of one
	// second, and pings on HTTP/2 connections that were silent for 15 seconds.
	Base *http.Transport
}

// Dial returns the dialer of connections for [core.New], which also validates the
// Config. It sets how many requests share a connection, and [ClassifyError] as
// the pool's classifier, where the options of the pool do not.
func Dial(conf Config) core.Dialer[*Conn] {
	d := &dialer{conf: conf, staleness: sock.NewStaleness(), watchdog: sock.NewWatchdog()}
	switch {
	case conf.Timeout == 0:
		d.conf.Timeout = DefaultTimeout
	case conf.Timeout < 0:
		d.conf.Timeout = 0
	}
	if conf.TLS != nil {
		d.conf.TLS = conf.TLS.Clone()
		d.conf.TLS.NextProtos = []string{"http/1.1"}
		if conf.HTTP2 {
			d.conf.TLS.NextProtos = []string{"h2"}
		}
	}
	d.streams = newStreamTimeouts(d.conf.Timeout, d.staleness.Now)
	d.tr = newTransport(d.conf)
	return d
}

// maxHeader bounds the header of a response, by default: several times what servers
// send, and little enough for each of the attempts of many requests.
const maxHeader = 64 << 10

// newTransport returns the transport that makes a ClientConn of each socket. It
// sends no request itself.
func newTransport(conf Config) *http.Transport {
	t := &http.Transport{
		DialContext: handed, DialTLSContext: handed,
		ExpectContinueTimeout: time.Second, Protocols: new(http.Protocols),
	}
	if b := conf.Base; b != nil {
		t.DisableCompression, t.ExpectContinueTimeout = b.DisableCompression, b.ExpectContinueTimeout
		t.MaxResponseHeaderBytes, t.ReadBufferSize, t.WriteBufferSize = b.MaxResponseHeaderBytes, b.ReadBufferSize, b.WriteBufferSize
		if b.HTTP2 != nil {
			h2 := *b.HTTP2
			t.HTTP2 = &h2
		}
	}
	if t.MaxResponseHeaderBytes == 0 {
		t.MaxResponseHeaderBytes = maxHeader
	}
	t.Protocols.SetHTTP1(!conf.HTTP2)
	t.Protocols.SetUnencryptedHTTP2(conf.HTTP2) // TLS, if any, is below what net/http gets
	if conf.HTTP2 && t.HTTP2 == nil {
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	}
	return t
}

type dialer struct {
	conf      Config
	tr        *http.Transport
	staleness *sock.Staleness
	watchdog  *sock.Watchdog
	streams   *streamTimeouts
}

// MaxConcurrentCalls returns how many requests share a connection; the pool asks.
func (d *dialer) MaxConcurrentCalls() int {
	if d.conf.HTTP2 {
		return http2Calls
	}
	return 1
}

// Classify returns what the error of a call means for its server; the pool asks.
func (d *dialer) Classify(err error) balance.Outcome { return ClassifyError(err) }

// Validate returns the mistakes of the Config. The pool calls it once.
func (d *dialer) Validate() error {
	if d.conf.ServerName != nil && d.conf.TLS == nil {
		return errors.New("httppool: config: ServerName without TLS")
	}
	if err := sock.ValidateNames(d.conf.TLS, d.conf.TLSNames); err != nil {
		return fmt.Errorf("httppool: config: %w", err)
	}
	return nil
}

// Dial implements [core.Dialer].
func (d *dialer) Dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	c, err := d.dial(ctx, e)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, dialTimeoutError{err.Error()}
	default:
		return nil, err
	}
}

func (d *dialer) dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	conf, err := sock.Named(d.tlsFor(e), d.conf.TLSNames, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("httppool: dial %s: %w", e.Addr, err)
	}
	raw, err := sock.Dial(ctx, d.conf.DialContext, e.Addr)
	if err != nil {
		return nil, fmt.Errorf("httppool: dial %s: %w", e.Addr, err)
	}
	so := newSocket(raw)
	var nc net.Conn = so
	if conf != nil {
		tc, err := d.handshake(ctx, so, conf)
		if err != nil {
			return nil, fmt.Errorf("httppool: dial %s: TLS handshake: %w", e.Addr, errors.Join(err, so.Close()))
		}
		nc = tc
		so.heard.Store(false) // of what is said over TLS
	}
	c, err := newConn(ctx, d, e, so, nc)
	if err != nil {
		return nil, fmt.Errorf("httppool: dial %s: %w", e.Addr, errors.Join(err, so.Close()))
	}
	return c, nil
}

// tlsFor returns the configuration for an endpoint, with the name that the program
// has for it. It is nil without TLS.
func (d *dialer) tlsFor(e core.Endpoint) *tls.Config {
	conf := d.conf.TLS
	if d.conf.ServerName != nil {
		if name := d.conf.ServerName(e); name != "" {
			conf = conf.Clone()
			conf.ServerName = name
		}
	}
	return conf
}

// handshake puts TLS over the socket.
func (d *dialer) handshake(ctx context.Context, so *socket, conf *tls.Config) (*tls.Conn, error) {
	tc := tls.Client(so, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		if head, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(head.RecordHeader[:]) == "HTTP/" {
			return nil, fmt.Errorf("%w: %w", http.ErrSchemeMismatch, err)
		}
		return nil, err
	}
	if p := tc.ConnectionState().NegotiatedProtocol; d.conf.HTTP2 && p != "h2" {
		return nil, fmt.Errorf("the server does not speak HTTP/2: ALPN agreed on %q", p)
	}
	return tc, nil
}
