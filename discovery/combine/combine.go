// Package combine makes one watcher of others: [Union] of several registries,
// [Failover] from one to another, [Filter] of what a registry says, [Swap],
// which exchanges the registry of a running pool, and [Remember], which lets a
// program begin while its registry is down.
//
// All of them keep the contract of [core.Watcher], given watchers that do, and
// are safe for concurrent use. Where several watchers run at a time, one that
// is lost is begun again with the back-off of the pool's own watch loop, and
// its last set counts meanwhile.
package combine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/retry"
)

// group is the watches that one Watch runs.
type group struct {
	running sync.WaitGroup
	// news holds a token when a follower has something to tell.
	news chan struct{}
}

func newGroup() *group { return &group{news: make(chan struct{}, 1)} }

// follower runs one watcher until it is stopped, and has its last set.
type follower struct {
	stop context.CancelFunc

	mu   sync.Mutex
	said status
}

// status is what a follower knows.
type status struct {
	set   []core.Endpoint
	known bool  // there was a report
	live  bool  // there was one, and the watch was not lost since
	err   error // of the last loss, until the next report
	// since is when the watch was last lost, or begun if it never reported.
	since time.Time
}

// follow begins to run w. It ends with ctx or with stop; g.running waits.
func (g *group) follow(ctx context.Context, w core.Watcher) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{stop: cancel, said: status{since: time.Now()}}
	change := func(how func(s *status)) {
		f.mu.Lock()
		how(&f.said)
		f.mu.Unlock()
		select {
		case g.news <- struct{}{}:
		default:
		}
	}
	g.running.Go(func() {
		_ = retry.Forever(ctx, func(ctx context.Context) error {
			return w.Watch(ctx, func(set []core.Endpoint) {
				set = slices.Clone(set)
				change(func(s *status) { s.set, s.known, s.live, s.err = set, true, true, nil })
			})
		}, func(err error, _ time.Duration) {
			change(func(s *status) {
				if s.live {
					s.since = time.Now()
				}
				s.live, s.err = false, err
			})
		})
	})
	return f
}

func (f *follower) status() status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said
}

// changes passes on the sets that differ from the last one.
func changes(report func([]core.Endpoint)) func([]core.Endpoint) {
	var last []core.Endpoint
	told := false
	return func(set []core.Endpoint) {
		if told && slices.EqualFunc(set, last, core.Endpoint.Equal) {
			return
		}
		last, told = slices.Clone(set), true
		report(slices.Clone(set))
	}
}

// validate asks those of the watchers that have an answer.
func validate(ws ...core.Watcher) error {
	var errs []error
	for _, w := range ws {
		if w == nil {
			errs = append(errs, errors.New("combine: a watcher is nil"))
		} else if v, ok := w.(interface{ Validate() error }); ok {
			errs = append(errs, v.Validate())
		}
	}
	return errors.Join(errs...)
}
