package discoverytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// brokenReports returns watchers that report in a wrong way.
func brokenReports(t *testing.T) []brokenWatcher {
	t.Helper()
	return []brokenWatcher{
		{
			name: "reports the first half, then the rest",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) {
					report(slices.Clone(set[:len(set)/2]))
					report(set)
				})
			},
			caughtBy: []string{"FirstReport", "AlwaysComplete"},
			wantErr:  "is missing",
		},
		{
			name: "reports only what is new",
			watch: altered(func(old, set []discovery.Endpoint) []discovery.Endpoint {
				return slices.DeleteFunc(set, func(e discovery.Endpoint) bool { return slices.ContainsFunc(old, e.Equal) })
			}),
			caughtBy: []string{"Add", "AlwaysComplete"},
			wantErr:  "is missing",
		},
		{
			name:     "reports an endpoint twice",
			watch:    altered(func(_, set []discovery.Endpoint) []discovery.Endpoint { return append(set, set[0]) }),
			caughtBy: []string{"FirstReport"},
			wantErr:  "is in the report twice",
		},
		{
			name:     "swallows an addition",
			watch:    swallows(func(old, set []discovery.Endpoint) bool { return len(old) > 0 && len(set) > len(old) }),
			caughtBy: []string{"Add"},
			wantErr:  "did not report",
		},
		{
			name:     "swallows a removal",
			watch:    swallows(func(old, set []discovery.Endpoint) bool { return len(set) < len(old) }),
			caughtBy: []string{"Remove"},
			wantErr:  "did not report",
		},
		{
			name:     "compares only the number of endpoints",
			watch:    swallows(func(old, set []discovery.Endpoint) bool { return len(old) > 0 && len(set) == len(old) }),
			caughtBy: []string{"Replace", "Weight", "RandomHistory"},
			wantErr:  "did not report",
		},
		{
			name:     "compares only the addresses",
			watch:    swallows(func(old, set []discovery.Endpoint) bool { return len(old) > 0 && slices.EqualFunc(set, old, sameAddr) }),
			caughtBy: []string{"Weight", "Zone", "Attrs"},
			wantErr:  "did not report",
		},
		{
			name: "keeps endpoints that are gone",
			watch: altered(func(old, set []discovery.Endpoint) []discovery.Endpoint {
				for _, e := range old {
					if !slices.ContainsFunc(set, func(o discovery.Endpoint) bool { return sameAddr(o, e) }) {
						set = append(set, e)
					}
				}
				return set
			}),
			caughtBy: []string{"Remove", "Replace"},
		},
		{
			name:     "takes an empty set for an error of the registry",
			watch:    swallows(func(_, set []discovery.Endpoint) bool { return len(set) == 0 }),
			caughtBy: []string{"Empty", "Absent"},
			wantErr:  "did not report",
		},
		{
			name: "splits addresses at the first colon",
			watch: altered(func(_, set []discovery.Endpoint) []discovery.Endpoint {
				for i, e := range set {
					host, port, _ := strings.Cut(e.Addr, ":")
					set[i].Addr = host + ":" + port[strings.LastIndex(port, ":")+1:]
				}
				return set
			}),
			caughtBy: []string{"Addresses"},
			wantErr:  "the registry never held",
		},
		{
			name: "takes text for ASCII",
			watch: altered(func(_, set []discovery.Endpoint) []discovery.Endpoint {
				for i, e := range set {
					set[i].Zone = strings.ToValidUTF8(string([]byte(e.Zone)[:len(e.Zone)/2]), "?")
				}
				return set
			}),
			caughtBy: []string{"Unicode"},
			wantErr:  "the registry never held",
		},
		{
			name: "reports each set from a goroutine of its own",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) { go report(set) })
			},
			caughtBy: []string{"NotConcurrent"},
			wantErr:  "earlier report was still running",
		},
		{
			name: "reports once more after it returned",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				err := good(ctx, s, report)
				go func() {
					time.Sleep(5 * time.Millisecond) // some time after the return
					report(nil)
				}()
				return err
			},
			caughtBy: []string{"NotAfterReturn"},
			wantErr:  "after Watch had returned",
		},
		{
			name: "blocks the registry while the receiver runs",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				return good(ctx, s, func(set []discovery.Endpoint) {
					s.busy.Lock()
					defer s.busy.Unlock()
					report(set)
				})
			},
			caughtBy: []string{"SlowReceiver"},
			wantErr:  "could not change the registry",
		},
		{
			name: "drops news when its queue is full",
			watch: queued(func(queue [][]discovery.Endpoint, set []discovery.Endpoint) [][]discovery.Endpoint {
				if len(queue) == 4 {
					return queue
				}
				return append(queue, set)
			}),
			caughtBy: []string{"SlowReceiver"},
			wantErr:  "did not report",
		},
		{
			name: "reports a queue from its end",
			watch: queued(func(queue [][]discovery.Endpoint, set []discovery.Endpoint) [][]discovery.Endpoint {
				return slices.Insert(queue, 0, set)
			}),
			caughtBy: []string{"SlowReceiver"},
		},
		{
			name: "drops sets that follow within 1 s",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				var next time.Time
				return good(ctx, s, func(set []discovery.Endpoint) {
					if now := time.Now(); now.After(next) {
						next = now.Add(time.Second)
						report(set)
					}
				})
			},
			caughtBy: []string{"Burst", "Storm"},
			wantErr:  "did not report",
		},
		{
			name: "reports the set before again after each change",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				var old []discovery.Endpoint
				return good(ctx, s, func(set []discovery.Endpoint) {
					now := slices.Clone(set)
					report(set)
					report(old)
					report(slices.Clone(now))
					old = now
				})
			},
			caughtBy: []string{"Add"},
			wantErr:  "the registry held",
		},
		{
			name: "reports its own slice",
			watch: func(ctx context.Context, s *fakeService, report func([]discovery.Endpoint)) error {
				var mine []discovery.Endpoint
				return good(ctx, s, func(set []discovery.Endpoint) {
					// An entry that was there before is not read again.
					for i, e := range set {
						if i >= len(mine) || len(set) < len(mine) {
							mine = append(mine[:i], e)
						}
					}
					mine = mine[:len(set)]
					report(mine)
				})
			},
			caughtBy: []string{"ReceiverOwnsSliceOfChange"},
			wantErr:  "overwritten",
		},
		{
			name:     "shares its cache between watches",
			watch:    sharedSlice,
			caughtBy: []string{"ReceiverOwnsSlice"},
			wantErr:  "overwritten",
		},
		{
			name:     "closes what it shares with another watch",
			watch:    sharedEnd,
			caughtBy: []string{"Independent"},
			wantErr:  "Watch returned",
		},
	}
}
