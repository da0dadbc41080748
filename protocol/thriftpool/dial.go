package thriftpool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/protocol/internal/sock"
)

// DefaultTimeout is the timeout if [Config.Timeout] and Thrift.SocketTimeout are
// zero.
const DefaultTimeout = 5 * time.Second

// Config sets how connections are opened and what they speak. The zero Config
// speaks the binary protocol in frames over plain TCP.
type Config struct {
	// Protocol makes the protocol of each connection. Nil means binary.
	Protocol thrift.TProtocolFactory

	// Transport makes the transport of each connection over a base that is open,
	// buffered in both directions, and bounded by the deadline of the call. It
	// must not use one of Apache's socket transports, which set deadlines of
	// their own. Nil means frames as TFramedTransport has them, or none when
	// Protocol is THeader, which has frames of its own. For servers without
	// frames, use thrift.NewTTransportFactory(): the base needs no
	// TBufferedTransport over it.
	//
	// Apache's TFramedTransport works, and is slower than the default.
	Transport thrift.TTransportFactory

	// Thrift holds the limits of messages and frames, the strictness of the
	// binary protocol and the settings of THeader. It replaces the settings of
	// the factories in each connection; nil means that those hold. ConnectTimeout
	// is ignored: [core.DialTimeout] is used.
	Thrift *thrift.TConfiguration

	// MaxElements bounds the elements of each list, set and map in a reply: code
	// that the compiler generates makes room for all of them before it reads one.
	// Zero means [DefaultMaxElements]; negative means no bound but the size of the
	// reply, where the transport has frames. Structs may be nested 64 deep.
	MaxElements int

	// TLS is the configuration for servers that speak TLS. Nil means
	// Thrift.TLSConfig, and plain connections if that is nil too. Set ServerName to
	// the name that all servers prove. If it is empty, the certificate of each server
	// must be valid for the host of its endpoint's address: whoever writes to the
	// registry chooses the name then, and any certificate that RootCAs accept will do.
	TLS *tls.Config

	// TLSNames are the names that servers may have, such as "echo.example.com" or
	// "*.svc.example.com", where "*" is one label, as in certificates. An endpoint
	// whose name (TLS.ServerName, or else the host of its address)
	// matches none of them cannot be dialed. So a registry cannot choose a name
	// that the program did not foresee. Empty means any name.
	TLSNames []string

	// Timeout bounds each attempt to make a call, within the deadline of the
	// caller's context. When it passes, the server counts as failing, and a call
	// that may be repeated is sent to another. Choose a Timeout longer than the
	// slowest answer worth waiting for, and well below the deadlines of callers, so
	// that it leaves time for another attempt. Zero means Thrift.SocketTimeout, and
	// [DefaultTimeout] if that is zero too; negative means none.
	Timeout time.Duration

	// Ping asks a server on one of its idle connections whether it still works,
	// every [core.HealthCheckInterval]. An error closes the connection. Nil means
	// that the pool only looks whether the server has closed idle connections.
	//
	// Ping also asks a server that outlier detection has ejected, before a call
	// that probes it and must not be repeated. Without Ping the call itself is the
	// probe, and is lost if the server has not recovered.
	Ping func(ctx context.Context, conn *Conn) error

	// DialContext opens sockets; network is "tcp" or "unix". Nil means a zero
	// net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial returns the dialer of connections for [core.New], which also validates
// the Config. The pool's classifier is [Classify]. A connection carries one call
// at a time: leave [core.MaxConcurrentCalls] at 1. It keeps 8 KB for reading and up
// to 64 KB for writing.
func Dial(conf Config) core.Dialer[*Conn] {
	d := &dialer{conf: conf, dog: sock.NewWatchdog(), staleness: sock.NewStaleness(), answers: newAnswers(), timeout: conf.Timeout, tls: conf.TLS}
	if d.tls == nil {
		d.tls = conf.Thrift.GetTLSConfig()
	}
	if d.timeout == 0 {
		d.timeout = conf.Thrift.GetSocketTimeout()
	}
	if d.timeout == 0 {
		d.timeout = DefaultTimeout
	}
	if d.conf.MaxElements == 0 {
		d.conf.MaxElements = DefaultMaxElements
	}
	if d.conf.Protocol == nil {
		d.conf.Protocol = thrift.NewTBinaryProtocolFactoryConf(conf.Thrift)
	}
	return d
}

type dialer struct {
	conf      Config
	tls       *tls.Config
	timeout   time.Duration
	dog       *sock.Watchdog
	staleness *sock.Staleness
	answers   *answers
}

// Validate reports mistakes in the Config. The pool calls it once.
func (d *dialer) Validate() error {
	var errs []error
	if _, err := d.stack(newWire(nil)); err != nil {
		errs = append(errs, err)
	}
	if id := d.conf.Thrift.GetTHeaderProtocolID(); d.conf.Thrift != nil && d.conf.Thrift.THeaderProtocolID != nil && id != *d.conf.Thrift.THeaderProtocolID {
		errs = append(errs, fmt.Errorf("Thrift.THeaderProtocolID %d is unknown", *d.conf.Thrift.THeaderProtocolID))
	}
	if d.conf.TLS != nil && d.conf.Thrift.GetTLSConfig() != nil && d.conf.TLS != d.conf.Thrift.GetTLSConfig() {
		errs = append(errs, errors.New("TLS and Thrift.TLSConfig are different"))
	}
	if err := sock.ValidateNames(d.tls, d.conf.TLSNames); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("thriftpool: config: %w", errors.Join(errs...))
}

// Classify is the pool's classifier unless it is given another.
func (d *dialer) Classify(err error) balance.Outcome { return Classify(err) }

// Dial implements [core.Dialer].
func (d *dialer) Dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	c, err := d.dial(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("thriftpool: dial %s: %w", e.Addr, &transportError{thrift.NOT_OPEN, err})
	}
	return c, nil
}

