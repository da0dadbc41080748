package balance_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// server answers each byte with one, after a while.
type server struct {
	service time.Duration
	calls   atomic.Int64
	pauses  *pauses // of its process; nil: none

	mu    sync.Mutex
	rand  *rand.Rand
	down  bool
	conns map[net.Conn]bool
}

var errRefused = errors.New("connection refused")

// dial connects to the server.
func (s *server) dial() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errRefused
	}
	nc, far := net.Pipe()
	s.conns[far] = true
	go s.serve(far) // ends with the connection
	return nc, nil
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	b := make([]byte, 1)
	for {
		if _, err := nc.Read(b); err != nil {
			return
		}
		s.calls.Add(1)
		if s.service > 0 {
			s.mu.Lock()
			noise := s.rand.NormFloat64()
			s.mu.Unlock()
			time.Sleep(time.Duration(float64(s.service) * math.Exp(0.3*noise)))
		}
		s.pauses.pass()
		if _, err := nc.Write(b); err != nil {
			return
		}
	}
}

// setDown ends the server and its connections, or starts it again.
func (s *server) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	for nc := range s.conns {
		_ = nc.Close()
	}
	clear(s.conns)
}

// conn is a connection of a pool.
type conn struct {
	net.Conn
	addr string
}

func (c conn) call() error {
	b := []byte{1}
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err := c.Read(b)
	return err
}

// fleet is some servers and a pool of them.
type fleet struct {
	addrs   []string
	servers map[string]*server
	list    *static.List
	pool    *core.Pool[conn]
}

// newFleet starts a server for each weight, and makes a pool. It ends with the test.
func newFleet(t *testing.T, a arm, service time.Duration, weights ...float64) *fleet {
	t.Helper()
	f := &fleet{servers: map[string]*server{}, list: static.NewList()}
	for i := range weights {
		addr := net.JoinHostPort(net.IPv4(10, 0, byte(i>>8), byte(i)).String(), "80")
		f.addrs = append(f.addrs, addr)
		f.servers[addr] = &server{service: service, rand: rand.New(rand.NewPCG(1, uint64(i))), conns: map[net.Conn]bool{}}
	}
	if err := f.list.Set(f.endpoints(weights...)...); err != nil {
		t.Fatal(err)
	}
	f.pool = f.newPool(t, a)
	return f
}

func (f *fleet) newPool(t *testing.T, a arm) *core.Pool[conn] {
	t.Helper()
	pool, err := core.New(f.list, core.DialFunc[conn](func(_ context.Context, e core.Endpoint) (conn, error) {
		nc, err := f.servers[e.Addr].dial()
		return conn{nc, e.Addr}, err
	}), core.WithBalancer(a.new()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := pool.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return pool
}

// endpoints are those of the servers; all are in zone a.
func (f *fleet) endpoints(weights ...float64) []core.Endpoint {
	var all []core.Endpoint
	for i, w := range weights {
		all = append(all, core.Endpoint{Addr: f.addrs[i], Weight: w, Zone: "a"})
	}
	return all
}

// counts returns how many calls each server has had.
func (f *fleet) counts() []int64 {
	var all []int64
	for _, addr := range f.addrs {
		all = append(all, f.servers[addr].calls.Load())
	}
	return all
}

// since returns how many calls each server has had since before.
func (f *fleet) since(before []int64) []int64 {
	all := f.counts()
	for i := range all {
		all[i] -= before[i]
	}
	return all
}

// call makes calls from some goroutines while during runs, or for a number of calls each if that is nil, and returns how
// many failed.
func (f *fleet) call(callers, most int, during func()) int64 {
	var all sync.WaitGroup
	var failed atomic.Int64
	var over atomic.Bool
	for range callers {
		all.Go(func() { // ends with during
			for k := 0; !over.Load() && (during != nil || k < most); k++ {
				if err := f.pool.Do(context.Background(), func(_ context.Context, c conn) error { return c.call() }); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	if during != nil {
		during()
		over.Store(true)
	}
	all.Wait()
	return failed.Load()
}

// shares returns the parts of a sum.
func shares[T int64 | float64](all []T) []float64 {
	var sum T
	for _, x := range all {
		sum += x
	}
	parts := make([]float64, len(all))
	for i, x := range all {
		parts[i] = float64(x) / float64(sum)
	}
	return parts
}
