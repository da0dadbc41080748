package util

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

const (
	// DefaultConnTimeout replaces a [MultiPool.ConnTimeout] of zero.
	//
	// Deprecated: Use [core.DialTimeout], and a context with a deadline for
	// [core.Pool.Get].
	DefaultConnTimeout = time.Second
	// DefaultMaxActive replaces a [MultiPool.SingleMaxActiveCount] of zero.
	//
	// Deprecated: Use [core.MaxActive], whose default is 64.
	DefaultMaxActive = 1024
	// CloseTimeout is how long [MultiPool.Close] waits for leased connections.
	//
	// Deprecated: Use a context with a deadline for [core.Pool.Close].
	CloseTimeout = 5 * time.Second

	// maxWait bounds ConnTimeout times ConnTryCount, which may be more than a
	// duration can hold.
	maxWait = 24 * time.Hour
)

// ErrPoolExhausted means that every connection was leased and no more may be opened.
// Match it with errors.Is; Get returns an error that wraps it.
//
// Deprecated: Use [core.ErrExhausted], which is the same error.
var ErrPoolExhausted = core.ErrExhausted

// MultiPool is a pool of connections to several servers. Set its fields and then call
// one of the Init methods, once; later changes of the fields have no effect. All
// methods are safe for concurrent use. A MultiPool must not be copied.
//
// Deprecated: Use [core.Pool], made by [core.New].
type MultiPool struct {
	// Servers lists the servers for [MultiPool.InitFromServerList]. Each is
	// "host:port", "unix:/path", or a URL whose host has a port.
	//
	// Deprecated: Use [static.Watcher].
	Servers []string

	// ZkServers lists the ensemble for [MultiPool.InitFromZkChildrenNode], each
	// server as "host:port".
	//
	// Deprecated: Use [zk.Watcher].
	ZkServers []string
	// ZkNode is the path whose children's names are the servers.
	//
	// Deprecated: Use [zk.Watcher].
	ZkNode string
	// ZkSessionTimeout is the time without contact after which the ensemble drops
	// the session, from 1 s to 10 m. Zero means 10 s.
	//
	// Deprecated: Use [zk.SessionTimeout].
	ZkSessionTimeout time.Duration

	// SingleMaxActiveCount bounds the connections to each server, leased or idle.
	// Zero means [DefaultMaxActive].
	//
	// Deprecated: Use [core.MaxActive].
	SingleMaxActiveCount int
	// SingleMaxIdleCount bounds the idle connections to each server. Zero means
	// that Put closes every connection.
	//
	// Deprecated: Use [core.MaxIdle], where 0 is no bound.
	SingleMaxIdleCount int
	// IdleTimeOut closes connections that were idle for this long, to within a
	// second. Zero means never.
	//
	// Deprecated: Use [core.IdleTimeout].
	IdleTimeOut time.Duration

	// SingleFactory returns the factory that opens the next connection to a server;
	// timeout and tryCount are ConnTimeout and ConnTryCount. The pool calls it for
	// each connection, concurrently.
	//
	// Deprecated: Use a [core.Dialer].
	SingleFactory func(server string, timeout time.Duration, tryCount int) Factory
	// ConnTimeout is passed to SingleFactory. Get waits for ConnTimeout times
	// ConnTryCount, at most a day. Zero means [DefaultConnTimeout].
	//
	// Deprecated: Use [core.DialTimeout], and a context with a deadline for
	// [core.Pool.Get].
	ConnTimeout time.Duration
	// ConnTryCount is passed to SingleFactory. Zero means 1.
	//
	// Deprecated: The pool dials another server, and a failed one again after its
	// back-off.
	ConnTryCount int

	// FailRate says how soon a server is ejected whose calls fail while those of
	// others do not. Zero means 0.8, with which three failures in a row suffice; a
	// smaller rate is sooner, a greater one is later, and 1 is never.
	//
	// Deprecated: Use EvidenceThreshold of [outlier.Config], or
	// [core.WithoutOutlierDetection].
	FailRate float64
	// MaxKickRate is the largest part of the servers that may be ejected, above 0
	// and at most 1. The last server never is. Zero means 0.5.
	//
	// Deprecated: Use MaxEjectionPercent of [outlier.Config].
	MaxKickRate float64
	// KickedInterval is how long an ejected server gets no call; then a single one
	// probes it. Zero means 400 ms.
	//
	// Deprecated: Use BaseEjectionTime of [outlier.Config].
	KickedInterval time.Duration

	mu      sync.Mutex // guards what follows
	live    live
	initErr error // of the last Init that failed
}

