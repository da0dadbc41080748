package util

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

const (
	// DefaultConnTimeout is what a [MultiPool.ConnTimeout] of zero means.
	DefaultConnTimeout = time.Second
	// DefaultMaxActive is what a [MultiPool.SingleMaxActiveCount] of zero means.
	DefaultMaxActive = 1024
	// CloseTimeout is how long [MultiPool.Close] waits for connections that are lent.
	CloseTimeout = 5 * time.Second
)

// ErrPoolExhausted: every connection is lent, and no more may be opened. It is to be
// looked for with errors.Is.
var ErrPoolExhausted = core.ErrExhausted

// MultiPool is a pool of connections to several servers. Its fields are set before
// one of the Init methods is called, once, and have no effect afterwards. All
// methods are safe for concurrent use. It must not be copied.
type MultiPool struct {
	// Servers is the list for [MultiPool.InitFromServerList]. Each is "host:port",
	// "unix:/path", or a URL whose host has a port.
	Servers []string

	// ZkServers, "host:port" each, is the ensemble for
	// [MultiPool.InitFromZkChildrenNode]. ZkNode is the path whose children's names
	// are the servers.
	ZkServers []string
	ZkNode    string
	// ZkSessionTimeout is after how long without contact the session is given up,
	// from 1 s to 10 m. Zero means 10 s.
	ZkSessionTimeout time.Duration

	// SingleMaxActiveCount bounds the connections to each server, lent or not. Zero
	// means [DefaultMaxActive].
	SingleMaxActiveCount int
	// SingleMaxIdleCount bounds the connections to each server that are kept while
	// nobody has them. Zero means that each is closed when it is Put.
	SingleMaxIdleCount int
	// IdleTimeOut is how long a connection is kept while nobody has it, to within a
	// second. Zero means for ever.
	IdleTimeOut time.Duration

	// SingleFactory makes what opens connections to a server; timeout and tryCount
	// are ConnTimeout and ConnTryCount. It is called for each connection anew, and
	// concurrently.
	SingleFactory func(server string, timeout time.Duration, tryCount int) Factory
	// ConnTimeout and ConnTryCount are for SingleFactory. Zero means
	// [DefaultConnTimeout], and one. Get waits for as long as both together,
	// ConnTimeout times ConnTryCount.
	ConnTimeout  time.Duration
	ConnTryCount int

	mu   sync.Mutex // held by Init
	live live
}

// live is what Init makes.
type live struct {
	pool  *core.Pool[*conn]
	conns *registry
	wait  time.Duration // for a connection
	short bool          // connections are not kept
}

// InitFromServerList makes a pool of Servers. It connects to none of them yet. The
// error names every mistake in the fields.
func (p *MultiPool) InitFromServerList() error {
	eps := make([]core.Endpoint, len(p.Servers))
	for i, s := range p.Servers {
		eps[i] = endpoint(s)
	}
	return p.init(static.Endpoints(eps...))
}

// InitFromZkChildrenNode makes a pool of the children of ZkNode, which it follows
// from then on: a server that stays keeps its connections, one that leaves loses
// them when they are Put. It does not wait for ZooKeeper; until the first list has
// come, Get does. The error names every mistake in the fields.
func (p *MultiPool) InitFromZkChildrenNode() error {
	var opts []zk.Option
	if p.ZkSessionTimeout != 0 {
		opts = append(opts, zk.SessionTimeout(p.ZkSessionTimeout))
	}
	return p.init(zk.Watcher(p.ZkServers, p.ZkNode, opts...))
}

