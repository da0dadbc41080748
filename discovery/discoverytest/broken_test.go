package discoverytest

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// brokenWatcher is a mistake, and the rules that have to find it.
type brokenWatcher struct {
	name     string
	watch    watchFunc
	caughtBy []string
	says     string    // part of what each of them has to say
	invalid  error     // what Validate returns
	lines    lineWatch // in place of watch: at a linePlace
}

func broken(t *testing.T) []brokenWatcher {
	t.Helper()
	return []brokenWatcher{
		{
			name: "reports the first half, then the rest",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				return good(ctx, p, func(set []core.Endpoint) {
					report(slices.Clone(set[:len(set)/2]))
					report(set)
				})
			},
			caughtBy: []string{"FirstReport", "AlwaysComplete"},
			says:     "is missing",
		},
		{
			name: "reports only what is new",
			watch: altered(func(old, set []core.Endpoint) []core.Endpoint {
				return slices.DeleteFunc(set, func(e core.Endpoint) bool { return slices.ContainsFunc(old, e.Equal) })
			}),
			caughtBy: []string{"Add", "AlwaysComplete"},
			says:     "is missing",
		},
		{
			name:     "reports an endpoint twice",
			watch:    altered(func(_, set []core.Endpoint) []core.Endpoint { return append(set, set[0]) }),
			caughtBy: []string{"FirstReport"},
			says:     "is in it twice",
		},
		{
			name:     "swallows an addition",
			watch:    swallows(func(old, set []core.Endpoint) bool { return len(old) > 0 && len(set) > len(old) }),
			caughtBy: []string{"Add"},
			says:     "waited",
		},
		{
			name:     "swallows a removal",
			watch:    swallows(func(old, set []core.Endpoint) bool { return len(set) < len(old) }),
			caughtBy: []string{"Remove"},
			says:     "waited",
		},
		{
			name:     "sees a change by the number of endpoints",
			watch:    swallows(func(old, set []core.Endpoint) bool { return len(old) > 0 && len(set) == len(old) }),
			caughtBy: []string{"Replace", "Weight", "RandomHistory"},
			says:     "waited",
		},
		{
			name:     "sees a change by the addresses",
			watch:    swallows(func(old, set []core.Endpoint) bool { return len(old) > 0 && slices.EqualFunc(set, old, sameAddr) }),
			caughtBy: []string{"Weight", "Zone", "Attrs"},
			says:     "waited",
		},
		{
			name: "keeps endpoints that are gone",
			watch: altered(func(old, set []core.Endpoint) []core.Endpoint {
				for _, e := range old {
					if !slices.ContainsFunc(set, func(o core.Endpoint) bool { return sameAddr(o, e) }) {
						set = append(set, e)
					}
				}
				return set
			}),
			caughtBy: []string{"Remove", "Replace"},
		},
		{
			name:     "takes an empty set for an error of the registry",
			watch:    swallows(func(_, set []core.Endpoint) bool { return len(set) == 0 }),
			caughtBy: []string{"Empty", "Absent"},
			says:     "waited",
		},
		{
			name: "splits addresses at the first colon",
			watch: altered(func(_, set []core.Endpoint) []core.Endpoint {
				for i, e := range set {
					host, port, _ := strings.Cut(e.Addr, ":")
					set[i].Addr = host + ":" + port[strings.LastIndex(port, ":")+1:]
				}
				return set
			}),
			caughtBy: []string{"Addresses"},
			says:     "the registry never had",
		},
		{
			name: "takes text for ASCII",
			watch: altered(func(_, set []core.Endpoint) []core.Endpoint {
				for i, e := range set {
					set[i].Zone = strings.ToValidUTF8(string([]byte(e.Zone)[:len(e.Zone)/2]), "?")
				}
				return set
			}),
			caughtBy: []string{"Unicode"},
			says:     "the registry never had",
		},
		{
			name: "reports each set from a goroutine of its own",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				return good(ctx, p, func(set []core.Endpoint) { go report(set) })
			},
			caughtBy: []string{"NotConcurrent"},
			says:     "earlier report was still running",
		},
		{
			name: "reports once more after it returned",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				err := good(ctx, p, report)
				go func() {
					time.Sleep(5 * time.Millisecond) // some time after the return
					report(nil)
				}()
				return err
			},
			caughtBy: []string{"NotAfterReturn"},
			says:     "after Watch had returned",
		},
		{
			name: "lets the registry wait for the receiver",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				return good(ctx, p, func(set []core.Endpoint) {
					p.busy.Lock()
					defer p.busy.Unlock()
					report(set)
				})
			},
			caughtBy: []string{"SlowReceiver"},
			says:     "could not be changed",
		},
		{
			name: "drops news when its queue is full",
			watch: queued(func(queue [][]core.Endpoint, set []core.Endpoint) [][]core.Endpoint {
				if len(queue) == 4 {
					return queue
				}
				return append(queue, set)
			}),
			caughtBy: []string{"SlowReceiver"},
			says:     "waited",
		},
		{
			name: "catches up with the newest first",
			watch: queued(func(queue [][]core.Endpoint, set []core.Endpoint) [][]core.Endpoint {
				return slices.Insert(queue, 0, set)
			}),
			caughtBy: []string{"SlowReceiver"},
		},
		{
			name: "reports at most every 20 ms, without a second thought",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				var next time.Time
				return good(ctx, p, func(set []core.Endpoint) {
					if now := time.Now(); now.After(next) {
						next = now.Add(20 * time.Millisecond)
						report(set)
					}
				})
			},
			caughtBy: []string{"Burst", "Storm"},
			says:     "waited",
		},
		{
			name: "looks back after each change",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				var old []core.Endpoint
				return good(ctx, p, func(set []core.Endpoint) {
					now := slices.Clone(set)
					report(set)
					report(old)
					report(slices.Clone(now))
					old = now
				})
			},
			caughtBy: []string{"Add"},
			says:     "the registry held",
		},
		{
			name: "hands out its own slice",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				var mine []core.Endpoint
				return good(ctx, p, func(set []core.Endpoint) {
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
			says:     "spoilt",
		},
		{
			name:     "shares its cache between watches",
			watch:    sharedSlice,
			caughtBy: []string{"ReceiverOwnsSlice"},
			says:     "spoilt",
		},
		{
			name:     "closes what it shares with another watch",
			watch:    sharedEnd,
			caughtBy: []string{"Independent"},
			says:     "Watch returned",
		},
		{
			name: "ignores the end of its context",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				forever(t, p, report)
				return ctx.Err()
			},
			caughtBy: []string{"CancelIdle", "CancelInReport", "CancelBeforeStart"},
			says:     "had not returned",
		},
		{
			name: "looks at its context only when there is news",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				if err := ctx.Err(); err != nil {
					return err
				}
				forever(t, p, func(set []core.Endpoint) {
					if ctx.Err() == nil {
						report(set)
					}
				})
				return ctx.Err()
			},
			caughtBy: []string{"CancelIdle"},
			says:     "had not returned",
		},
		{
			name: "returns while report still runs",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				done := make(chan error, 1)
				go func() { done <- good(ctx, p, report) }()
				select {
				case err := <-done:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			caughtBy: []string{"CancelInReport"},
			says:     "still running",
		},
		{
			name: "returns nil when its context has ended",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				_ = good(ctx, p, report)
				return nil
			},
			caughtBy: []string{"ContextError", "CancelIdle"},
			says:     "Watch returned nil",
		},
		{
			name: "returns an error of its own when its context has ended",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				_ = good(ctx, p, report)
				return errors.New("watch: stopped")
			},
			caughtBy: []string{"ContextError"},
			says:     "does not match",
		},
		{
			name: "takes every end for a cancellation",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				_ = good(ctx, p, report)
				return context.Canceled
			},
			caughtBy: []string{"ContextError"},
			says:     "does not match",
		},
		{
			name: "can be used once",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				p.shared.mu.Lock()
				used := p.shared.used
				p.shared.used = true
				p.shared.mu.Unlock()
				if used {
					return errors.New("watch: closed")
				}
				return good(ctx, p, report)
			},
			caughtBy: []string{"WatchAgain", "WatchAgainAfterChange"},
			says:     "watch: closed",
		},
		{
			name:     "reports what it knew when it is begun again",
			watch:    remembers,
			caughtBy: []string{"WatchAgainAfterChange"},
		},
		{
			name: "waits for a change before its first report",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				first := true
				return good(ctx, p, func(set []core.Endpoint) {
					if !first {
						report(set)
					}
					first = false
				})
			},
			caughtBy: []string{"FirstReport", "WatchAgain"},
			says:     "nothing was reported",
		},
		{
			name: "leaves a goroutine",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				go func() { <-t.Context().Done() }()
				return good(ctx, p, report)
			},
			caughtBy: []string{"NoGoroutineLeft"},
			says:     "goroutines are left",
		},
		{
			name: "leaves an open file",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				f, err := os.Open(os.DevNull)
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = f.Close() })
				return good(ctx, p, report)
			},
			caughtBy: []string{"NoFileLeft"},
			says:     "files were open",
		},
		{
			name: "leaves a socket",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = l.Close() })
				return good(ctx, p, report)
			},
			caughtBy: []string{"NoFileLeft"},
			says:     "files were open",
		},
		{
			name:     "finds a mistake where there is none",
			watch:    good,
			caughtBy: []string{"Valid"},
			says:     "no such thing",
			invalid:  errors.New("there is no such thing"),
		},
		{
			name: "reports a lost connection as an empty set",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				err := good(ctx, p, report)
				if errors.Is(err, errLost) {
					report(nil)
				}
				return err
			},
			caughtBy: []string{"Cut"},
			says:     "is missing",
		},
		{
			name: "does not notice a lost connection",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				err := good(ctx, p, report)
				<-ctx.Done()
				return err
			},
			caughtBy: []string{"Cut"},
			says:     "waited",
		},
		{
			name: "waits for an answer without an eye on its context",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				p.mu.Lock()
				answers := p.answers
				p.mu.Unlock()
				<-answers
				return good(ctx, p, report)
			},
			caughtBy: []string{"CancelHung"},
			says:     "had not returned",
		},
		{
			name: "waits for a connection without an eye on its context",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				if p.refuses() {
					<-t.Context().Done()
				}
				return good(ctx, p, report)
			},
			caughtBy: []string{"CancelCut"},
			says:     "had not returned",
		},
		{
			name: "takes a registry that it cannot reach for an empty one",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				if p.refuses() {
					report(nil)
				}
				return good(ctx, p, report)
			},
			caughtBy: []string{"Unreachable"},
			says:     "was reported",
		},
		{
			name:     "takes the end of a connection for the end of the list",
			lines:    untilEOF,
			caughtBy: []string{"CutAtEveryByte"},
			says:     "cut before byte",
		},
		{
			name: "reads 4 KiB of a value",
			watch: altered(func(_, set []core.Endpoint) []core.Endpoint {
				for i, e := range set {
					for k, v := range e.Attrs {
						set[i].Attrs = map[string]string{k: v[:min(len(v), 4<<10)]}
					}
				}
				return set
			}),
			caughtBy: []string{"HugeValue"},
			says:     "the registry never had",
		},
		{
			name: "reads the first 100 entries",
			watch: altered(func(_, set []core.Endpoint) []core.Endpoint {
				return set[:min(len(set), 100)]
			}),
			caughtBy: []string{"Large"},
			says:     "is missing",
		},
		{
			name: "reads everything after each change",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				return good(ctx, p, func(set []core.Endpoint) {
					p.requests.Add(int64(len(set)))
					report(set)
				})
			},
			caughtBy: []string{"OneOfMany"},
			says:     "requests",
		},
		{
			name: "gives up at a malformed entry",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				if p.spoilt.Load() {
					return errors.New("watch: unexpected end of JSON input")
				}
				return good(ctx, p, report)
			},
			caughtBy: []string{"Malformed"},
			says:     "unexpected end of JSON",
		},
		{
			name: "matches its path as a prefix",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				return good(ctx, p, func(set []core.Endpoint) {
					p.mu.Lock()
					set = append(set, p.beside...)
					p.mu.Unlock()
					report(set)
				})
			},
			caughtBy: []string{"Beside"},
			says:     "the registry never had",
		},
		{
			name: "leaves a watch in the registry",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				p.watches.Add(1)
				return good(ctx, p, report)
			},
			caughtBy: []string{"NoWatchLeft"},
			says:     "the registry held",
		},
		{
			name:     "waits for a dead session",
			watch:    deafAfter(func(p *fakePlace) bool { return p.expired.Load() }),
			caughtBy: []string{"Expired"},
			says:     "waited",
		},
		{
			name:     "waits for a history that is gone",
			watch:    deafAfter(func(p *fakePlace) bool { return p.compacted.Load() }),
			caughtBy: []string{"Compacted"},
			says:     "waited",
		},
		{
			name: "stops when its path is removed",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				return good(ctx, p, func(set []core.Endpoint) {
					if len(set) == 0 || !p.removed.Load() {
						report(set)
					}
				})
			},
			caughtBy: []string{"Removed"},
			says:     "waited",
		},
		{
			name: "takes what it may not read for nothing",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				if p.denies() {
					report(nil)
				}
				return good(ctx, p, report)
			},
			caughtBy: []string{"Revoked"},
			says:     "was reported",
		},
		{
			name: "waits for permission in silence",
			watch: func(ctx context.Context, p *fakePlace, report func([]core.Endpoint)) error {
				if p.denies() {
					<-ctx.Done()
					return ctx.Err()
				}
				return good(ctx, p, report)
			},
			caughtBy: []string{"Revoked"},
			says:     "waited",
		},
	}
}