// live is the state that Init makes; the zero live is that of a pool without Init.
type live struct {
	pool    *core.Pool[*conn]
	conns   *registry
	wait    time.Duration // of Get for a connection
	oneShot bool          // Put closes every connection
	zk      *children     // nil without ZooKeeper
}

// InitFromServerList makes a pool of Servers. It opens no connection. The error names
// every mistake in the fields.
//
// Deprecated: Use [core.New] with [static.Watcher].
func (p *MultiPool) InitFromServerList() error {
	eps := make([]core.Endpoint, len(p.Servers))
	for i, s := range p.Servers {
		eps[i] = endpoint(s)
	}
	return p.init(static.Endpoints(eps...), nil)
}

// InitFromZkChildrenNode makes a pool of the children of ZkNode and follows their
// changes: a server that stays keeps its connections, and Put closes those of a
// server that left. InitFromZkChildrenNode does not wait for ZooKeeper; Get waits
// for the first list. The error names every mistake in the fields.
//
// Deprecated: Use [core.New] with [zk.Watcher].
func (p *MultiPool) InitFromZkChildrenNode() error {
	known := &children{ensemble: p.ZkServers, node: p.ZkNode, begun: time.Now()}
	opts := []zk.Option{zk.OnSkipped(known.skip)}
	if p.ZkSessionTimeout != 0 {
		opts = append(opts, zk.SessionTimeout(p.ZkSessionTimeout))
	}
	return p.init(zk.Watcher(p.ZkServers, p.ZkNode, opts...), known)
}

func (p *MultiPool) init(w core.Watcher, known *children) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live.pool != nil {
		return errors.New("util: the pool is initialized already")
	}
	p.initErr = p.initLocked(w, known)
	return p.initErr
}

func (p *MultiPool) initLocked(w core.Watcher, known *children) error {
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
	wait := maxWait
	if tries <= 0 || timeout < maxWait/time.Duration(tries) {
		wait = timeout * time.Duration(tries)
	}
	ejection, invalid := p.ejection()
	conns := &registry{all: map[Conn][]*conn{}}
	pool, err := core.New(w, &dialer{p.SingleFactory, timeout, tries, conns, invalid},
		core.MaxActive(most),
		core.MaxIdle(p.SingleMaxIdleCount),
		core.IdleTimeout(p.IdleTimeOut),
		// A dial that outlasts one Get serves the next.
		core.DialTimeout(max(wait, 5*time.Second)),
		// Programs Put connections without a word of how the call went, so each is
		// checked before it is leased, as the first version did.
		core.ValidateAfterIdle(0),
		ejection,
	)
	if err != nil {
		return fmt.Errorf("util: %w", err)
	}
	p.live = live{pool, conns, wait, p.SingleMaxIdleCount == 0, known}
	return nil
}

// ejection returns the option that FailRate, MaxKickRate and KickedInterval make.
func (p *MultiPool) ejection() (core.Option, error) {
	const usualRate, usualEvidence = 0.8, 7 // powers of ten
	var errs []error
	if !(p.FailRate >= 0 && p.FailRate <= 1) {
		errs = append(errs, fmt.Errorf("FailRate %v: must be from 0 to 1", p.FailRate))
	}
	if !(p.MaxKickRate >= 0 && p.MaxKickRate <= 1) {
		errs = append(errs, fmt.Errorf("MaxKickRate %v: must be from 0 to 1", p.MaxKickRate))
	}
	if p.KickedInterval < 0 {
		errs = append(errs, fmt.Errorf("KickedInterval %v: must not be negative", p.KickedInterval))
	}
	if p.FailRate == 1 || errs != nil {
		return core.WithoutOutlierDetection(), errors.Join(errs...)
	}
	c := outlier.Config{BaseEjectionTime: p.KickedInterval}
	if p.FailRate > 0 {
		c.EvidenceThreshold = max(2, math.Pow(10, usualEvidence*p.FailRate/usualRate))
	}
	if p.MaxKickRate > 0 {
		c.MaxEjectionPercent = min(max(int(math.Round(100*p.MaxKickRate)), 1), 99)
	}
	return core.WithOutlierDetection(c), nil
}

