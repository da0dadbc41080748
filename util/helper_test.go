package util_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/util"
)

// server answers each line with its address and the line.
type server struct {
	addr     string
	ln       net.Listener
	accepted atomic.Int64

	mu        sync.Mutex
	conns     []net.Conn
	accepting sync.WaitGroup
	all       sync.WaitGroup // connections
}

// serve starts a server on loopback that stops when the test ends.
func serve(tb testing.TB) *server {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{addr: ln.Addr().String()}
	s.listen(ln)
	tb.Cleanup(s.stop)
	return s
}

// listen accepts connections until stop.
func (s *server) listen(ln net.Listener) {
	s.mu.Lock()
	s.ln = ln
	s.mu.Unlock()
	s.accepting.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.mu.Unlock()
			s.all.Go(func() {
				defer nc.Close()
				for lines := bufio.NewScanner(nc); lines.Scan(); {
					fmt.Fprintf(nc, "%s %s\n", s.addr, lines.Text())
				}
			})
		}
	})
}

// stop closes the listener and every connection. It may be called again.
func (s *server) stop() {
	s.mu.Lock()
	_ = s.ln.Close()
	s.mu.Unlock()
	s.accepting.Wait() // or a connection that is being accepted would live on
	s.mu.Lock()
	for _, nc := range s.conns {
		_ = nc.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

// client is a connection as programs for the first version have them: callers reach
// its own methods by a type assertion.
type client struct {
	nc net.Conn
	r  *bufio.Reader
}

// factory is a [util.Factory] of clients.
type factory struct {
	server   string
	timeout  time.Duration
	tryCount int
}

func newFactory(server string, timeout time.Duration, tryCount int) util.Factory {
	return factory{server, timeout, tryCount}
}

func (f factory) NewConnection() (util.Conn, error) {
	var errs []error
	for range f.tryCount {
		nc, err := net.DialTimeout("tcp", f.server, f.timeout)
		if err == nil {
			return &client{nc, bufio.NewReader(nc)}, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (c *client) Hello(name string) (string, error) {
	if _, err := fmt.Fprintln(c.nc, name); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (c *client) Close() error { return c.nc.Close() }

func (c *client) Health() error {
	_, err := c.Hello("ping")
	return err
}

// hello makes one call as the first version's front did.
func hello(p *util.MultiPool, name string) (string, error) {
	conn, server, err := p.Get()
	if err != nil {
		return "", err
	}
	answer, err := conn.(*client).Hello(name)
	return answer, errors.Join(err, p.Put(conn, server, err != nil))
}

// fake is a connection to nowhere.
type fake struct {
	server    string
	unhealthy atomic.Bool
	closed    atomic.Bool
	users     atomic.Int64
}

func (f *fake) Close() error {
	if f.closed.Swap(true) {
		return errors.New("closed twice")
	}
	return nil
}

func (f *fake) Health() error {
	if f.unhealthy.Load() {
		return errors.New("unhealthy")
	}
	return nil
}

// dial is a [util.Factory].
type dial func() (util.Conn, error)

func (d dial) NewConnection() (util.Conn, error) { return d() }

func fakes(server string, _ time.Duration, _ int) util.Factory {
	return dial(func() (util.Conn, error) { return &fake{server: server}, nil })
}

func start(tb testing.TB, p *util.MultiPool) {
	tb.Helper()
	if err := p.InitFromServerList(); err != nil {
		tb.Fatal(err)
	}
}

func stop(tb testing.TB, p *util.MultiPool) {
	tb.Helper()
	if err := p.Close(); err != nil {
		tb.Error(err)
	}
}

func get(tb testing.TB, p *util.MultiPool) (*fake, string) {
	tb.Helper()
	conn, server, err := p.Get()
	if err != nil {
		tb.Fatal(err)
	}
	return conn.(*fake), server
}

func put(tb testing.TB, p *util.MultiPool, conn util.Conn, server string) {
	tb.Helper()
	if err := p.Put(conn, server, false); err != nil {
		tb.Error(err)
	}
}

// stale checks that err is that of a Put that was refused.
func stale(tb testing.TB, err error) {
	tb.Helper()
	if !errors.Is(err, core.ErrStaleLease) {
		tb.Errorf("Put returned %v", err)
	}
}
