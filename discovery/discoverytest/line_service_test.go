package discoverytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// lineService is a registry behind a proxy. It writes each set to its clients,
// one address per line, followed by a line with a dot.
type lineService struct {
	list   static.List
	server net.Listener
	proxy  *Proxy
	watch  lineWatch
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

// lineWatch reads sets from a connection until the connection ends, and returns
// why.
type lineWatch func(r io.Reader, report func([]discovery.Endpoint)) error

func newLineService(t *testing.T, w lineWatch) *lineService {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := NewProxy(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &lineService{server: server, proxy: proxy, watch: w, stop: cancel}
	s.wg.Go(func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(ctx, c) })
		}
	})
	return s
}

func (s *lineService) serve(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the connection
		_, _ = io.Copy(io.Discard, c)
		cancel()
	}()
	_ = s.list.Watch(ctx, func(set []discovery.Endpoint) {
		w := bufio.NewWriter(c)
		for _, e := range set {
			fmt.Fprintln(w, e.Addr)
		}
		fmt.Fprintln(w, ".")
		_ = w.Flush()
	})
	_ = c.Close()
}

func (s *lineService) fixture() Fixture {
	return Fixture{
		Watcher: func() (discovery.Watcher, error) { return s, nil },
		Put:     s.put,
		Close:   s.close,
		Proxies: []*Proxy{s.proxy},
	}
}

func (s *lineService) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.proxy.Addr())
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		defer stop()
		defer c.Close()
		err = s.watch(c, report)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *lineService) put(_ context.Context, eps []discovery.Endpoint) error {
	for _, e := range eps {
		if e.Weight != 0 || e.Zone != "" || len(e.Attrs) > 0 {
			return fmt.Errorf("a line has room for an address alone (%w)", errors.ErrUnsupported)
		}
	}
	return s.list.Set(eps...)
}

func (s *lineService) close() error {
	s.stop()
	err := errors.Join(s.proxy.Close(), s.server.Close())
	s.wg.Wait()
	return err
}

// untilDot takes a list as complete when its dot has come.
func untilDot(r io.Reader, report func([]discovery.Endpoint)) error {
	_, err := readLists(r, report)
	return err
}

// untilEOF also takes what came before the end of the connection as a list.
func untilEOF(r io.Reader, report func([]discovery.Endpoint)) error {
	rest, err := readLists(r, report)
	if len(rest) > 0 {
		report(rest)
	}
	return err
}

func readLists(r io.Reader, report func([]discovery.Endpoint)) (rest []discovery.Endpoint, err error) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if lines.Text() != "." {
			rest = append(rest, discovery.Endpoint{Addr: lines.Text()})
			continue
		}
		report(rest)
		rest = nil
	}
	return rest, io.ErrUnexpectedEOF
}
