package main

import (
	"context"
	"time"

	commons "github.com/jolestar/go-commons-pool/v2"
)

// commonsPool is the port of Apache Commons Pool, last in, first out, without validation.
type commonsPool struct{ pool *commons.ObjectPool }

func openCommons(f *fleet, d demand) (contender, error) {
	config := commons.NewDefaultPoolConfig()
	config.MaxTotal, config.MaxIdle = d.capacity(), d.capacity()
	if d.expiring {
		config.MinEvictableIdleTime, config.TimeBetweenEvictionRuns = 5*time.Minute, 30*time.Second
	}
	factory := commons.NewPooledObjectFactory(
		func(context.Context) (any, error) { return f.open(), nil },
		func(_ context.Context, o *commons.PooledObject) error { return o.Object.(*conn).Close() },
		nil, nil, nil)
	return commonsPool{commons.NewObjectPool(context.Background(), factory, config)}, nil
}

func (p commonsPool) cycle(ctx context.Context, n int) error {
	for range n {
		o, err := p.pool.BorrowObject(ctx)
		if err != nil {
			return err
		}
		if err := o.(*conn).use(); err != nil {
			return err
		}
		if err := p.pool.ReturnObject(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (p commonsPool) hold(ctx context.Context, during func()) error {
	o, err := p.pool.BorrowObject(ctx)
	if err != nil {
		return err
	}
	if err := o.(*conn).use(); err != nil {
		return err
	}
	during()
	return p.pool.ReturnObject(ctx, o)
}

func (p commonsPool) close() error {
	p.pool.Close(context.Background())
	return nil
}
