// Package combine makes watchers of watchers: [Union] of several registries,
// [Failover] from one to another, [Filter] of what a registry reports, [Swap],
// which exchanges the registry of a running pool, and [Remember], with which a
// program starts while its registry is down. [Open] makes unions and failovers of a
// line of configuration.
//
// All of them keep the contract of [discovery.Watcher], given watchers that do,
// and are safe for concurrent use. They run their watchers by [discovery.Follow]:
// a watch that is lost is begun again with back-off, its last set counts
// meanwhile, and the loss is reported, see [discovery.ReportFailure]. Of several
// watchers, the warnings are reported together, see [discovery.ReportWarning]. They
// compare no sets, and may repeat one.
//
// A set counts as the program's own decision if the watcher that it comes from
// says so, see [discovery.Watcher].
package combine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// group is the watches that one Watch runs.
type group struct {
	running sync.WaitGroup
	// news holds a token when the status of a follower has changed.
	news chan struct{}

	mu       sync.Mutex
	warnings []*warning // of the followers, in the order in which they began
}

// warning is what a user should know of one watcher; nil for nothing.
type warning struct{ err error }

// warn reports the warnings of all with this one of a follower, unless that was stopped.
func (g *group) warn(ctx, follower context.Context, w *warning, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if follower.Err() != nil {
		return
	}
	w.err = err
	g.reportWarningsLocked(ctx)
}

// unwarn takes back the warning of a follower that was stopped.
func (g *group) unwarn(ctx context.Context, w *warning) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.warnings = slices.DeleteFunc(g.warnings, func(o *warning) bool { return o == w })
	if w.err != nil {
		g.reportWarningsLocked(ctx)
	}
}

func (g *group) reportWarningsLocked(ctx context.Context) {
	var all []error
	for _, w := range g.warnings {
		all = append(all, w.err)
	}
	discovery.ReportWarning(ctx, errors.Join(all...))
}

func newGroup() *group { return &group{news: make(chan struct{}, 1)} }

// follower runs one watcher until it is stopped, and has its last set.
type follower struct {
	stop func()

	mu  sync.Mutex
	now status
}

// status is what a follower knows.
type status struct {
	set   []discovery.Endpoint
	known bool  // there was a report
	live  bool  // there was one, and the watch was not lost since
	fresh bool  // there was one since the last call of status
	own   bool  // the set is the program's own decision
	err   error // of the last loss, until the next report
	// since is when the watch was last lost, or begun if it never reported.
	since time.Time
}

// follow begins to run w. It ends with ctx or with stop; g.running waits.
func (g *group) follow(ctx context.Context, w discovery.Watcher) *follower {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	note := &warning{}
	g.mu.Lock()
	g.warnings = append(g.warnings, note)
	g.mu.Unlock()
	f := &follower{now: status{since: time.Now()}, stop: func() { cancel(); g.unwarn(outer, note) }}
	change := func(how func(s *status)) {
		f.mu.Lock()
		how(&f.now)
		f.mu.Unlock()
		select {
		case g.news <- struct{}{}:
		default:
		}
	}
	g.running.Go(func() {
		discovery.Follow(ctx, w, discovery.Follower{
			Reported: func(set []discovery.Endpoint) {
				set, own := slices.Clone(set), isOwn(w)
				change(func(s *status) {
					s.set, s.known, s.live, s.fresh, s.own, s.err = set, true, true, true, own, nil
				})
			},
			Warned: func(err error) { g.warn(outer, ctx, note, err) },
			Lost: func(err error, _ time.Duration) {
				change(func(s *status) {
					if s.live {
						s.since = time.Now()
					}
					s.live, s.err = false, err
				})
				discovery.ReportFailure(outer, err) // the others may go on without it
			},
		})
	})
	return f
}

// status returns what the follower knows.
func (f *follower) status() status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.now
	f.now.fresh = false
	return s
}

// isOwn asks w, from within its report, whether the set is the program's own
// decision.
func isOwn(w discovery.Watcher) bool {
	a, ok := w.(interface{ Authoritative() bool })
	return ok && a.Authoritative()
}

// origin knows of the sets that the Watches of one watcher are reporting whether
// they are the program's own decision.
type origin struct {
	mu             sync.Mutex
	reporting, own int // calls of report that run; those of them with an own set
}

// report calls report with the set.
func (o *origin) report(report func([]discovery.Endpoint), set []discovery.Endpoint, own bool) {
	o.count(+1, own)
	defer o.count(-1, own)
	report(set)
}

func (o *origin) count(n int, own bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reporting += n
	if own {
		o.own += n
	}
}

// Authoritative is of [discovery.Watcher]. The caller is in one of the reports,
// unknown in which: while several run, the answer is true if it is for all of
// them. False at worst leaves endpoints in use for the grace.
func (o *origin) Authoritative() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reporting > 0 && o.own == o.reporting
}

// places names what the watchers watch that can say so, joined by between.
func places(between string, ws ...discovery.Watcher) string {
	var all []string
	for _, w := range ws {
		if s, ok := w.(interface{ String() string }); ok && s.String() != "" {
			all = append(all, s.String())
		}
	}
	return strings.Join(all, between)
}

// validate validates those of the watchers that can be.
func validate(ws ...discovery.Watcher) error {
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
