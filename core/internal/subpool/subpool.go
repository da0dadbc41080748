// Package subpool keeps the connections of one endpoint: it opens them when
// there is demand, checks and retires them, and drains them when the endpoint
// leaves. Leasing itself is package slots.
//
// A position is the right to one connection. It is taken before the dial and
// given back after the close, so that open, dialing and closing connections
// together never exceed the limit.
package subpool

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Config is what all sub-pools of a pool share. Zero durations are off.
type Config struct {
	// MaxActive connections, each leased by up to Share callers at once.
	MaxActive, Share int
	// MinIdle connections are kept ready; at most MaxIdle are kept (0: all).
	MinIdle, MaxIdle int
	// MaxDialing bounds the dials under way at once.
	MaxDialing  int
	DialTimeout time.Duration
	IdleTimeout time.Duration
	MaxLifetime time.Duration
	// CheckAfter is the idle time after which a connection is checked before
	// it is leased; negative: never.
	CheckAfter     time.Duration
	HealthInterval time.Duration
	LeakAfter      time.Duration
}

// Host is the pool around the sub-pools. No method is called under a
// sub-pool's lock, except Now and TakeTotal, which do not call back.
type Host interface {
	// Now is the time since the pool was made.
	Now() time.Duration
	// Go runs f in a goroutine that the pool waits for when it closes.
	Go(f func())
	// TakeTotal takes one connection off the pool's total, if any is left.
	// One that is not for a call gives way to the calls that wait.
	TakeTotal(call bool) bool
	// GiveTotal gives it back.
	GiveTotal()
	// HandOver offers an owned, usable slot to the calls that wait. It
	// returns false if none takes it.
	HandOver(s *Sub, sl *slots.Slot) bool
	// Returned says that a slot became idle while Attention was up.
	Returned(s *Sub)
	// Room says that one connection could be dialed where none could before.
	Room(s *Sub)
	// Look says that calls that wait should look again at what they wait for.
	Look()
	// DialFailed says that a dial failed; calls that wait for it look again.
	DialFailed(s *Sub)
	// Event tells the observer.
	Event(ev Event)
}

// EventKind names an Event.
type EventKind uint8

// The kinds of events.
const (
	Down EventKind = iota
	Up
	Dialed
	DialFailed
	Closed
	Leaked
)

// Event is what happened to a sub-pool.
type Event struct {
	Kind     EventKind
	Sub      *Sub
	Err      error
	Duration time.Duration
	PCs      []uintptr
}

// Sub is one sub-pool. Make it with New.
type Sub struct {
	slots.Set

	// Tag is the pool's own record of the endpoint.
	Tag any

	name      string
	attention *atomic.Int64
	host      Host
	cfg       *Config
	dialOne   func(context.Context) (io.Closer, error)
	// life ends with the sub-pool and cuts its dials short.
	life context.Context //nolint:containedctx // the sub-pool's own lifetime, not a call's
	end  context.CancelFunc
	// Empty is closed when a drained sub-pool holds no connection any more.
	Empty chan struct{}

	mu sync.Mutex
	// conns by position: nil is vacant, taken is a position without a
	// connection in it (dialing or closing).
	conns []*slots.Conn
	// open, dialing and closing count positions; they add up to those taken.
	open, dialing, closing int
	// stuck counts the dials among dialing that are overdue.
	stuck int
	// checking counts idle slots that a check has taken for a moment.
	checking int
	// landing counts open connections that were not given away yet.
	landing int
	// demand is the number of calls that wait for a dial here. It changes
	// without the lock; whoever adds to it looks under the lock afterwards.
	demand   atomic.Int64
	draining bool
	// failing is when the dials began to fail, -1 while they do not; none is
	// begun before resting.
	failing, resting time.Duration
	retry            *time.Timer
	lastDial         error
	dials, failures  uint64
	closed           uint64
	// uses are leases of connections already closed.
	uses uint64
}

// taken marks a position without a connection in it.
var taken = new(slots.Conn) //nolint:gochecknoglobals // a mark, never changed

// New returns a sub-pool of the endpoint with this name that dials with dial.
// attention is the pool's: while it is not zero, releases offer their
// connection to the calls that wait.
func New(host Host, cfg *Config, attention *atomic.Int64, name string, tag any, dial func(context.Context) (io.Closer, error)) *Sub {
	s := &Sub{
		Tag: tag, name: name, attention: attention, host: host, cfg: cfg, dialOne: dial,
		Empty: make(chan struct{}), conns: make([]*slots.Conn, cfg.MaxActive), failing: -1,
	}
	s.life, s.end = context.WithCancel(context.Background())
	limit := cfg.MaxIdle
	if cfg.Share > 1 {
		limit = 0 // of a connection in use some slots may be idle: the sweep bounds those unused
	}
	s.Init(cfg.MaxActive*cfg.Share, limit, attention)
	return s
}