func (p *MultiPool) init(w core.Watcher) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live.pool != nil {
		return errors.New("util: the pool is initialised already")
	}
	timeout, tries, most := p.ConnTimeout, p.ConnTryCount, p.SingleMaxActiveCount
	if timeout == 0 {
		timeout = DefaultConnTimeout
	}
	if tries == 0 {
		tries = 1
	}
	if most == 0 {
		most = DefaultMaxActive
	}
	wait := timeout * time.Duration(tries)
	conns := &registry{all: map[Conn][]*conn{}}
	pool, err := core.New(w, &dialer{p.SingleFactory, timeout, tries, conns},
		core.MaxActive(most),
		core.MaxIdle(p.SingleMaxIdleCount),
		core.IdleTimeout(p.IdleTimeOut),
		// What takes longer than Get waits is there for the next.
		core.DialTimeout(max(wait, 5*time.Second)),
	)
	if err != nil {
		return fmt.Errorf("util: %w", err)
	}
	p.live = live{pool, conns, wait, p.SingleMaxIdleCount == 0}
	return nil
}

// started returns what Init has made.
func (p *MultiPool) started() (live, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live.pool == nil {
		return live{}, errors.New("util: the pool is not initialised")
	}
	return p.live, nil
}

// Get lends a connection to the server that is best placed to answer, and returns
// that server's name too. The caller gives both back with [MultiPool.Put].
//
// It waits for a connection, a new one or one that is Put, for ConnTimeout times
// ConnTryCount. The error is a [*core.Error]; with errors.Is it matches
// [ErrPoolExhausted], [core.ErrUnavailable], [core.ErrNoEndpoint] or
// [core.ErrClosed].
func (p *MultiPool) Get() (Conn, string, error) { return p.get() }

// GetThroughConsistentHash is Get from the server that has the key. Few keys move
// when servers come and go, and those of a server that is down while it is.
func (p *MultiPool) GetThroughConsistentHash(key string) (Conn, string, error) {
	return p.get(core.WithKey(key))
}

// GetServerConn is Get from the server of that name.
func (p *MultiPool) GetServerConn(server string) (Conn, string, error) {
	c, name, err := p.get(core.On(endpoint(server).Addr))
	if err != nil {
		return nil, server, err
	}
	return c, name, nil
}

func (p *MultiPool) get(opts ...core.CallOption) (Conn, string, error) {
	l, err := p.started()
	if err != nil {
		return nil, "", err
	}
	ctx := newPatience(l.wait)
	defer ctx.stop()
	lease, err := l.pool.Get(ctx, opts...)
	if err != nil {
		return nil, "", err
	}
	c := lease.Conn()
	return c.user, c.lend(lease), nil
}

// Put gives a connection back, with the name that came with it; see the package's
// documentation for why to pass on that very string. With forceClose, which is for
// connections whose server has failed, it is closed, and a server of which many are
// while those of others are not is left alone for a while.
//
// It never blocks. Put of nil does nothing. The error, which matches
// [core.ErrStaleLease], says that the connection is not lent, or not to this caller
// any more; nothing was done then.
func (p *MultiPool) Put(c Conn, serverName string, forceClose bool) error {
	l, err := p.started()
	if err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	var one [1]core.Lease[*conn] // hardly ever are there more
	for _, lease := range l.conns.lent(one[:0], c, serverName) {
		if l.end(lease, forceClose) == nil {
			return nil
		}
	}
	return fmt.Errorf("util: Put of a connection to %s that is not lent, or to somebody else: %w", serverName, core.ErrStaleLease)
}

// end ends a lease.
func (l live) end(lease core.Lease[*conn], forceClose bool) error {
	if forceClose {
		lease.Report(core.Report{Class: core.Failure})
		return lease.Discard(nil)
	}
	lease.Report(core.Report{Class: core.OK})
	if l.short {
		return lease.Discard(nil)
	}
	return lease.Release()
}

// Stats returns the state of the pool, server by server; the zero Stats before Init.
func (p *MultiPool) Stats() core.Stats {
	l, err := p.started()
	if err != nil {
		return core.Stats{}
	}
	return l.pool.Stats()
}

// Close closes all connections. It waits for those that are lent to be Put, for up
// to [CloseTimeout]; then they are closed while in use, and the error says how many.
// Close may be called again. Without Init there is nothing to close.
func (p *MultiPool) Close() error {
	l, err := p.started()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), CloseTimeout)
	defer cancel()
	if err := l.pool.Close(ctx); err != nil {
		return fmt.Errorf("util: %w", err)
	}
	return nil
}
