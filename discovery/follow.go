package discovery

import (
	"context"
	"slices"
	"time"
)

// coalesce is the least time between two changes of the set: the first report
// of a burst counts at once, the last one when the time is over.
const coalesce = 20 * time.Millisecond

// DefaultMaxEndpoints is the [Follower.MaxEndpoints] of a pool or a resolver that
// sets none: far more servers than one client calls, and few enough to hold.
const DefaultMaxEndpoints = 16384

// Follower is what [Follow] does with the reports of a watcher. Every callback
// may be nil. Follow calls them one at a time and in order; a callback that
// blocks holds up the others, and Reported the watcher too.
type Follower struct {
	// RemovalGrace is how long endpoints stay in use that vanish when more than
	// half of what the registry reported vanishes at once. An endpoint that
	// vanishes within ten seconds of a failure or loss stays until these are over,
	// since registrars may be back later than the watch; any other stays for 100
	// ms, in case its entry is deleted and created again. Neither is longer than
	// RemovalGrace. Zero means that nothing stays. Nor does anything when the set
	// is the program's own decision, see [Watcher].
	RemovalGrace time.Duration
	// MaxEndpoints bounds the set: of a longer one, the endpoints behind the first
	// MaxEndpoints are rejected. As many more may stay in use for RemovalGrace.
	// Zero means no bound.
	MaxEndpoints int
	// Changed is called with the first report, with each set in use that differs
	// from the one before, and with the first report after a loss even if
	// nothing differs. The order of a set is not a difference. Without Changed,
	// Follow neither checks nor compares reports.
	Changed func(c Change)
	// Reported is called with each report as it is, before anything is checked,
	// held back or coalesced, from within the report. It must not keep the set.
	Reported func(set []Endpoint)
	// Rejected is called with each entry that is dropped from the set, and why:
	// the endpoint is not valid, an earlier entry has the same address, or the set
	// is full, which is told of the first endpoint alone. While an entry stays
	// where it is, a later report may have it rejected again.
	Rejected func(e Endpoint, err error)
	// Retrying is called with each failure that does not end the watch, see
	// [ReportFailure]. If it is nil, a Follow within a Watch passes them on to the
	// outer one.
	Retrying func(err error)
	// Warned is called with what a user should know of what the registry has, such as
	// entries that are skipped, and with nil when it is so no more, see [ReportWarning].
	// If it is nil, a Follow within a Watch passes warnings on to the outer one.
	Warned func(err error)
	// Lost is called when the watch has ended before ctx, with the pause after
	// which Follow begins it again. The last set stays in use.
	Lost func(err error, pause time.Duration)
}

// Change is what [Follower.Changed] is called with.
type Change struct {
	// Set is the complete set in use, without invalid entries and duplicates.
	// Nobody may modify it.
	Set []Endpoint
	// Added, Updated and Removed are the difference from the set before.
	// Updated has the endpoints that stay, with what is new of them.
	Added, Updated, Removed []Endpoint
	// Lost reports that the watch is lost: the change is that the grace of
	// removed endpoints is over, and not news from the registry.
	Lost bool
}

// Follow watches w until ctx is done, and returns when the watch has ended. A
// watcher that ignores its context holds Follow up.
//
// A watch that ends before ctx, by an error, nil or a panic, is lost: Follow
// begins it again after a random pause of up to 100 ms, doubling to 30 s, and
// short again after a watch that lasted five seconds. Meanwhile the last set
// stays in use.
//
// Follow validates reports entry by entry, and compares each with the one
// before, at most once in 20 ms: of a burst, the first report counts at once
// and then the last.
func Follow(ctx context.Context, w Watcher, f Follower) {
	r := &following{
		Follower: f,
		tracker:  tracker{grace: f.RemovalGrace, max: f.MaxEndpoints, rejected: f.Rejected},
		turn:     make(chan struct{}, 1),
		reports:  make(chan *report, 1),
		lost:     true,
	}
	_ = rerun(ctx, "the watcher", func(ctx context.Context, a *attempt) error {
		outer := ctx
		ctx = withRetrying(ctx, func(err error) {
			a.do(func() { r.callback(func() { r.fail(outer, err) }) })
		})
		ctx = withWarned(ctx, func(err error) {
			a.do(func() { r.callback(func() { r.warn(outer, err) }) })
		})
		return w.Watch(ctx, func(set []Endpoint) {
			own := authoritative(w)
			a.do(func() { r.receive(set, own) })
		})
	}, r.lose, r.serve)
}