func (d *dialer) dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	conf, err := sock.Named(d.tls, d.conf.TLSNames, e.Addr)
	if err != nil {
		return nil, err
	}
	raw, err := sock.Dial(ctx, d.conf.DialContext, e.Addr)
	if err != nil {
		return nil, err
	}
	c, err := d.connect(ctx, raw, conf, e)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// connect builds a Conn over an open socket.
func (d *dialer) connect(ctx context.Context, raw net.Conn, conf *tls.Config, e core.Endpoint) (*Conn, error) {
	s, err := sock.Open(ctx, raw, conf)
	if err != nil {
		return nil, err
	}
	c, err := d.stack(newWire(s.Conn))
	if err != nil {
		return nil, err
	}
	c.addr, c.timeout, c.ping, c.sock = e.Addr, d.timeout, d.conf.Ping, s
	if c.frames && d.tls == nil {
		c.wire.waitFor, c.wire.waitsOne = lowWater(raw), true
	}
	c.guard = d.dog.Guard(c.abort)
	c.staleness, c.answers, c.used = d.staleness, d.answers, d.staleness.Now()
	return c, nil
}

// stack builds transport and protocol over w.
func (d *dialer) stack(w *wire) (*Conn, error) {
	c := &Conn{wire: w}
	var trans thrift.TTransport
	if d.conf.Transport == nil {
		c.framed = newFramed(w, d.conf.Thrift)
		trans = c.framed
	} else {
		var err error
		if trans, err = d.conf.Transport.GetTransport(w); err != nil {
			return nil, fmt.Errorf("the Transport factory: %w", err)
		}
		if trans == nil {
			return nil, errors.New("the Transport factory returned nil")
		}
	}
	proto := d.conf.Protocol.GetProtocol(trans)
	if _, ok := proto.(*thrift.THeaderProtocol); ok && c.framed != nil {
		c.framed, trans = nil, w
		proto = d.conf.Protocol.GetProtocol(trans)
	}
	if proto == nil {
		return nil, errors.New("the Protocol factory returned nil")
	}
	if d.conf.Thrift != nil {
		thrift.PropagateTConfiguration(trans, d.conf.Thrift)
		thrift.PropagateTConfiguration(proto, d.conf.Thrift)
	}
	c.proto, c.reading = proto, limits{TProtocol: proto, most: d.conf.MaxElements}
	return c, c.inspect(trans, proto)
}

// inspect sets how to find bytes left over from a reply, and whether requests are
// framed.
func (c *Conn) inspect(trans thrift.TTransport, proto thrift.TProtocol) error {
	over := trans.RemainingBytes
	switch t := trans.(type) {
	case *framed, *thrift.TFramedTransport:
		c.frames = true
	case *thrift.TBufferedTransport:
		over = func() uint64 { return uint64(t.Reader.Buffered()) }
	}
	if h, ok := proto.(*thrift.THeaderProtocol); ok {
		if c.frames {
			return errors.New("THeader has frames of its own: Transport must not add any")
		}
		c.header, c.frames = h, true
		over = h.Transport().RemainingBytes
	}
	c.left = func() bool {
		n := over()
		return n != 0 && n != thrift.UnknownRemainingBytes || c.wire.buffered() > 0
	}
	return nil
}
