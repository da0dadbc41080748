package subpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

const (
	// After a failed dial an endpoint rests for an eighth of the time it has
	// been failing, within these bounds: back within 12.5 % of an outage's
	// length, at a cost of one dial per doubling divided by six.
	restMin   = 50 * time.Millisecond
	restMax   = 10 * time.Second
	restShare = 8

	// patience is how long a dialer may take to return once its context ended.
	patience = 100 * time.Millisecond
)

var (
	errGone     = errors.New("the dialer ended its goroutine")
	errNilConn  = errors.New("the dialer returned a nil connection and no error")
	errOverdue  = errors.New("the dialer has not returned within the dial timeout")
	errDraining = errors.New("the endpoint left")
)

// reserveLocked reserves positions for the dials that demand, and MinIdle, ask
// for and the limits allow, and returns how many.
func (s *Sub) reserveLocked() int {
	if s.draining || (s.failing >= 0 && s.host.Now() < s.resting) {
		return 0
	}
	calls := s.calls()
	want := calls
	if s.cfg.MinIdle > 0 {
		want += max(0, s.cfg.MinIdle-(s.Idle()+s.checking)/s.cfg.Share)
	}
	if s.open == 0 && s.Down() { // tried again before any call depends on it
		calls, want = max(calls, 1), max(want, 1)
	}
	limit := s.cfg.MaxDialing
	if s.failing >= 0 {
		limit = min(limit, s.stuck+1) // a server that was down is tried with one dial, not with a burst
	}
	n := 0
	for s.comingLocked() < want && s.dialing < limit && s.takenLocked() < s.cfg.MaxActive &&
		s.host.TakeTotal(s.comingLocked() < calls) {
		s.dialing++
		s.Reserve()
		n++
	}
	return n
}

// calls is how many connections the calls that wait for a dial need.
func (s *Sub) calls() int { return (max(0, int(s.demand.Load())) + s.cfg.Share - 1) / s.cfg.Share }

// comingLocked is how many connections are about to come.
func (s *Sub) comingLocked() int { return s.dialing - s.stuck + s.landing }

// takenLocked is how many positions are taken.
func (s *Sub) takenLocked() int { return s.open + s.dialing + s.closing }

// begin starts n reserved dials.
func (s *Sub) begin(n int) {
	for range n {
		s.host.Go(s.dial)
	}
}

// dial opens one connection and lands it in the pool, whoever asked for it. It
// runs in a goroutine of its own, which the pool waits for.
func (s *Sub) dial() {
	begun := s.host.Now()
	ctx, cancel := context.WithTimeout(s.life, s.cfg.DialTimeout)
	defer cancel()
	// A dialer that ignores its context keeps this goroutine and its place
	// among MaxDialing, but not the calls that wait for it.
	told := make(chan struct{})
	overdue := time.AfterFunc(s.cfg.DialTimeout+patience, func() {
		defer close(told)
		s.overdue(s.host.Now() - begun)
	})
	var value io.Closer
	err := errGone
	defer func() {
		late := !overdue.Stop()
		if late {
			<-told // who waits for this goroutine waits for that one too
		}
		s.dialed(value, err, s.host.Now()-begun, late)
	}()
	value, err = s.guardedDial(ctx)
}

// dialed takes the outcome of a dial, of which it was told already, or not,
// that it is overdue.
func (s *Sub) dialed(value io.Closer, err error, took time.Duration, told bool) {
	s.mu.Lock()
	s.dialing--
	if told {
		s.stuck--
	}
	if err == nil {
		s.landLocked(value, took)
		return
	}
	s.Unreserve()
	s.host.GiveTotal()
	s.emptyLocked()
	if told {
		s.mu.Unlock()
		s.host.Room(s)
	} else {
		s.failedLocked(err, took)
	}
}

// overdue notes a dial that has not returned in time and still holds its
// position.
func (s *Sub) overdue(took time.Duration) {
	s.mu.Lock()
	s.stuck++
	s.failedLocked(errOverdue, took)
}