// Released does what is left to do after a lease of sl ended, and reports
// whether it was the current one. It never blocks.
func Released(sl *slots.Slot, how slots.Ended) bool {
	switch how {
	case slots.Idle:
	case slots.Exposed:
		Of(sl).exposed(sl)
	case slots.Usable:
		if Of(sl).GiveBack(sl) {
			// The connection is of no use until the call that has it now runs:
			// where all processors are busy, let it run first.
			runtime.Gosched()
		}
	case slots.MustClose:
		Of(sl).Retire(sl, nil)
	default:
		return false
	}
	return true
}

// Of returns the sub-pool that sl is a slot of.
func Of(sl *slots.Slot) *Sub {
	s, _ := sl.Conn.Owner.(*Sub)
	return s
}

// GiveBack makes an owned, usable slot idle or hands it to a call that waits,
// and reports whether it did the latter.
func (s *Sub) GiveBack(sl *slots.Slot) bool {
	if s.attention.Load() != 0 && s.host.HandOver(s, sl) {
		return true
	}
	if !sl.PutWithin() {
		s.lose(sl, nil, false)
		return false
	}
	if s.attention.Load() != 0 {
		s.exposed(sl)
	}
	return false
}

// exposed looks at a slot that became idle while the attention was up. A call
// that began to wait, or a drain that began, after the release first looked
// has not seen this slot: it announced itself before it looked, so either it
// finds the slot or this finds it.
func (s *Sub) exposed(sl *slots.Slot) {
	if sl.Gen()&slots.Doomed == 0 {
		s.host.Returned(s)
		return
	}
	s.mu.Lock()
	mine := sl.Placed() && sl.Take()
	s.mu.Unlock()
	if mine {
		s.Retire(sl, nil)
	}
}

// Vet makes a slot that was acquired with flags fit for use. It returns the
// generation to lease it at, or false and why it is not fit, if that is an
// error: the caller must Reject it then.
func (s *Sub) Vet(ctx context.Context, sl *slots.Slot, gen uint64) (_ uint64, ok bool, cause error) {
	if gen&slots.Doomed == 0 && gen&slots.Rested != 0 {
		if err := s.check(ctx, sl.Conn); err != nil {
			return 0, false, err
		}
		gen = sl.Unflag(slots.Rested)
	}
	return gen, gen&slots.Doomed == 0, nil
}

// Reject closes the connection of an owned slot that is not fit for use.
func (s *Sub) Reject(sl *slots.Slot, cause error) { s.lose(sl, cause, false) }

// Demand notes that one more call waits for a dial here, and is Awaited.
func (s *Sub) Demand() bool {
	s.demand.Add(1)
	return s.Awaited()
}

// Awaited begins a dial, if the calls that wait for one need more and it may,
// and reports whether one is under way.
func (s *Sub) Awaited() bool {
	s.mu.Lock()
	n := s.reserveLocked()
	ok := s.comingLocked() > 0 && !s.draining
	s.mu.Unlock()
	s.begin(n)
	return ok
}

// Slots returns the slots of s.
func (s *Sub) Slots() *slots.Set { return &s.Set }

// Undemand takes a Demand back, which it may precede. Dials under way go on:
// their connections land in the pool.
func (s *Sub) Undemand() { s.demand.Add(-1) }

// Refill dials until MinIdle slots are ready, as far as it may.
func (s *Sub) Refill() {
	s.mu.Lock()
	n := s.reserveLocked()
	s.mu.Unlock()
	s.begin(n)
}

// Outlook tells what a call that found no idle slot can wait for here, as of
// one moment. grows: a dial may begin, or is under way with room for one more
// caller. busy: a connection is open and may come back, is being dialed, or
// makes room soon.
func (s *Sub) Outlook() (grows, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining, s.failing >= 0 && s.host.Now() < s.resting:
	case s.comingLocked()*s.cfg.Share > int(s.demand.Load()):
		grows = true
	default:
		grows = s.takenLocked() < s.cfg.MaxActive && s.stuck < s.cfg.MaxDialing
	}
	return grows, s.takenLocked() > s.stuck
}

// LastDial returns the error of the last dial, nil if it went well.
func (s *Sub) LastDial() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastDial
}

// Counts is the state of a sub-pool at one moment.
type Counts struct {
	Open, Dialing, Closing, Idle, InUse int
	Dials, Failures, Closed             uint64
	Down                                bool
	LastDial                            error
}

// Counts returns the state of the sub-pool.
func (s *Sub) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{
		Open: s.open, Dialing: s.dialing, Closing: s.closing, Idle: s.Idle(),
		InUse: max(0, s.InFlight()-s.dialing), Dials: s.dials, Failures: s.failures, Closed: s.closed,
		Down: s.Down(), LastDial: s.lastDial,
	}
}

// Uses returns how many leases of the endpoint's connections have ended. It
// looks at each connection.
func (s *Sub) Uses() uint64 {
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
