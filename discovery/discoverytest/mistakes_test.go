package discoverytest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
)

func sameAddr(a, b core.Endpoint) bool { return a.Addr == b.Addr }

// altered reports what f makes of each set and the one before it.
func altered(f func(old, set []core.Endpoint) []core.Endpoint) watchFunc {
	return func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
		var old []core.Endpoint
		return good(ctx, p, func(set []core.Endpoint) {
			now := slices.Clone(set)
			report(f(old, set))
			old = now
		})
	}
}

// swallows does not report a set of which f holds.
func swallows(f func(old, set []core.Endpoint) bool) watchFunc {
	return func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
		var old []core.Endpoint
		return good(ctx, p, func(set []core.Endpoint) {
			if !f(old, set) {
				report(slices.Clone(set))
			}
			old = set
		})
	}
}

// queued reports from a queue; add puts a set into it.
func queued(add func(queue [][]core.Endpoint, set []core.Endpoint) [][]core.Endpoint) watchFunc {
	return func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
		var mu sync.Mutex
		var queue [][]core.Endpoint
		news := make(chan struct{}, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- good(ctx, p, func(set []core.Endpoint) {
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

// sharedSlice reports the same slice to all watches of a place, as long as the
// set is the same.
func sharedSlice(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
	return good(ctx, p, func(set []core.Endpoint) {
		p.shared.mu.Lock()
		if !same(set, p.shared.set) {
			p.shared.set, p.shared.slice = slices.Clone(set), set
		}
		report(p.shared.slice)
		p.shared.mu.Unlock() // now, so that this is a mistake and not a race too
	})
}

// sharedEnd ends all watches of a place together.
func sharedEnd(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
	mine, cancel := context.WithCancel(ctx)
	p.shared.mu.Lock()
	p.shared.ends = append(p.shared.ends, cancel)
	p.shared.mu.Unlock()
	err := good(mine, p, report)
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	for _, end := range p.shared.ends {
		end()
	}
	return err
}

// remembers begins with what the last watch of the place has seen.
func remembers(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
	p.shared.mu.Lock()
	set := p.shared.set
	p.shared.mu.Unlock()
	if set != nil {
		report(slices.Clone(set))
	}
	return good(ctx, p, func(set []core.Endpoint) {
		p.shared.mu.Lock()
		p.shared.set = slices.Clone(set)
		p.shared.mu.Unlock()
		report(set)
	})
}

// deafAfter hears nothing any more once f holds.
func deafAfter(f func(p *fakePlace) bool) watchFunc {
	return func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
		if f(p) {
			<-ctx.Done()
			return ctx.Err()
		}
		return good(ctx, p, report)
	}
}

// forever watches until the end of the test.
func forever(t *testing.T, p *fakePlace, report func([]core.Endpoint)) {
	t.Helper()
	_ = good(t.Context(), p, report)
}
