package discoverytest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// brokenWatcher is a watcher with a mistake, and the rules that have to fail.
type brokenWatcher struct {
	name     string
	watch    watchFunc
	caughtBy []string
	wantErr  string    // part of the error of each of these rules
	invalid  error     // what Validate returns
	lines    lineWatch // instead of watch: the Watch of a lineService
}

// brokenWatchers returns a watcher for each known mistake.
func brokenWatchers(t *testing.T) []brokenWatcher {
	t.Helper()
	return slices.Concat(brokenReports(t), brokenReturns(t), brokenRegistryUse(t), brokenByHostility(t))
}

func sameAddr(a, b discovery.Endpoint) bool { return a.Addr == b.Addr }

// altered reports what f returns for each set and the one before it.
func altered(f func(old, set []discovery.Endpoint) []discovery.Endpoint) watchFunc {
	return func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
		var old []discovery.Endpoint
		return good(ctx, s, func(set []discovery.Endpoint) {
			now := slices.Clone(set)
			report(f(old, set))
			old = now
		})
	}
}

// swallows drops each set for which f returns true.
func swallows(f func(old, set []discovery.Endpoint) bool) watchFunc {
	return func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
		var old []discovery.Endpoint
		return good(ctx, s, func(set []discovery.Endpoint) {
			if !f(old, set) {
				report(slices.Clone(set))
			}
			old = set
		})
	}
}

// queued reports sets from a queue, to which add adds them.
func queued(add func(queue [][]discovery.Endpoint, set []discovery.Endpoint) [][]discovery.Endpoint) watchFunc {
	return func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
		var mu sync.Mutex
		var queue [][]discovery.Endpoint
		news := make(chan struct{}, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- good(ctx, s, func(set []discovery.Endpoint) {
				mu.Lock()
				queue = add(queue, set)
				mu.Unlock()
				select {
				case news <- struct{}{}:
				default:
				}
			})
		}()
		for {
			select {
			case err := <-ended:
				return err
			case <-news:
			}
			for {
				mu.Lock()
				if len(queue) == 0 {
					mu.Unlock()
					break
				}
				set := queue[0]
				queue = queue[1:]
				mu.Unlock()
				report(set)
			}
		}
	}
}

// sharedSlice reports the same slice to all watches of a service, as long as
// the set stays the same.
func sharedSlice(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
	return good(ctx, s, func(set []discovery.Endpoint) {
		s.shared.mu.Lock()
		if !same(set, s.shared.set) {
			s.shared.set, s.shared.slice = slices.Clone(set), set
		}
		report(s.shared.slice)
		s.shared.mu.Unlock() // after report, so that this is no data race
	})
}

// sharedEnd stops all watches of a service together.
func sharedEnd(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
	mine, cancel := context.WithCancel(ctx)
	s.shared.mu.Lock()
	s.shared.ends = append(s.shared.ends, cancel)
	s.shared.mu.Unlock()
	err := good(mine, s, report)
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	for _, end := range s.shared.ends {
		end()
	}
	return err
}

// remembers first reports what the last watch of the service has reported.
func remembers(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
	s.shared.mu.Lock()
	set := s.shared.set
	s.shared.mu.Unlock()
	if set != nil {
		report(slices.Clone(set))
	}
	return good(ctx, s, func(set []discovery.Endpoint) {
		s.shared.mu.Lock()
		s.shared.set = slices.Clone(set)
		s.shared.mu.Unlock()
		report(set)
	})
}

// deafAfter reports nothing once f returns true.
func deafAfter(f func(s *fakeService) bool) watchFunc {
	return func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
		if f(s) {
			<-ctx.Done()
			return ctx.Err()
		}
		return good(ctx, s, report)
	}
}

// forever watches until the test ends.
func forever(t *testing.T, s *fakeService, report func([]discovery.Endpoint)) {
	t.Helper()
	_ = good(t.Context(), s, report)
}
