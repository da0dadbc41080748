package discoverytest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// retried watches again whenever the connection is lost, after a pause.
func retried(watch watchFunc) watchFunc {
	return func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
		for ctx.Err() == nil {
			_ = watch(ctx, s, report)
			_ = wait(ctx, 10*time.Millisecond)
		}
		return ctx.Err()
	}
}

// brokenByHostility returns watchers that a hostile registry harms.
func brokenByHostility(t *testing.T) []brokenWatcher {
	t.Helper()
	while := func(hostile watchFunc) watchFunc {
		return retried(func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
			if s.hostile.Load() {
				return hostile(ctx, s, report)
			}
			return good(ctx, s, report)
		})
	}
	var mu sync.Mutex
	var kept [][]byte
	keep := func() {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, make([]byte, 2*maxLeft))
	}
	return []brokenWatcher{
		{
			name: "asks again at once when an answer contradicts itself, or does not end",
			watch: while(func(ctx context.Context, s *fakeService, _ func([]discovery.Endpoint)) error {
				for s.hostile.Load() && ctx.Err() == nil {
					s.requests.Add(1)
				}
				return errLost
			}),
			caughtBy: []string{"Contradiction", "EndlessAnswer"},
			wantErr:  "each of which failed",
		},
		{
			name: "is stuck in a storm",
			watch: while(func(context.Context, *fakeService, func([]discovery.Endpoint)) error {
				<-t.Context().Done()
				return errLost
			}),
			caughtBy: []string{"EventStorm"},
			wantErr:  "had not returned",
		},
		{
			name: "has given up when the registry behaves again",
			watch: while(func(ctx context.Context, _ *fakeService, _ func([]discovery.Endpoint)) error {
				<-ctx.Done()
				return ctx.Err()
			}),
			caughtBy: []string{"Restless"},
			wantErr:  "did not report",
		},
		{
			name: "keeps what it was flooded with",
			watch: while(func(ctx context.Context, _ *fakeService, _ func([]discovery.Endpoint)) error {
				keep()
				<-ctx.Done()
				return errLost
			}),
			caughtBy: []string{"FloodOfEntries"},
			wantErr:  "did not report",
		},
		{
			name: "keeps large values",
			watch: while(func(_ context.Context, _ *fakeService, _ func([]discovery.Endpoint)) error {
				keep()
				return errLost
			}),
			caughtBy: []string{"FloodOfBytes"},
			wantErr:  "are in use",
		},
		{
			name: "takes more than its share",
			watch: while(func(ctx context.Context, s *fakeService, _ func([]discovery.Endpoint)) error {
				much := make([]byte, 64<<20)
				for s.hostile.Load() && ctx.Err() == nil && much[0] == 0 {
					much[1]++
				}
				return errLost
			}),
			caughtBy: []string{"FloodOfBytes"},
			wantErr:  "MaxMemory",
		},
		{
			name: "reports what is above the bounds",
			watch: retried(func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) {
					if e := s.unchecked.Load(); e != nil {
						set = append(set, *e)
					}
					report(set)
				})
			}),
			caughtBy: []string{"Bounds"},
			wantErr:  "never held",
		},
	}
}
