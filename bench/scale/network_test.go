package scale_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
)

const (
	// handshake is how long it takes to connect, and service how long to answer, on average.
	handshake = time.Millisecond
	service   = 10 * time.Millisecond
)

// network is servers in memory.
type network struct {
	begun   time.Time
	servers map[string]*server
	addrs   []string
	dials   seconds // in which dials began
}

// server answers while it is up.
type server struct {
	epoch atomic.Int64 // odd while it is down; connections of another epoch are reset
	calls atomic.Int64
	conns atomic.Int64
}

func newNetwork(n int) *network {
	w := &network{begun: time.Now(), servers: map[string]*server{}}
	for i := range n {
		addr := fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255)
		w.servers[addr] = &server{}
		w.addrs = append(w.addrs, addr)
	}
	return w
}

// endpoints are those of the servers, in so many zones.
func (w *network) endpoints(zones int) []core.Endpoint {
	var all []core.Endpoint
	for i, addr := range w.addrs {
		all = append(all, core.Endpoint{Addr: addr, Zone: zone(i % zones)})
	}
	return all
}

func zone(i int) string { return fmt.Sprint("zone-", i) }

// Dial implements core.Dialer.
func (w *network) Dial(ctx context.Context, e core.Endpoint) (*conn, error) {
	w.dials.count(time.Since(w.begun))
	if err := wait(ctx, handshake); err != nil {
		return nil, err
	}
	s := w.servers[e.Addr]
	epoch := s.epoch.Load()
	if epoch%2 == 1 {
		return nil, errRefused
	}
	s.conns.Add(1)
	return &conn{server: s, epoch: epoch}, nil
}

// restart takes a server down for a while.
func (s *server) restart(down time.Duration) {
	s.epoch.Add(1)
	time.Sleep(down)
	s.epoch.Add(1)
}

// conn is a connection.
type conn struct {
	server *server
	epoch  int64
}

// call makes a call. It fails if the server has restarted since the connection was made, or goes down meanwhile.
func (c *conn) call(ctx context.Context) error {
	if c.server.epoch.Load() != c.epoch {
		return errReset
	}
	if err := wait(ctx, time.Duration(rand.ExpFloat64()*float64(service))); err != nil {
		return err
	}
	if c.server.epoch.Load() != c.epoch {
		return errReset
	}
	c.server.calls.Add(1)
	return nil
}

// Peek implements core.Peeker.
func (c *conn) Peek() error {
	if c.server.epoch.Load() != c.epoch {
		return errReset
	}
	return nil
}

func (c *conn) Close() error {
	c.server.conns.Add(-1)
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
