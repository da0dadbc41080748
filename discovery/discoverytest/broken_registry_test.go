package discoverytest

import (
	"context"
	"errors"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// brokenRegistryUse returns watchers that handle the registry and its faults in a wrong way.
func brokenRegistryUse(t *testing.T) []brokenWatcher {
	t.Helper()
	return []brokenWatcher{
		{
			name: "reports a lost connection as an empty set",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				err := good(ctx, s, report)
				if errors.Is(err, errLost) {
					report(nil)
				}
				return err
			},
			caughtBy: []string{"Cut"},
			wantErr:  "is missing",
		},
		{
			name: "does not notice a lost connection",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				err := good(ctx, s, report)
				<-ctx.Done()
				return err
			},
			caughtBy: []string{"Cut"},
			wantErr:  "did not report",
		},
		{
			name: "waits for an answer and ignores its context",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				s.mu.Lock()
				answers := s.answers
				s.mu.Unlock()
				<-answers
				return good(ctx, s, report)
			},
			caughtBy: []string{"CancelHung"},
			wantErr:  "had not returned",
		},
		{
			name: "waits for a connection and ignores its context",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				if s.refuses() {
					<-t.Context().Done()
				}
				return good(ctx, s, report)
			},
			caughtBy: []string{"CancelCut"},
			wantErr:  "had not returned",
		},
		{
			name: "reports a registry that it cannot reach as empty",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				if s.refuses() {
					report(nil)
				}
				return good(ctx, s, report)
			},
			caughtBy: []string{"Unreachable"},
			wantErr:  "Watch reported",
		},
		{
			name:     "takes the end of a connection for the end of the list",
			lines:    untilEOF,
			caughtBy: []string{"CutAtEveryByte"},
			wantErr:  "cut before byte",
		},
		{
			name: "reads 4 KiB of a value",
			watch: altered(func(_, set []discovery.Endpoint) []discovery.Endpoint {
				for i, e := range set {
					for k, v := range e.Attrs {
						set[i].Attrs = map[string]string{k: v[:min(len(v), 4<<10)]}
					}
				}
				return set
			}),
			caughtBy: []string{"HugeValue"},
			wantErr:  "the registry never held",
		},
		{
			name: "reads the first 100 entries",
			watch: altered(func(_, set []discovery.Endpoint) []discovery.Endpoint {
				return set[:min(len(set), 100)]
			}),
			caughtBy: []string{"Large"},
			wantErr:  "is missing",
		},
		{
			name: "reads everything after each change",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) {
					s.requests.Add(int64(len(set)))
					report(set)
				})
			},
			caughtBy: []string{"OneOfMany"},
			wantErr:  "requests",
		},
		{
			name: "returns an error for a malformed entry",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				if s.malformed.Load() {
					return errors.New("watch: unexpected end of JSON input")
				}
				return good(ctx, s, report)
			},
			caughtBy: []string{"Malformed"},
			wantErr:  "unexpected end of JSON",
		},
		{
			name: "matches its path as a prefix",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) {
					s.mu.Lock()
					set = append(set, s.sibling...)
					s.mu.Unlock()
					report(set)
				})
			},
			caughtBy: []string{"Sibling"},
			wantErr:  "the registry never held",
		},
		{
			name: "leaves a watch in the registry",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				s.watches.Add(1)
				return good(ctx, s, report)
			},
			caughtBy: []string{"NoWatchLeft"},
			wantErr:  "the registry held",
		},
		{
			name:     "waits for an expired session",
			watch:    deafAfter(func(s *fakeService) bool { return s.expired.Load() }),
			caughtBy: []string{"Expired"},
			wantErr:  "did not report",
		},
		{
			name:     "waits for a history that the registry has dropped",
			watch:    deafAfter(func(s *fakeService) bool { return s.compacted.Load() }),
			caughtBy: []string{"Compacted"},
			wantErr:  "did not report",
		},
		{
			name: "does not report that the service is removed",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) {
					if len(set) == 0 || !s.removed.Load() {
						report(set)
					}
				})
			},
			caughtBy: []string{"Removed"},
			wantErr:  "did not report",
		},
		{
			name: "reports what it may not read as empty",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				if s.denies() {
					report(nil)
				}
				return good(ctx, s, report)
			},
			caughtBy: []string{"Revoked"},
			wantErr:  "Watch reported",
		},
		{
			name: "waits for permission without an error",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				if s.denies() {
					<-ctx.Done()
					return ctx.Err()
				}
				return good(ctx, s, report)
			},
			caughtBy: []string{"Revoked"},
			wantErr:  "did not report",
		},
	}
}
