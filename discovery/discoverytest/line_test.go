package discoverytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// linePlace is a registry behind a proxy. It writes each set to whoever is
// connected, an address a line, and a dot after the last.
type linePlace struct {
	list   static.List
	server net.Listener
	proxy  *Proxy
	watch  lineWatch
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// lineWatch reads sets from a connection until that ends, and returns why.
type lineWatch func(r io.Reader, report func([]core.Endpoint)) error

var _ Proxied = (*linePlace)(nil)

func newLinePlace(w lineWatch) (*linePlace, error) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	proxy, err := NewProxy(server.Addr().String())
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &linePlace{server: server, proxy: proxy, watch: w, stop: cancel}
	p.wg.Go(func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(ctx, c) })
		}
	})
	return p, nil
}

func (p *linePlace) serve(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the connection
		_, _ = io.Copy(io.Discard, c)
		cancel()
	}()
	_ = p.list.Watch(ctx, func(set []core.Endpoint) {
		w := bufio.NewWriter(c)
		for _, e := range set {
			fmt.Fprintln(w, e.Addr)
		}
		fmt.Fprintln(w, ".")
		_ = w.Flush()
	})
	_ = c.Close()
}

func (p *linePlace) Proxies() []*Proxy { return []*Proxy{p.proxy} }

func (p *linePlace) Watcher() (core.Watcher, error) { return p, nil }

func (p *linePlace) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", p.proxy.Addr())
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		defer c.Close()
		err = p.watch(c, report)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (p *linePlace) Put(_ context.Context, eps []core.Endpoint) error {
	for _, e := range eps {
		if e.Weight != 0 || e.Zone != "" || len(e.Attrs) > 0 {
			return fmt.Errorf("a line holds an address and nothing else (%w)", errors.ErrUnsupported)
		}
	}
	return p.list.Set(eps...)
}

func (p *linePlace) Close() error {
	p.stop()
	err := errors.Join(p.proxy.Close(), p.server.Close())
	p.wg.Wait()
	return err
}

// untilDot ends a list with its dot.
func untilDot(r io.Reader, report func([]core.Endpoint)) error {
	_, err := readLists(r, report)
	return err
}

// untilEOF takes what came before the end of the connection for a list too.
func untilEOF(r io.Reader, report func([]core.Endpoint)) error {
	rest, err := readLists(r, report)
	if len(rest) > 0 {
		report(rest)
	}
	return err
}

func readLists(r io.Reader, report func([]core.Endpoint)) (rest []core.Endpoint, err error) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if lines.Text() != "." {
			rest = append(rest, core.Endpoint{Addr: lines.Text()})
			continue
		}
		report(rest)
		rest = nil
	}
	return rest, io.ErrUnexpectedEOF
}
