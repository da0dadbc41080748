package main

import (
	"context"
	"sync"
)

// syncPool is sync.Pool, which keeps objects per processor and drops them in garbage collections. It is no pool for
// connections, but the fastest way to lease anything.
type syncPool struct{ pool *sync.Pool }

func openSyncPool(f *fleet, _ demand) (contender, error) {
	return syncPool{&sync.Pool{New: func() any { return f.open() }}}, nil
}

func (s syncPool) cycle(_ context.Context, n int) error {
	for range n {
		c := s.pool.Get().(*conn)
		if err := c.use(); err != nil {
			return err
		}
		s.pool.Put(c)
	}
	return nil
}

func (s syncPool) close() error { return nil }

// mutexSlice is the smallest pool with a lock.
type mutexSlice struct {
	mu   sync.Mutex
	idle []*conn
}

func openMutexSlice(f *fleet, d demand) (contender, error) {
	m := new(mutexSlice)
	for range d.capacity() {
		m.idle = append(m.idle, f.open())
	}
	return m, nil
}

func (m *mutexSlice) get() *conn {
	m.mu.Lock()
	last := len(m.idle) - 1
	c := m.idle[last]
	m.idle = m.idle[:last]
	m.mu.Unlock()
	return c
}

func (m *mutexSlice) put(c *conn) {
	m.mu.Lock()
	m.idle = append(m.idle, c)
	m.mu.Unlock()
}

func (m *mutexSlice) cycle(_ context.Context, n int) error {
	for range n {
		c := m.get()
		if err := c.use(); err != nil {
			return err
		}
		m.put(c)
	}
	return nil
}

func (m *mutexSlice) close() error {
	for _, c := range m.idle {
		_ = c.Close()
	}
	return nil
}
