package util_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/util"
)

// peeking is a connection as the first version's example has it: its Health is a short
// read, which finds out whether the server has closed.
type peeking struct{ client }

func (c *peeking) Health() error {
	if err := c.nc.SetReadDeadline(time.Now().Add(50 * time.Microsecond)); err != nil {
		return err
	}
	defer c.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // the next call would see it
	if _, err := c.nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func peekingFactory(server string, timeout time.Duration, _ int) util.Factory {
	return dial(func() (util.Conn, error) {
		nc, err := net.DialTimeout("tcp", server, timeout)
		if err != nil {
			return nil, err
		}
		return &peeking{client{nc, bufio.NewReader(nc)}}, nil
	})
}

// The first version's own example puts every connection back as one in order. Its
// pool checked each before it leased it, so that a restart was over when it was over.
func TestRestartIsOverWhenTheServerIsBackThoughEveryPutSaysAllIsWell(t *testing.T) {
	stays, restarts := serve(t), serve(t)
	p := &util.MultiPool{
		Servers: []string{stays.addr, restarts.addr}, SingleMaxActiveCount: 10, SingleMaxIdleCount: 10, SingleFactory: peekingFactory,
	}
	start(t, p)
	defer stop(t, p)
	call := func() (err error) {
		conn, server, err := p.Get()
		defer p.Put(conn, server, false) //nolint:errcheck // as in the example
		if err != nil {
			return err
		}
		_, err = conn.(*peeking).Hello("ada")
		return err
	}
	// calls makes calls from eight goroutines and returns how many failed.
	calls := func(each int, during func()) int {
		var all sync.WaitGroup
		var failed atomic.Int64
		for range 8 {
			all.Go(func() {
				for range each {
					if err := call(); err != nil {
						failed.Add(1)
					}
				}
			})
		}
		if during != nil {
			during()
		}
		all.Wait()
		return int(failed.Load())
	}
	if n := calls(50, nil); n != 0 {
		t.Fatalf("%d calls failed before anything happened", n)
	}
	calls(200, func() {
		restarts.stop()
		restarts.restart(t)
	})
	if n := calls(200, nil); n > 16 { // what was in flight, and what a race leaves
		t.Errorf("after the restart %d of 1600 calls failed", n)
	}
	if n := restarts.accepted.Load(); n < 2 {
		t.Errorf("the server that restarted has seen %d connections", n)
	}
}

// restart listens again on the address of a server that was stopped.
func (s *server) restart(tb testing.TB) {
	tb.Helper()
	ln, err := net.Listen("tcp", s.addr)
	for begun := time.Now(); err != nil && time.Since(begun) < 10*time.Second; ln, err = net.Listen("tcp", s.addr) {
		time.Sleep(10 * time.Millisecond) // the port is the local end of somebody's connection
	}
	if err != nil {
		tb.Fatal(err)
	}
	s.listen(ln)
}

func TestHealthIsCalledBeforeEachLease(t *testing.T) {
	var healths atomic.Int64
	p := &util.MultiPool{Servers: []string{"a:1"}, SingleMaxActiveCount: 1, SingleMaxIdleCount: 1, SingleFactory: func(string, time.Duration, int) util.Factory {
		return dial(func() (util.Conn, error) { return &counted{healths: &healths}, nil })
	}}
	start(t, p)
	defer stop(t, p)
	for range 10 {
		conn, name, err := p.Get()
		if err != nil {
			t.Fatal(err)
		}
		put(t, p, conn, name)
	}
	if n := healths.Load(); n < 9 { // a new connection need not be asked
		t.Errorf("Health was called %d times for ten leases of one connection", n)
	}
}

type counted struct{ healths *atomic.Int64 }

func (*counted) Close() error { return nil }

func (c *counted) Health() error {
	c.healths.Add(1)
	return nil
}

func TestReadThatFindsTheEndIsAnError(t *testing.T) {
	s := serve(t)
	conn, err := peekingFactory(s.addr, time.Second, 1).NewConnection()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Health(); err != nil {
		t.Errorf("Health of a connection in order: %v", err)
	}
	s.stop()
	if err := conn.Health(); !errors.Is(err, io.EOF) && (err == nil || !strings.Contains(err.Error(), "reset")) {
		t.Errorf("Health of a connection that the server has closed: %v", err)
	}
}
