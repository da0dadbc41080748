package main

import (
	"context"
	"time"

	"vitess.io/vitess/go/pools/smartconnpool"
)

// smartPool is Vitess' lock-free pool, without settings: every connection fits every caller.
type smartPool struct {
	pool *smartconnpool.ConnPool[smartConn]
}

// smartConn is a connection as Vitess wants it.
type smartConn struct{ *conn }

func (smartConn) ApplySetting(context.Context, *smartconnpool.Setting) error { return nil }
func (smartConn) ResetSetting(context.Context) error                         { return nil }
func (smartConn) Setting() *smartconnpool.Setting                            { return nil }
func (c smartConn) IsClosed() bool                                           { return c.closed.Load() }
func (c smartConn) Close()                                                   { _ = c.conn.Close() }

func openSmartconnpool(f *fleet, d demand) (contender, error) {
	config := &smartconnpool.Config[smartConn]{Capacity: int64(d.capacity())}
	if d.expiring {
		config.MaxLifetime, config.IdleTimeout = time.Hour, 5*time.Minute
	}
	connect := func(context.Context) (smartConn, error) { return smartConn{f.open()}, nil }
	return smartPool{smartconnpool.NewPool(config).Open(connect, nil)}, nil
}

func (s smartPool) cycle(ctx context.Context, n int) error {
	for range n {
		pooled, err := s.pool.Get(ctx, nil)
		if err != nil {
			return err
		}
		if err := pooled.Conn.use(); err != nil {
			return err
		}
		pooled.Recycle()
	}
	return nil
}

func (s smartPool) hold(ctx context.Context, during func()) error {
	pooled, err := s.pool.Get(ctx, nil)
	if err != nil {
		return err
	}
	if err := pooled.Conn.use(); err != nil {
		return err
	}
	during()
	pooled.Recycle()
	return nil
}

func (s smartPool) close() error { return s.pool.CloseWithContext(context.Background()) }