// started returns what Init made, or an error before Init.
func (p *MultiPool) started() (live, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.live.pool != nil:
	case p.initErr != nil:
		return live{}, fmt.Errorf("util: the pool is not initialized: Init failed: %w", p.initErr)
	default:
		return live{}, errors.New("util: the pool is not initialized")
	}
	return p.live, nil
}

// Get leases a connection to the server that is best placed to answer, and returns
// the connection and the server's name. The caller passes both to [MultiPool.Put].
//
// Get waits for ConnTimeout times ConnTryCount, for a new connection or one that is
// Put. The error wraps a [*core.Error] and matches [ErrPoolExhausted],
// [core.ErrUnavailable], [core.ErrNoEndpoint] or [core.ErrClosed]; the last but one
// tells what ZooKeeper has instead of servers, if anything. After an Init that failed,
// it is the error of that.
//
// Deprecated: Use [core.Pool.Do] or [core.Pool.Get].
func (p *MultiPool) Get() (Conn, string, error) { return p.get() }

// GetThroughConsistentHash is Get from the server that has the key. Few keys move when
// servers come and go; the keys of a server that is down move while it is down.
//
// Deprecated: Use [core.Pool.Do] or [core.Pool.Get] with [core.WithKey].
func (p *MultiPool) GetThroughConsistentHash(key string) (Conn, string, error) {
	return p.get(core.WithKey(key))
}

// GetServerConn is Get from the server with this name.
//
// Deprecated: Use [core.Pool.Do] or [core.Pool.Get] with [core.WithEndpoint].
func (p *MultiPool) GetServerConn(server string) (Conn, string, error) {
	c, name, err := p.get(core.WithEndpoint(endpoint(server).Addr))
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
	ctx := newTimeout(l.wait)
	defer ctx.stop()
	lease, err := l.pool.Get(ctx, opts...)
	if err != nil {
		return nil, "", l.zk.explain(err)
	}
	c := lease.Conn()
	return c.user, c.begin(lease), nil
}

// Put ends the lease of a connection. serverName is the name that Get returned with
// the connection; the package's documentation says why to pass that very string. With
// forceClose, Put closes the connection and reports a failed call of its server:
// outlier detection ejects a server whose calls fail while others' do not.
//
// Put does not block. Put of nil does nothing. An error that matches
// [core.ErrStaleLease] means that the lease had ended; the connection is untouched.
//
// Deprecated: Use [core.Lease.End], or [core.Pool.Do], which ends the lease itself.
func (p *MultiPool) Put(c Conn, serverName string, forceClose bool) error {
	l, err := p.started()
	if err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	var one [1]core.Lease[*conn] // room for the usual case of no equal connections
	for _, lease := range l.conns.find(one[:0], c, serverName) {
		if l.end(lease, forceClose) == nil {
			return nil
		}
	}
	return fmt.Errorf("util: Put of a connection to %s: %w", serverName, core.ErrStaleLease)
}

// end reports the call's outcome and ends its lease. Its error is that of a lease that
// had ended.
func (l live) end(lease core.Lease[*conn], forceClose bool) error {
	if forceClose {
		lease.Report(balance.Report{Outcome: balance.OutcomeFailure})
		return lease.Discard(nil)
	}
	lease.Report(balance.Report{Outcome: balance.OutcomeOK})
	if l.oneShot {
		return lease.Discard(nil)
	}
	return lease.Release()
}

// Stats returns the state of the pool and of each server. Rejected includes the
// children of ZkNode that are no servers. Before Init it returns the zero Stats.
//
// Deprecated: Use [core.Pool.Stats].
func (p *MultiPool) Stats() core.Stats {
	l, err := p.started()
	if err != nil {
		return core.Stats{}
	}
	st := l.pool.Stats()
	st.Rejected += l.zk.count()
	return st
}

// Close closes all connections. It waits up to [CloseTimeout] for leased ones to be
// Put; then it closes them while they are in use, and the error says how many. Close
// may be called again. Before Init it does nothing.
//
// Deprecated: Use [core.Pool.Close].
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
