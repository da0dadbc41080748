package core

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// subpool is the connections of one endpoint: it opens them when there is
// demand, checks and retires them, and drains them when the endpoint leaves.
// Leasing itself is package slots.
//
// A position is the right to one connection. It is taken before the dial and
// given back after the close, so that open, dialing and closing connections
// together never exceed the limit.
//
// An endpoint that was never dialed, as most of a large fleet, has no connections of its
// own and no tally: 256 bytes are all that a sub-pool has then.
type subpool struct {
	slots.Set

	pool     *pool
	endpoint atomic.Pointer[Endpoint]
	tallied  atomic.Pointer[tally]
	index    atomic.Int32 // in the newest snapshot that has it
	at       int32        // likewise, for edit alone
	listed   atomic.Bool  // the janitor looks at it, or is about to
	drained  atomic.Bool  // by Drain: nothing is dialed that no call waits for
	// hangUps counts the new connections that the server has closed since the
	// last call that went well.
	hangUps  atomic.Int32
	draining bool         // under mu
	hungUpAt atomic.Int64 // when the last of hangUps was counted
	// demand is the number of calls that wait for a dial here. It changes
	// without the lock; a call that adds to it looks under the lock afterwards.
	demand atomic.Int64
	// lastFailure is with what a call last failed, or its connection was discarded.
	lastFailure atomic.Pointer[error]

	// empty is closed when a drained sub-pool holds no connection any more. It is
	// nil until then: few endpoints of a large fleet ever drain.
	empty chan struct{}

	mu sync.Mutex
	// connections are under mu. Until the first dial they are those of all sub-pools
	// that were never dialed, which nobody changes; see ownLocked.
	*connections
}

// connections are the connections of a sub-pool, and what its dials have come to.
type connections struct {
	// life ends with the sub-pool and cuts short what is under way, which lives counts;
	// see alive.
	life  context.Context //nolint:containedctx // the sub-pool's own lifetime, not a call's
	end   context.CancelFunc
	lives int
	// conns by position: nil is vacant, taken is a position without a
	// connection in it (dialing or closing).
	conns []*slots.Conn
	// open, dialing and closing count positions; they add up to those taken.
	open, dialing, closing int
	// overdue counts the dials among dialing that have not returned in time.
	overdue int
	// checking counts idle slots that a check has taken for a moment.
	checking int
	// share is how many calls the newest connection carries; the next is
	// expected to carry as many.
	share int
	// handingOver counts open connections that were not given away yet.
	handingOver int
	// failing is when the dials began to fail, -1 while they do not; none is
	// begun before retryAt.
	failing, retryAt time.Duration
	retry            *time.Timer
	// expiry fires when the next connection is at the end of its lifetime.
	expiry                  *time.Timer
	lastDial                error
	dials, failures, closed uint64
	// uses are leases of connections already closed.
	uses uint64
}

// undialed returns the connections of sub-pools that were never dialed.
func undialed(share int) *connections { return &connections{failing: -1, share: share} }

// ownLocked gives s connections of its own, if it has none. Every dial begins with it,
// and only what comes after a dial changes them.
func (s *subpool) ownLocked() {
	if s.connections == s.pool.undialed {
		own := *s.connections
		s.connections = &own
	}
}

// taken marks a position without a connection in it.
var taken = new(slots.Conn) //nolint:gochecknoglobals // a mark, never changed

func (p *pool) newSubpool(e Endpoint) *subpool {
	s := &subpool{pool: p, connections: p.undialed}
	s.endpoint.Store(&e)
	s.Init(&p.queue.awaited)
	s.SetLimit(p.idleLimit())
	return s
}

// subpoolOf returns the sub-pool that sl is a slot of.
func subpoolOf(sl *slots.Slot) *subpool {
	s, _ := sl.Conn.Owner.(*subpool)
	return s
}

// alive returns a context that ends with the sub-pool, and a function to call when it is
// not needed any more. All dials, checks and resets that are under way share one, and the
// last of them drops it: a context that had children keeps 450 bytes.
func (s *subpool) alive() (life context.Context, over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives++; s.lives == 1 {
		s.life, s.end = context.WithCancel(context.Background())
		if s.draining {
			s.end()
		}
	}
	return s.life, s.outlived
}

// outlived ends one use of what alive returned.
func (s *subpool) outlived() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives--; s.lives == 0 {
		s.end()
		s.life, s.end = nil, nil
	}
}

func (s *subpool) addr() string { return s.endpoint.Load().Addr }

// giveBack makes an owned, usable slot idle or hands it to a call that waits,
// and reports whether it did the latter.
func (s *subpool) giveBack(sl *slots.Slot) bool {
	if s.pool.queue.awaited.Load() != 0 && s.pool.queue.deliver(s, sl, sl.Gen()) {
		return true // if it has been retired just now, the call finds out
	}
	if !sl.PutWithin() {
		s.lose(sl, nil, false)
		return false
	}
	if s.pool.queue.awaited.Load() != 0 {
		s.releasedAwaited(sl)
	}
	return false
}

