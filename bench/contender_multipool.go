package main

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// multipool is this project's pool with its default options, but for the number of connections.
type multipool struct{ pool *core.Pool[*conn] }

func openMultipool(f *fleet, d demand) (contender, error) {
	addrs := make([]string, d.endpoints)
	for i := range addrs {
		addrs[i] = fmt.Sprintf("10.0.0.%d:9090", i+1)
	}
	dial := core.DialFunc[*conn](func(context.Context, core.Endpoint) (*conn, error) { return f.open(), nil })
	opts := []core.Option{core.MaxActive(d.each)}
	if d.expiring {
		opts = append(opts, core.MaxLifetime(time.Hour), core.IdleTimeout(5*time.Minute))
	}
	pool, err := core.New(static.Watcher(addrs...), dial, opts...)
	if err != nil {
		return nil, err
	}
	return multipool{pool}, pool.WaitReady(context.Background())
}

func (m multipool) cycle(ctx context.Context, n int) error {
	for range n {
		lease, err := m.pool.Get(ctx)
		if err != nil {
			return err
		}
		if err := lease.Conn().use(); err != nil {
			return err
		}
		if err := lease.Release(); err != nil {
			return err
		}
	}
	return nil
}

func (m multipool) hold(ctx context.Context, during func()) error {
	lease, err := m.pool.Get(ctx)
	if err != nil {
		return err
	}
	if err := lease.Conn().use(); err != nil {
		return err
	}
	during()
	return lease.Release()
}

func (m multipool) close() error { return m.pool.Close(context.Background()) }
