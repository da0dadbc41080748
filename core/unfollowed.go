package core

import (
	"errors"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// unfollowedAfter is how long the set may not be followed without a word.
const unfollowedAfter = 10 * time.Second

var (
	errSilent  = errors.New("core: the watcher has reported nothing yet, and no failure, for 10 s")
	errStalled = errors.New("core: the set is not followed: for 10 s the balancer has not returned")
)

// follower is what the pool does with the reports of its watcher.
func (p *pool) follower() discovery.Follower {
	return discovery.Follower{
		RemovalGrace: p.cfg.removalGrace, MaxEndpoints: p.cfg.maxEndpoints,
		Changed: p.follow, Rejected: p.reject, Retrying: p.watchFailing, Warned: p.watchWarned, Lost: p.watchLost,
	}
}

// follow is apply, which calls the balancer. While that has not returned for too long,
// no change of the set counts: the pool says that it is stale. Observers hold nothing
// up for that long. Follow calls it, one call at a time.
func (p *pool) follow(c discovery.Change) {
	noted := make(chan struct{})
	late := time.AfterFunc(unfollowedAfter, func() {
		defer close(noted)
		p.stalled.Store(&stall{time.Now()})
		p.event(Event{Kind: EventWatchLost, Err: errStalled})
	})
	defer func() {
		if !late.Stop() {
			<-noted
			p.stalled.Store(nil)
		}
	}()
	p.apply(c)
}

// stall is since when the set is not followed.
type stall struct{ since time.Time }

// checkSilence notes once that a watcher has said nothing at all.
func (j *janitor) checkSilence(v *snapshot, now time.Duration) {
	if j.silenceChecked || now < unfollowedAfter {
		return
	}
	j.silenceChecked = true
	if err := errSilent; v.state == StatePending && j.p.lastWatch.CompareAndSwap(nil, &err) {
		j.p.event(Event{Kind: EventWatchLost, Err: err})
	}
}

// apart calls f, the user's, in a goroutine of its own, which f may end, as testing's
// FailNow does: the caller's may be a loop that the pool needs. It returns what f
// panicked with, or nil.
func apart(f func()) (panicked any) {
	ended := make(chan struct{})
	go func() { // ends with f
		defer close(ended)
		defer func() { panicked = recover() }()
		f()
	}()
	<-ended
	return panicked
}
