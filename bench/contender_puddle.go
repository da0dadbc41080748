package main

import (
	"context"
	"time"

	"github.com/jackc/puddle/v2"
)

// puddlePool is puddle in its default configuration.
type puddlePool struct{ pool *puddle.Pool[*conn] }

func openPuddle(f *fleet, d demand) (contender, error) {
	if d.expiring {
		return openPgxpool(f, d)
	}
	pool, err := puddle.NewPool(&puddle.Config[*conn]{
		Constructor: func(context.Context) (*conn, error) { return f.open(), nil },
		Destructor:  func(c *conn) { _ = c.Close() },
		MaxSize:     int32(d.capacity()),
	})
	return puddlePool{pool}, err
}

func (p puddlePool) cycle(ctx context.Context, n int) error {
	for range n {
		res, err := p.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		if err := res.Value().use(); err != nil {
			return err
		}
		res.Release()
	}
	return nil
}

func (p puddlePool) hold(ctx context.Context, during func()) error {
	res, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	if err := res.Value().use(); err != nil {
		return err
	}
	during()
	res.Release()
	return nil
}

func (p puddlePool) close() error {
	p.pool.Close()
	return nil
}

// pgxpool is puddle with the checks that pgxpool 5.10 makes on Acquire and Release: lifetime on both, idle time on
// Acquire (pgxpool pings after a second). It leaves out pgxpool's wrapper, tracers and hooks.
type pgxpool struct{ pool *puddle.Pool[*aging] }

type aging struct {
	*conn
	expires time.Time
}

func openPgxpool(f *fleet, d demand) (contender, error) {
	pool, err := puddle.NewPool(&puddle.Config[*aging]{
		Constructor: func(context.Context) (*aging, error) { return &aging{f.open(), time.Now().Add(time.Hour)}, nil },
		Destructor:  func(a *aging) { _ = a.Close() },
		MaxSize:     int32(d.capacity()),
	})
	return pgxpool{pool}, err
}

func (p pgxpool) acquire(ctx context.Context) (*puddle.Resource[*aging], error) {
	for {
		res, err := p.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if time.Now().After(res.Value().expires) {
			res.Destroy()
			continue
		}
		if res.IdleDuration() > time.Second && res.Value().closed.Load() {
			res.Destroy()
			continue
		}
		return res, nil
	}
}

func (p pgxpool) release(res *puddle.Resource[*aging]) {
	if time.Now().After(res.Value().expires) {
		res.Destroy()
		return
	}
	res.Release()
}

func (p pgxpool) cycle(ctx context.Context, n int) error {
	for range n {
		res, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		if err := res.Value().use(); err != nil {
			return err
		}
		p.release(res)
	}
	return nil
}

func (p pgxpool) close() error {
	p.pool.Close()
	return nil
}
