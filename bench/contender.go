package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// contender is a pool under test. Its methods are safe for concurrent use, except close, which is called last.
type contender interface {
	// cycle leases, uses and releases a connection n times. Each contender contains the loop itself, so that the loop
	// makes no calls but the contender's own.
	cycle(ctx context.Context, n int) error
	close() error
}

// waiter is a contender that lets callers wait while all its connections are leased.
type waiter interface {
	contender
	// hold does one cycle and calls during while it holds the connection.
	hold(ctx context.Context, during func()) error
}

// demand is what a case asks of every contender's pool. Contenders without endpoints keep one pool of the same capacity
// and have nothing to choose.
type demand struct {
	endpoints, each int
	// expiring asks for a maximum lifetime and an idle timeout, as in production. Neither is reached here.
	expiring bool
}

func (d demand) capacity() int { return d.endpoints * d.each }

// kind is a contender that can be opened.
type kind struct {
	name string
	open func(f *fleet, d demand) (contender, error)
	// reference marks a contender that is no pool: it has no context, no limit and no lifetime.
	reference bool
}

func kinds() []kind {
	return []kind{
		{name: ours, open: openMultipool},
		{name: puddlePeer, open: openPuddle},
		{name: vitessPeer, open: openSmartconnpool},
		{name: "database/sql Conn", open: openSQL},
		{name: "go-commons-pool", open: openCommons},
		{name: "buffered channel", open: openChannel},
		{name: syncPeer, open: openSyncPool, reference: true},
		{name: "mutex + slice", open: openMutexSlice, reference: true},
	}
}

// The contenders that the goals name.
const (
	ours       = "multipool"
	puddlePeer = "puddle"
	vitessPeer = "smartconnpool"
	syncPeer   = "sync.Pool"
)

// conn is a connection that costs nothing, so that only the pool is measured. It fills a cache line, so that two
// connections never share one.
type conn struct {
	uses   uint64 // written by the caller that leases it: two at once are a data race
	closed atomic.Bool
	_      [48]byte
}

var errNoConn = errors.New("leased no connection")

// use is what the caller does with a connection: it checks that there is one and writes to it.
func (c *conn) use() error {
	if c == nil {
		return errNoConn
	}
	c.uses++
	return nil
}

func (c *conn) Close() error {
	c.closed.Store(true)
	return nil
}

// fleet opens connections and remembers them for the tests.
type fleet struct {
	mu    sync.Mutex
	conns []*conn
}

func (f *fleet) open() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := new(conn)
	f.conns = append(f.conns, c)
	return c
}
