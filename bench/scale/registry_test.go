package scale_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

var errDown = errors.New("registry: connection refused")

// registry is a registry in memory.
type registry struct {
	begun time.Time

	mu       sync.Mutex
	set      []core.Endpoint
	down     bool
	changed  chan struct{} // closed when set or down changes
	requests seconds       // in which watches began
}

func newRegistry(set []core.Endpoint) *registry {
	return &registry{begun: time.Now(), set: set, changed: make(chan struct{})}
}

// Watch implements discovery.Watcher. It fails while the registry is down.
func (r *registry) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	r.requests.count(time.Since(r.begun))
	for {
		r.mu.Lock()
		set, down, changed := r.set, r.down, r.changed
		r.mu.Unlock()
		if down {
			return errDown
		}
		report(slices.Clone(set))
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// change changes the registry, and wakes whoever watches it.
func (r *registry) change(how func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how()
	close(r.changed)
	r.changed = make(chan struct{})
}

// seconds counts what happens in each second.
type seconds struct {
	mu sync.Mutex
	n  []int
}

// count adds one to the second that at is in.
func (s *seconds) count(at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := int(at / time.Second)
	for len(s.n) <= i {
		s.n = append(s.n, 0)
	}
	s.n[i]++
}

// between returns the seconds of a span.
func (s *seconds) between(from, to time.Duration) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.n)
	return slices.Clone(s.n[min(n, int(from/time.Second)):min(n, int(to/time.Second))])
}

// peak returns the largest number of a second in a span.
func (s *seconds) peak(from, to time.Duration) int {
	return slices.Max(append(s.between(from, to), 0))
}

func (s *seconds) total(from, to time.Duration) (sum int) {
	for _, n := range s.between(from, to) {
		sum += n
	}
	return sum
}
