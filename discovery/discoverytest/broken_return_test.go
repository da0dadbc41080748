package discoverytest

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// brokenReturns returns watchers that return in a wrong way or leave something behind.
func brokenReturns(t *testing.T) []brokenWatcher {
	t.Helper()
	return []brokenWatcher{
		{
			name: "ignores the end of its context",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				forever(t, s, report)
				return ctx.Err()
			},
			caughtBy: []string{"CancelIdle", "CancelInReport", "CancelBeforeStart"},
			wantErr:  "had not returned",
		},
		{
			name: "looks at its context only when there is news",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				forever(t, s, func(set []discovery.Endpoint) {
					if ctx.Err() == nil {
						report(set)
					}
				})
				return ctx.Err()
			},
			caughtBy: []string{"CancelIdle"},
			wantErr:  "had not returned",
		},
		{
			name: "returns while report still runs",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				done := make(chan error, 1)
				go func() { done <- good(ctx, s, report) }()
				select {
				case err := <-done:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			caughtBy: []string{"CancelInReport"},
			wantErr:  "still running",
		},
		{
			name: "returns nil when its context has ended",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				_ = good(ctx, s, report)
				return nil
			},
			caughtBy: []string{"ContextError", "CancelIdle"},
			wantErr:  "Watch returned nil",
		},
		{
			name: "returns an error of its own when its context has ended",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				_ = good(ctx, s, report)
				return errors.New("watch: stopped")
			},
			caughtBy: []string{"ContextError"},
			wantErr:  "does not match",
		},
		{
			name: "returns the error of a cancellation after a timeout",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				_ = good(ctx, s, report)
				return context.Canceled
			},
			caughtBy: []string{"ContextError"},
			wantErr:  "does not match",
		},
		{
			name: "can be used once",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				s.shared.mu.Lock()
				used := s.shared.used
				s.shared.used = true
				s.shared.mu.Unlock()
				if used {
					return errors.New("watch: closed")
				}
				return good(ctx, s, report)
			},
			caughtBy: []string{"WatchAgain", "WatchAgainAfterChange"},
			wantErr:  "watch: closed",
		},
		{
			name:     "reports its last set when it starts again",
			watch:    remembers,
			caughtBy: []string{"WatchAgainAfterChange"},
		},
		{
			name: "waits for a change before its first report",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				first := true
				return good(ctx, s, func(set []discovery.Endpoint) {
					if !first {
						report(set)
					}
					first = false
				})
			},
			caughtBy: []string{"FirstReport", "WatchAgain"},
			wantErr:  "there was no report",
		},
		{
			name: "leaves a goroutine",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				go func() { <-t.Context().Done() }()
				return good(ctx, s, report)
			},
			caughtBy: []string{"NoGoroutineLeft"},
			wantErr:  "goroutines are left",
		},
		{
			name: "leaves an open file",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				f, err := os.Open(os.DevNull)
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = f.Close() })
				return good(ctx, s, report)
			},
			caughtBy: []string{"NoFileLeft"},
			wantErr:  "files were open",
		},
		{
			name: "leaves a socket",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = l.Close() })
				return good(ctx, s, report)
			},
			caughtBy: []string{"NoFileLeft"},
			wantErr:  "files were open",
		},
		{
			name:     "rejects valid parameters",
			watch:    good,
			caughtBy: []string{"Valid"},
			wantErr:  "invalid parameter",
			invalid:  errors.New("invalid parameter"),
		},
	}
}