// authoritative asks w about the set that it is reporting.
func authoritative(w Watcher) bool {
	a, ok := w.(interface{ Authoritative() bool })
	return ok && a.Authoritative()
}

// report is a report that is not in use yet.
type report struct {
	set []Endpoint
	// authoritative: the set is the program's own decision.
	authoritative bool
	// before is an authoritative report that this one, which is not, came
	// after. It counts first: what it removes needs no grace.
	before *report
}

// following is a call of Follow. All fields but turn and reports belong to the
// goroutine of Follow, and what its callbacks share, to whose turn it is.
type following struct {
	Follower
	tracker tracker

	turn chan struct{} // is full while a callback runs
	// reports holds at most the latest report, so that a watcher does not wait
	// for Changed.
	reports chan *report
	// pending waits for a burst to end.
	pending *report
	updated time.Time // the last time that a report or the end of a grace counted
	lost    bool      // no report since the watch was lost, or at all
}

// receive is called from the goroutine of the watch, one call at a time.
func (r *following) receive(set []Endpoint, authoritative bool) {
	if r.Reported != nil {
		r.callback(func() { r.Reported(set) })
	}
	if r.Changed == nil {
		return
	}
	next := &report{set: slices.Clone(set), authoritative: authoritative}
	select {
	case old := <-r.reports: // nobody has taken it yet
		if !authoritative {
			next.before = old.before
			if old.authoritative {
				next.before = old
			}
		}
	default:
	}
	r.reports <- next
}

func (r *following) callback(f func()) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	f()
}

// fail is called in a callback with each failure that does not end the watch.
func (r *following) fail(outer context.Context, err error) {
	r.tracker.failed = time.Now()
	if r.Retrying != nil {
		r.Retrying(err)
	} else {
		ReportFailure(outer, err)
	}
}

// warn is called in a callback with each warning.
func (r *following) warn(outer context.Context, err error) {
	if r.Warned != nil {
		r.Warned(err)
	} else {
		ReportWarning(outer, err)
	}
}

// lose calls Lost.
func (r *following) lose(err error, pause time.Duration) {
	r.lost = true
	r.callback(func() {
		r.tracker.failed = time.Now()
		if r.Lost != nil {
			r.Lost(err, pause)
		}
	})
}

// serve takes reports, and does what falls due, until a watch or a pause ends.
func (r *following) serve(end <-chan error) error {
	for {
		due, stop := r.timer()
		select {
		case next := <-r.reports:
			r.take(next)
		case <-due:
			r.update()
		case err := <-end:
			stop()
			select {
			case next := <-r.reports:
				r.take(next)
			default:
			}
			if r.pending != nil { // what was reported before the end counts before it
				r.update()
			}
			return err
		}
		stop()
	}
}

// timer returns a channel for the next thing that falls due, nil if nothing
// does.
func (r *following) timer() (<-chan time.Time, func()) {
	at := r.tracker.deadline
	if end := r.updated.Add(coalesce); r.pending != nil && (at.IsZero() || end.Before(at)) {
		at = end
	}
	if at.IsZero() {
		return nil, func() {}
	}
	d := time.Until(at)
	if d <= 0 { // no timer of no time: one in a bubble of tests has crashed Go's race detector
		due := make(chan time.Time)
		close(due)
		return due, func() {}
	}
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// take puts a report to use, at once or at the end of the burst it belongs to.
func (r *following) take(next *report) {
	if next.before != nil {
		r.pending = next.before
	}
	if r.pending != nil && r.pending.authoritative && !next.authoritative {
		r.update()
	}
	if r.pending != nil {
		r.tracker.sighted(r.pending.set, time.Now())
	}
	r.pending = next
	if time.Since(r.updated) >= coalesce {
		r.update()
	}
}

// update puts the pending report to use, if there is one, lets go what has been
// kept for its grace, and calls Changed if need be.
func (r *following) update() {
	next := r.pending
	r.pending, r.updated = nil, time.Now()
	r.callback(func() {
		back := next != nil && r.lost
		if back && !r.tracker.failed.IsZero() {
			r.tracker.failed = r.updated // no more than by now has it recovered
		}
		c, differs := r.tracker.update(next, r.updated)
		if back {
			r.lost, differs = false, true
		}
		if c.Lost = r.lost; differs {
			r.Changed(c)
		}
	})
}
