package discoverytest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy is a TCP proxy in front of one server. A test uses it to disturb the
// connections between a client and a registry, and to count their traffic. A
// Proxy forwards bytes unchanged in both directions.
//
// A new Proxy forwards everything. [Proxy.Cut], [Proxy.Hang] and
// [Proxy.CutAfter] disturb it until [Proxy.Heal]. A Cut ends a Hang, and a Hang
// ends a Cut. All methods are safe for concurrent use, and none waits for the
// client or the server.
type Proxy struct {
	server string
	addr   string
	ctx    context.Context //nolint:containedctx // from NewProxy to Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines of the proxy

	mu       sync.Mutex
	listener net.Listener // nil while connections are refused
	links    map[*link]struct{}
	flow     chan struct{} // closed while the proxy forwards bytes
	traffic  Traffic
	cut      chan struct{} // what CutAfter returned; nil for no limit
	left     int64         // the bytes that may still come from the server before the cut
}

// Traffic counts what a [Proxy] has forwarded since NewProxy.
type Traffic struct {
	Connections int64 // connections that clients have made
	Open        int   // connections that are open now
	ToServer    int64 // bytes forwarded to the server
	FromServer  int64 // bytes forwarded to clients
}

// NewProxy returns a proxy that listens on a free port of 127.0.0.1. server is
// "host:port" and may be down: the proxy connects to it once for each
// connection of a client, and closes the client's connection if that fails.
func NewProxy(server string) (*Proxy, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		server: server, addr: "127.0.0.1:0", ctx: ctx, cancel: cancel,
		links: make(map[*link]struct{}), flow: make(chan struct{}),
	}
	close(p.flow)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.acceptLocked(); err != nil {
		cancel()
		return nil, err
	}
	p.addr = p.listener.Addr().String()
	return p, nil
}

// Addr returns the address of the proxy, "127.0.0.1:port". It never changes.
func (p *Proxy) Addr() string { return p.addr }

// Traffic returns the counts so far.
func (p *Proxy) Traffic() Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.traffic
	t.Open = len(p.links)
	return t
}

// Cut closes all connections and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuseLocked()
	p.breakLocked()
	p.passLocked(true)
}

// Hang keeps connections open and accepts new ones, but forwards nothing in
// either direction, not even the end of a connection. Heal forwards what was
// sent meanwhile, as after a pause of the network. Hang returns the same error
// as Heal.
func (p *Proxy) Hang() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passLocked(false)
	return p.acceptLocked()
}

// CutAfter forwards n more bytes from the server, over all connections
// together. Instead of the next byte, it closes all connections and the
// returned channel. New connections work. A later CutAfter replaces an earlier
// one, whose channel stays open.
func (p *Proxy) CutAfter(n int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.cut = n, make(chan struct{})
	return p.cut
}

// Break closes all connections. New ones work as before.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakLocked()
}

// Heal ends the effects of Cut, Hang and CutAfter. It returns an error if the
// proxy cannot listen any more: another process has taken the port during a
// Cut, or the proxy is closed ([net.ErrClosed]).
func (p *Proxy) Heal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = nil
	p.passLocked(true)
	return p.acceptLocked()
}

// Close closes all connections and the listener, and waits for all goroutines
// of the proxy. A second Close does nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.cancel()
	p.refuseLocked()
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

func (p *Proxy) acceptLocked() error {
	if p.listener != nil {
		return nil
	}
	if p.ctx.Err() != nil {
		return fmt.Errorf("discoverytest: proxy in front of %s: %w", p.server, net.ErrClosed)
	}
	var config net.ListenConfig
	listener, err := config.Listen(p.ctx, "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("discoverytest: proxy in front of %s: %w", p.server, err)
	}
	p.listener = listener
	p.wg.Go(func() { p.accept(listener) }) // ends with the listener; Close waits
	return nil
}

func (p *Proxy) refuseLocked() {
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

func (p *Proxy) breakLocked() {
	for l := range p.links {
		l.cancel()
	}
}

func (p *Proxy) passLocked(on bool) {
	select {
	case <-p.flow:
		if !on {
			p.flow = make(chan struct{})
		}
	default:
		if on {
			close(p.flow)
		}
	}
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.listener != listener { // the proxy has refused connections or closed since
			p.mu.Unlock()
			_ = c.Close()
			return
		}
		l := &link{proxy: p, client: c}
		l.ctx, l.cancel = context.WithCancel(p.ctx)
		p.links[l] = struct{}{}
		p.traffic.Connections++
		p.wg.Go(l.run) // ends when the link is closed; Close waits
		p.mu.Unlock()
	}
}

// link is a connection of a client and its connection to the server.
type link struct {
	proxy  *Proxy
	client net.Conn
	ctx    context.Context //nolint:containedctx // the life of the link
	cancel context.CancelFunc
}

func (l *link) run() {
	defer l.forget()
	server, err := l.dial()
	if err != nil {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(server, l.client, l.toServer) })
	pumps.Go(func() { l.pump(l.client, server, l.fromServer) })
	<-l.ctx.Done()
	_ = l.client.Close() // wakes the pumps
	_ = server.Close()
	pumps.Wait()
}

// dial connects to the server, as soon as the proxy forwards.
func (l *link) dial() (net.Conn, error) {
	if !l.flows() {
		return nil, l.ctx.Err()
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return dialer.DialContext(l.ctx, "tcp", l.proxy.server)
}

func (l *link) forget() {
	l.cancel()
	_ = l.client.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.links, l)
}

// pump forwards what src sends. count returns how many of n received bytes to
// forward, and the channel of CutAfter if the cut follows them. The end of a
// pump ends the link.
func (l *link) pump(dst, src net.Conn, count func(n int) (pass int, cut chan struct{})) {
	defer l.cancel()
	buf := make([]byte, 32<<10)
	for {
		n, rerr := src.Read(buf)
		if !l.flows() {
			return
		}
		pass, cut := count(n)
		if _, err := dst.Write(buf[:pass]); err != nil {
			return
		}
		if cut != nil {
			l.proxy.cutNow(cut)
			return
		}
		if rerr != nil {
			return
		}
	}
}

// flows waits until the proxy forwards bytes. It returns false if the link was
// closed before.
func (l *link) flows() bool {
	l.proxy.mu.Lock()
	flow := l.proxy.flow
	l.proxy.mu.Unlock()
	select {
	case <-flow:
		return l.ctx.Err() == nil
	case <-l.ctx.Done():
		return false
	}
}

func (l *link) toServer(n int) (int, chan struct{}) {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traffic.ToServer += int64(n)
	return n, nil
}

func (l *link) fromServer(n int) (int, chan struct{}) {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	var cut chan struct{}
	if p.cut != nil {
		if int64(n) > p.left {
			n, cut = int(p.left), p.cut
		}
		p.left -= int64(n)
	}
	p.traffic.FromServer += int64(n)
	return n, cut
}

// cutNow closes all connections and cut, unless another link has done so or
// Heal has canceled it.
func (p *Proxy) cutNow(cut chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == cut {
		p.cut = nil
		p.breakLocked()
		close(cut)
	}
}
