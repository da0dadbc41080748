// Package memo carries what a registrar knows from one call of Register to the
// next of the same registration.
package memo

import (
	"context"
	"sync"
)

// Memo keeps one value per registration, which is known by its context and the
// name of its entry. Its zero value is empty and ready for use. It is safe for
// concurrent use.
type Memo[T any] struct {
	mu  sync.Mutex
	all map[key]left[T]
}

// key has the context's Done channel and not the context, because comparing
// contexts may panic.
type key struct {
	done <-chan struct{}
	name string
}

type left[T any] struct {
	value T
	stop  func() bool // of the removal when the context ends
}

// Leave keeps v for the next call of Register with ctx, until ctx ends.
func (m *Memo[T]) Leave(ctx context.Context, name string, v T) {
	k := key{ctx.Done(), name}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[key]left[T])
	}
	m.all[k] = left[T]{v, context.AfterFunc(ctx, func() { m.take(k) })}
}

// Take removes and returns what the last call with ctx has left. It returns the
// zero value if nothing was left.
func (m *Memo[T]) Take(ctx context.Context, name string) T {
	l := m.take(key{ctx.Done(), name})
	if l.stop != nil {
		l.stop()
	}
	return l.value
}

func (m *Memo[T]) take(k key) left[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.all[k]
	delete(m.all, k)
	return l
}
