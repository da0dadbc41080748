package pooltest

import (
	"context"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// Fleet is a set of scripted servers, and both the [core.Watcher] and the
// [core.Dialer] of a pool. Set changes the set; the pool counts it at once. A
// Fleet is safe for concurrent use. Make one with [NewFleet].
type Fleet struct {
	*static.List

	mu      sync.Mutex
	servers map[string]*Server
}

// NewFleet returns a fleet of servers at these addresses, such as "a:1", that
// answer at once. An address that is not valid is an error of [core.New].
func NewFleet(addrs ...string) *Fleet {
	var set []discovery.Endpoint
	for _, a := range addrs {
		set = append(set, discovery.Endpoint{Addr: a})
	}
	return &Fleet{List: static.NewList(set...), servers: make(map[string]*Server)}
}

// Server returns the server at an address, whether it is in the set or not: a
// script may be written before the server joins.
func (f *Fleet) Server(addr string) *Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.servers[addr]
	if s == nil {
		s = &Server{addr: addr, changed: make(chan struct{})}
		f.servers[addr] = s
	}
	return s
}

// Dial connects to a server in the way that its script says.
func (f *Fleet) Dial(ctx context.Context, e core.Endpoint) (*Conn, error) {
	s := f.Server(e.Addr)
	s.count(&s.dials, 1)
	life, err := s.serve(ctx, -1)
	if err != nil {
		return nil, err
	}
	s.count(&s.open, 1)
	return &Conn{server: s, life: life}, nil
}

// Dialer returns a dialer of connections of a program's own type, which conn
// makes of those of the fleet.
func Dialer[C io.Closer](f *Fleet, conn func(*Conn) C) core.Dialer[C] {
	return core.DialFunc[C](func(ctx context.Context, e core.Endpoint) (C, error) {
		c, err := f.Dial(ctx, e)
		if err != nil {
			var none C
			return none, err
		}
		return conn(c), nil
	})
}

// Server is one server of a [Fleet]. What its methods say holds for calls and
// dials that begin, and for those under way, until another one is called. A
// Server is safe for concurrent use.
type Server struct {
	addr string

	mu    sync.Mutex
	does  behavior
	delay time.Duration // if slow
	err   error         // if failing
	// life counts how often the server went down. Connections of an earlier life are
	// broken.
	life int
	// changed is closed when any of the above changes.
	changed            chan struct{}
	dials, calls, open int
}

// behavior is what a server does.
type behavior int

const (
	answers behavior = iota
	down
	fails
	hangs
	slow
)

// Down stops the server: dials are refused, and its connections are broken, as by
// a process that was killed. They stay broken when it recovers.
func (s *Server) Down() { s.set(func() { s.does, s.life = down, s.life+1 }) }

// Fail lets every call return err; dials succeed. By default a pool counts an
// error that no connection returns as the program's own, not as a failure of the
// server: see [core.Classify]. An error such as syscall.ECONNRESET counts.
func (s *Server) Fail(err error) { s.set(func() { s.does, s.err = fails, err }) }

// Hang lets dials and calls wait for their contexts, as a process that is stopped
// or a host that is cut off. Those that still wait when the server recovers are
// answered.
func (s *Server) Hang() { s.set(func() { s.does = hangs }) }

// Slow lets dials and calls take d.
func (s *Server) Slow(d time.Duration) { s.set(func() { s.does, s.delay = slow, d }) }

// Recover lets the server answer at once.
func (s *Server) Recover() { s.set(func() { s.does = answers }) }

// Dials returns the number of dials, also of those that failed.
func (s *Server) Dials() int { return s.count(&s.dials, 0) }

// Calls returns the number of calls, also of those that failed.
func (s *Server) Calls() int { return s.count(&s.calls, 0) }

// Open returns the number of connections that the pool has not closed.
func (s *Server) Open() int { return s.count(&s.open, 0) }

func (s *Server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) count(n *int, add int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n += add
	return *n
}

// serve is a dial or a call on a connection of that life, -1 for a dial. It
// returns the life in which it was answered.
func (s *Server) serve(ctx context.Context, life int) (int, error) {
	began := time.Now()
	for {
		s.mu.Lock()
		does, left, now, changed, failure := s.does, s.delay-time.Since(began), s.life, s.changed, s.err
		s.mu.Unlock()
		switch {
		case life >= 0 && life != now:
			return 0, syscall.ECONNRESET
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case does == down:
			return 0, syscall.ECONNREFUSED
		case does == fails && life >= 0:
			return 0, failure
		case does != hangs && (does != slow || left <= 0):
			return now, nil
		}
		var due <-chan time.Time // never, if the server hangs
		stop := func() bool { return true }
		if does == slow {
			timer := time.NewTimer(left)
			due, stop = timer.C, timer.Stop
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due:
		}
		stop()
	}
}

// Conn is a connection to a server of a [Fleet]. It is a [core.Peeker], so that a
// pool replaces one that was broken while it was idle.
type Conn struct {
	server *Server
	life   int
	once   sync.Once
}

// Addr returns the address of the server.
func (c *Conn) Addr() string { return c.server.addr }

// Call makes one call: it returns what the server's script says, or the cause of
// ctx if that ends first.
func (c *Conn) Call(ctx context.Context) error {
	c.server.count(&c.server.calls, 1)
	_, err := c.server.serve(ctx, c.life)
	return err
}

// Peek reports whether the connection is broken.
func (c *Conn) Peek() error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.life != c.server.life {
		return syscall.ECONNRESET
	}
	return nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.once.Do(func() { c.server.count(&c.server.open, -1) })
	return nil
}