// releasedAwaited looks at a slot that became idle while calls waited. A call
// that began to wait, or a drain that began, after the release first looked has
// not seen this slot: it was in the queue before it looked, so either it finds
// the slot or this finds it.
func (s *subpool) releasedAwaited(sl *slots.Slot) {
	if sl.Gen()&slots.Retired == 0 {
		s.pool.offer(s)
		return
	}
	s.mu.Lock()
	mine := sl.Placed() && sl.Take()
	s.mu.Unlock()
	if mine {
		s.retire(sl, nil)
	}
}

// validate makes a slot that was acquired with flags fit for use. It returns
// the generation to lease it at, or false and why it is not fit, if that is an
// error: the caller must reject it then.
func (s *subpool) validate(ctx context.Context, sl *slots.Slot, gen uint64) (_ uint64, ok bool, cause error) {
	if gen&slots.Retired == 0 && gen&slots.NeedsCheck != 0 {
		if err := s.check(ctx, sl.Conn); err != nil {
			return 0, false, err
		}
		gen = sl.Unflag(slots.NeedsCheck)
	}
	return gen, gen&slots.Retired == 0, nil
}

// reject closes the connection of an owned slot that is not fit for use.
func (s *subpool) reject(sl *slots.Slot, cause error) { s.lose(sl, cause, false) }

// dialAwaited begins a dial, if the calls that wait for one need more and it
// may, and reports whether one is under way.
func (s *subpool) dialAwaited() bool {
	s.mu.Lock()
	n := s.reserveLocked()
	ok := s.comingLocked() > 0 && !s.draining
	s.mu.Unlock()
	s.begin(n)
	s.pool.enlist(s) // a sweep tries again, if it may not yet
	return ok
}

// undemand notes that one call less waits for a dial here. Dials under way go on: their
// connections land in the pool.
func (s *subpool) undemand() { s.demand.Add(-1) }

// refill dials until MinIdle connections are ready, as far as it may.
func (s *subpool) refill() {
	if s.pool.settings().minIdle > 0 {
		s.pool.enlist(s)
	}
	s.mu.Lock()
	n := s.reserveLocked()
	s.mu.Unlock()
	s.begin(n)
}

// prewarm opens a connection to an ejected endpoint that is to be probed: no
// call waits for that.
func (s *subpool) prewarm() {
	if s.drained.Load() {
		return
	}
	s.demand.Add(1)
	s.dialAwaited()
	s.undemand()
}

// capacity reports what a call that found no idle slot can wait for here, as of
// one moment. grows: a dial may begin, or is under way with room for one more
// caller. busy: a connection is open and may come back, is being dialed, or
// makes room soon.
func (s *subpool) capacity() (grows, busy bool) {
	set := s.pool.settings()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining, s.backingOffLocked():
	case s.comingLocked()*s.share > int(s.demand.Load()):
		grows = true
	default:
		grows = s.takenLocked() < set.maxActive && s.overdue < set.maxDials
	}
	return grows, s.takenLocked() > s.overdue
}

// backingOffLocked reports whether no dial may begin after one that failed.
func (s *subpool) backingOffLocked() bool { return s.failing >= 0 && s.pool.now() < s.retryAt }

// lastDialError returns the error of the last dial, nil if it went well.
func (s *subpool) lastDialError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastDial
}

// stats returns the state of the sub-pool at one moment.
func (s *subpool) stats() EndpointStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return EndpointStats{
		Endpoint: *s.endpoint.Load(), Open: s.open, Dialing: s.dialing, Closing: s.closing, Idle: s.Idle(),
		InUse: max(0, s.InFlight()-s.dialing), Down: s.Down(), Ejected: s.Ejected(), LastDial: s.lastDial,
		Dials: s.dials, DialFailures: s.failures, Closed: s.closed, Latency: s.readTally().latency.average(),
	}
}

// calls returns how many leases of the endpoint's connections have ended. It
// looks at each connection.
func (s *subpool) calls() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.uses
	for _, c := range s.conns {
		if c != nil {
			n += c.Uses()
		}
	}
	return n
}

// resize adopts changed settings: it marks connections beyond the limits
// retired, adds the idle slots of those to idle, which the caller must retire,
// and dials what MinIdle asks for.
func (s *subpool) resize(idle []*slots.Slot) []*slots.Slot {
	s.mu.Lock()
	set := s.pool.settings() // under the lock: the last one to come here has the newest
	s.SetLimit(s.pool.idleLimit())
	s.mu.Unlock()
	idle, _ = s.surplus(idle, s.keeps()-set.maxActive, true)
	s.refill()
	return idle
}

// keeps returns the number of open connections that are not retired.
func (s *subpool) keeps() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if c != nil && c != taken && !isRetired(c) {
			n++
		}
	}
	return n
}
