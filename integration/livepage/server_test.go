package livepage

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/observe/live"
)

// server is a real TCP server that answers a byte with itself, after a pause.
type server struct {
	addr  string
	pause time.Duration

	mu        sync.Mutex
	ln        net.Listener
	conns     []net.Conn
	accepting sync.WaitGroup
	ended     sync.WaitGroup // connections
}

func listen(t *testing.T, pause time.Duration) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String(), pause: pause, ln: ln}
	s.accepting.Go(s.accept) // ends with kill
	t.Cleanup(s.kill)
	return s
}

func (s *server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.ended.Go(func() { // ends with kill, or with the client
			b := make([]byte, 1)
			for {
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				time.Sleep(s.pause)
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
	}
}

// kill closes everything, as the end of a process does.
func (s *server) kill() {
	_ = s.ln.Close()
	s.accepting.Wait() // or a connection that is being accepted would live on
	s.mu.Lock()
	for _, c := range s.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	s.mu.Unlock()
	s.ended.Wait()
}

type pool = core.Pool[net.Conn]

// open makes a pool of servers that a panel of the page shows, and calls it until the
// test ends.
func open(t *testing.T, page *live.Page, name string, addrs ...string) *pool {
	t.Helper()
	panel := page.Panel(name)
	dial := core.DialFunc[net.Conn](func(ctx context.Context, e core.Endpoint) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", e.Addr)
	})
	p, err := core.New(static.Watcher(addrs...), dial, core.WithObserver(panel.Observe), core.MaxEndpoints(20_000))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	panel.Show(p)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// call makes a call, on another server if need be.
func call(ctx context.Context, p *pool) error {
	return p.Do(ctx, func(ctx context.Context, c net.Conn) error {
		if deadline, ok := ctx.Deadline(); ok {
			if err := c.SetDeadline(deadline); err != nil {
				return err
			}
		}
		if _, err := c.Write([]byte{1}); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}, core.Attempts(3))
}

// load calls from some goroutines until stop is called.
func load(t *testing.T, p *pool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if err := call(ctx, p); err != nil && !errors.Is(err, context.Canceled) {
					t.Logf("a call: %v", err)
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); callers.Wait() })
	t.Cleanup(stop)
	return stop
}
