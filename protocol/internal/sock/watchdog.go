package sock

import (
	"context"
	"sync"
	"time"
)

const (
	// patrol is how often young calls in flight are looked at: a call whose
	// context is cancelled ends within about that time.
	patrol = 2 * time.Millisecond
	// young is how many rounds look at a call before it is left to a callback
	// of its context.
	young = 4
)

// Watchdog ends the calls whose contexts were cancelled.
//
// The deadline of a call is set on its connection, which costs 90 ns, but a
// context may also end before its deadline, and nothing tells but its Done
// channel. context.AfterFunc would: measured 350 ns and 5 allocations per call
// on a context made for the call, and asking for Done alone one allocation. So
// while a call is young nobody waits for Done. It leaves its context with its
// connection; a timer fires each [patrol] and asks for its Err. Only a call
// that has lasted for several rounds is worth an AfterFunc.
//
// A call pays for two uncontended locks, 20 ns. A connection enters the list of
// those to look at once per round at most, and leaves it when it is found
// without a call, or with one that is no longer young; so a round costs what
// there was of calls since the last, and when there was none the timer rests.
// There is no goroutine to stop.
type Watchdog struct {
	timer *time.Timer

	mu   sync.Mutex // taken before a guard's
	list []*Guard
}

// NewWatchdog returns a watchdog, one for all connections of a dialer.
func NewWatchdog() *Watchdog {
	w := &Watchdog{}
	w.timer = time.AfterFunc(time.Hour, w.round)
	w.timer.Stop()
	return w
}

// Guard returns the watchdog's view of one connection, where abort ends the call
// in flight. It is called when the context of that call is cancelled, and never
// without a call in flight: hence it cannot hit the next one. It must not block.
func (w *Watchdog) Guard(abort func()) *Guard { return &Guard{dog: w, abort: abort} }

// enlist makes the coming rounds look at g.
func (w *Watchdog) enlist(g *Guard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, g)
	if len(w.list) == 1 {
		w.timer.Reset(patrol)
	}
}

// round looks at each connection in the list once.
func (w *Watchdog) round() {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.list[:0]
	for _, g := range w.list {
		if g.look() {
			kept = append(kept, g)
		}
	}
	clear(w.list[len(kept):])
	if w.list = kept; len(kept) > 0 {
		w.timer.Reset(patrol)
	}
}

// Guard is a watchdog's view of one connection, made by [Watchdog.Guard].
type Guard struct {
	dog   *Watchdog
	abort func()

	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // of the call in flight; nil = none
	call   uint64          // number of that call
	rounds int             // that have looked at it
	hit    bool            // it was aborted
	stop   func() bool     // takes back the callback of ctx; nil = there is none
	listed bool            // the rounds look here
}

// Begin watches a call until End. A context that cannot be cancelled is watched
// in vain; asking it would allocate.
func (g *Guard) Begin(ctx context.Context) {
	g.mu.Lock()
	g.ctx, g.rounds, g.hit = ctx, 0, false
	g.call++
	fresh := !g.listed
	g.listed = true
	g.mu.Unlock()
	if fresh {
		g.dog.enlist(g)
	}
}

// End ends the watch and reports whether the call was aborted.
func (g *Guard) End() bool {
	g.mu.Lock()
	hit, stop := g.hit, g.stop
	g.ctx, g.stop, g.hit = nil, nil, false
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
	return hit
}

// Hit reports whether the call in flight was aborted. What undid the abort since
// must abort it again.
func (g *Guard) Hit() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hit
}

// Abandon ends the watch of a call that will not end by itself, and reports
// whether there was one.
func (g *Guard) Abandon() bool {
	g.mu.Lock()
	watched := g.ctx != nil
	g.mu.Unlock()
	g.End()
	return watched
}

// look aborts the call in flight if it is cancelled, and reports whether there
// is one that the next round must look at.
func (g *Guard) look() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listed = false
	if g.ctx == nil || g.hit {
		return false
	}
	if g.ctx.Err() != nil {
		g.hit = true
		g.abort()
		return false
	}
	if g.rounds++; g.rounds >= young {
		call := g.call
		g.stop = context.AfterFunc(g.ctx, func() { g.cancelled(call) })
		return false
	}
	g.listed = true
	return true
}

// cancelled is the callback of the context of a call.
func (g *Guard) cancelled(call uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx != nil && g.call == call && !g.hit {
		g.hit = true
		g.abort()
	}
}