// guardedDial calls the dialer; a panic and a nil connection are errors.
func (s *Sub) guardedDial(ctx context.Context) (value io.Closer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the dialer panicked: %v", v)
		}
	}()
	value, err = s.dialOne(ctx)
	if err == nil && isNil(value) {
		err = errNilConn
	}
	return value, err
}

func isNil(c io.Closer) bool {
	if c == nil {
		return true
	}
	switch v := reflect.ValueOf(c); v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.Interface:
		return v.IsNil()
	default:
		return false
	}
}

// failedLocked notes that a dial failed, and unlocks. The rest begins with the
// lock that freed the position: no other dial slips in between.
func (s *Sub) failedLocked(err error, took time.Duration) {
	err = fmt.Errorf("core: dial %s: %w", s.name, err)
	now := s.host.Now()
	if s.draining {
		s.mu.Unlock()
		s.host.Room(s)
		return
	}
	s.failures++
	s.lastDial = err
	if s.failing < 0 {
		s.failing = now
	}
	rest := min(max((now-s.failing)/restShare, restMin), restMax)
	rest += rand.N(rest/5) - rest/10
	s.resting = now + rest
	if s.retry == nil {
		s.retry = time.AfterFunc(rest, s.rested)
	} else {
		s.retry.Reset(rest)
	}
	down := s.open == 0 && s.SetDown(true)
	s.mu.Unlock()
	s.host.Event(Event{Kind: DialFailed, Sub: s, Err: err, Duration: took})
	if down {
		s.host.Event(Event{Kind: Down, Sub: s, Err: err})
	}
	s.host.DialFailed(s)
	s.host.Room(s)
}

// rested is called when a rest is over: a server without a connection is tried
// again before any call depends on it, and calls that wait may try the others.
func (s *Sub) rested() {
	s.mu.Lock()
	n := s.reserveLocked()
	s.mu.Unlock()
	s.begin(n)
	s.host.Look()
}

// landLocked puts a new connection into the pool, and unlocks.
func (s *Sub) landLocked(value io.Closer, took time.Duration) {
	c := &slots.Conn{Value: value, Owner: s, Slots: make([]slots.Slot, s.cfg.Share), Open: s.cfg.Share}
	c.Born = s.host.Now()
	c.Since, c.Checked = c.Born, c.Born
	if life := s.cfg.MaxLifetime; life > 0 {
		// Drawn once per connection, so that those opened together do not
		// close together.
		c.Expires = c.Born + life - rand.N(life/10+1)
	}
	if s.draining {
		s.Unreserve()
		s.closing++
		k := s.vacantLocked()
		s.conns[k] = taken
		s.mu.Unlock()
		s.close(c, k, errDraining)
		return
	}
	k := s.vacantLocked()
	s.conns[k] = c
	s.open++
	s.landing++
	s.dials++
	recovered := s.failing >= 0
	s.failing, s.lastDial = -1, nil
	if s.retry != nil {
		s.retry.Stop()
	}
	up := s.SetDown(false)
	for i := range c.Slots {
		c.Slots[i].Conn = c
		if i > 0 {
			s.Reserve()
		}
		s.Place(&c.Slots[i], k*s.cfg.Share+i)
	}
	s.mu.Unlock()
	s.host.Event(Event{Kind: Dialed, Sub: s, Duration: took})
	if up {
		s.host.Event(Event{Kind: Up, Sub: s})
	}
	for i := range c.Slots {
		s.GiveBack(&c.Slots[i])
	}
	// Only now is it known who still needs a dial.
	s.mu.Lock()
	s.landing--
	n := s.reserveLocked()
	vain := s.demand.Load() > 0 && s.comingLocked() == 0
	s.mu.Unlock()
	s.begin(n)
	if vain || recovered { // calls wait for a dial here, and there is none to come
		s.host.Look()
	}
}

// vacantLocked returns the lowest vacant position. There is one for every
// position counted: whoever holds a count finds one.
func (s *Sub) vacantLocked() int {
	for k, c := range s.conns {
		if c == nil {
			return k
		}
	}
	panic("subpool: no vacant position for a counted connection")
}
