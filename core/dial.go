package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

const (
	// The back-off after a failed dial is an eighth of the time for which dials
	// have been failing, within these bounds: an endpoint is back within 12.5 %
	// of an outage's length, at a cost of six dials per doubling of it.
	backOffMin   = 50 * time.Millisecond
	backOffMax   = 10 * time.Second
	backOffShare = 8

	// hurried is the largest set whose servers are tried before their time when the last
	// one goes down. Of a larger one, the back-off of some server is over soon.
	hurried = 16

	// patience is how long a dialer may take to return once its context ended.
	patience = 100 * time.Millisecond
)

var (
	errGone     = errors.New("the dialer ended its goroutine")
	errNilConn  = errors.New("the dialer returned a nil connection and no error")
	errOverdue  = errors.New("the dialer has not returned within the dial timeout")
	errDraining = errors.New("the endpoint left")
	errLimit    = errors.New("a limit was lowered")
)

// reserveLocked reserves positions for the dials that demand, and MinIdle, ask
// for and the limits allow, and returns how many.
func (s *subpool) reserveLocked() int {
	set := s.pool.settings()
	if s.draining || s.backingOffLocked() {
		return 0
	}
	calls := (int(s.demand.Load()) + s.share - 1) / s.share // connections that calls need
	want := calls
	if set.minIdle > 0 && !s.drained.Load() {
		want += max(0, set.minIdle-(s.Idle()+s.checking)/s.share)
	}
	if s.open == 0 && s.Down() { // tried again before any call depends on it
		calls, want = max(calls, 1), max(want, 1)
	}
	limit := set.maxDials
	if s.failing >= 0 {
		limit = min(limit, s.overdue+1) // a server that was down is tried with one dial, not with a burst
	}
	n := 0
	for s.comingLocked() < want && s.dialing < limit && s.takenLocked() < set.maxActive &&
		s.pool.takeTotal(s.comingLocked() < calls) {
		s.ownLocked()
		s.dialing++
		s.Reserve()
		n++
	}
	return n
}

// comingLocked is how many connections are about to come.
func (s *subpool) comingLocked() int { return s.dialing - s.overdue + s.handingOver }

// takenLocked is how many positions are taken.
func (s *subpool) takenLocked() int { return s.open + s.dialing + s.closing }

// begin starts n reserved dials.
func (s *subpool) begin(n int) {
	if n > 0 {
		s.pool.enlist(s)
	}
	for range n {
		s.pool.tasks.Go(s.dial)
	}
}

// dial opens one connection and lands it in the pool, whoever asked for it. It
// runs in a goroutine of its own, which the pool waits for.
func (s *subpool) dial() {
	begun := s.pool.now()
	timeout := s.pool.settings().dialTimeout
	life, over := s.alive()
	defer over()
	ctx, cancel := context.WithTimeout(life, timeout)
	defer cancel()
	// A dialer that ignores its context keeps this goroutine and its place
	// among MaxConcurrentDials, but not the calls that wait for it.
	noted := make(chan struct{})
	overdue := time.AfterFunc(max(timeout, timeout+patience), func() { // the sum may overflow
		defer close(noted)
		s.dialOverdue(s.pool.now() - begun)
	})
	var value io.Closer
	err := errGone
	defer func() {
		late := !overdue.Stop()
		if late {
			<-noted // who waits for this goroutine waits for that one too
		}
		s.dialed(value, err, s.pool.now()-begun, late)
	}()
	value, err = s.guardedDial(ctx)
}

// dialed takes the outcome of a dial. late says that dialOverdue has noted it
// already.
func (s *subpool) dialed(value io.Closer, err error, took time.Duration, late bool) {
	share := 0
	if err == nil {
		share = s.shareOf(value)
	}
	s.mu.Lock()
	s.dialing--
	if late {
		s.overdue--
	}
	if err == nil {
		s.landLocked(value, share, took, late)
		return
	}
	s.Unreserve()
	s.pool.giveTotal()
	s.emptyLocked()
	if late {
		s.mu.Unlock()
		s.pool.canDial(s)
	} else {
		s.failedLocked(err, took)
	}
}

// dialOverdue notes a dial that has not returned in time and still holds its
// position.
func (s *subpool) dialOverdue(took time.Duration) {
	s.mu.Lock()
	s.overdue++
	s.failedLocked(errOverdue, took)
}

// guardedDial calls the dialer; a panic and a nil connection are errors.
func (s *subpool) guardedDial(ctx context.Context) (value io.Closer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = brief.Error(fmt.Errorf("the dialer panicked: %v", v))
		}
	}()
	value, err = s.pool.dial(ctx, *s.endpoint.Load())
	if err == nil && isNil(value) {
		err = errNilConn
	}
	return value, brief.Error(err)
}

// failedLocked notes that a dial failed, and unlocks. The back-off begins with the
// lock that freed the position: no other dial slips in between.
func (s *subpool) failedLocked(err error, took time.Duration) {
	err = fmt.Errorf("core: dial %s: %w", s.addr(), err)
	now := s.pool.now()
	if s.draining {
		s.mu.Unlock()
		s.pool.canDial(s)
		return
	}
	s.failures++
	s.lastDial = err
	if s.failing < 0 {
		s.failing = now
	}
	pause := min(max((now-s.failing)/backOffShare, backOffMin), backOffMax)
	pause += rand.N(pause/5) - pause/10
	s.retryAt = now + pause
	if s.retry == nil {
		s.retry = time.AfterFunc(pause, s.backOffOver)
	} else {
		s.retry.Reset(pause)
	}
	down := s.open == 0 && s.SetDown(true)
	s.mu.Unlock()
	s.pool.event(Event{Kind: EventDialFailed, Endpoint: s.addr(), Err: err, Duration: took})
	if down {
		s.wentDown(err)
	}
	s.pool.dialFailed(s)
}

// wentDown tells that s is down. If no endpoint is left that calls could go to, others
// are tried at once: their back-offs were chosen while there was one.
func (s *subpool) wentDown(err error) {
	s.pool.event(Event{Kind: EventEndpointDown, Endpoint: s.addr(), Err: err})
	v := s.pool.view.Load()
	if len(v.subs) > hurried || v.available(1, "", nil) {
		return
	}
	for _, other := range v.subs {
		if other != s {
			other.cutBackOff()
		}
	}
}

// cutBackOff ends the back-off of s, if there is one.
func (s *subpool) cutBackOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining && s.backingOffLocked() {
		s.retryAt = s.pool.now()
		s.retry.Reset(0)
	}
}

// backOffOver is called when a back-off is over: a server without a connection
// is dialed again before any call depends on it, and calls that wait may try the
// others.
func (s *subpool) backOffOver() {
	s.mu.Lock()
	n := s.reserveLocked()
	s.mu.Unlock()
	s.begin(n)
	s.pool.queue.wakeAll()
}

// shareOf returns how many calls share a new connection: as many as the option
// says, or fewer if the connection does.
func (s *subpool) shareOf(value io.Closer) (n int) {
	most := s.pool.settings().share
	defer func() {
		if recover() != nil {
			n = most
		}
	}()
	if c, ok := value.(interface{ MaxConcurrentCalls() int }); ok && most > 1 {
		if n := c.MaxConcurrentCalls(); n > 0 {
			return min(n, most)
		}
	}
	return most
}

// landLocked puts a new connection into the pool, or closes it if a limit or the
// set changed meanwhile, and unlocks.
func (s *subpool) landLocked(value io.Closer, share int, took time.Duration, late bool) {
	set := s.pool.settings()
	s.share = share
	c := &slots.Conn{Value: value, Owner: s, Slots: make([]slots.Slot, share), Open: share}
	c.Born = s.pool.now()
	c.Since, c.Checked = c.Born, c.Born
	if life := set.maxLifetime; life > 0 {
		// Drawn once per connection, so that those opened together do not
		// close together.
		c.Expires = c.Born + life - rand.N(life/10+1)
	}
	k := s.vacantLocked()
	s.dials++
	// A late dial has given back its place among MaxConcurrentDials, which calls wait for.
	recovered := s.failing >= 0 || late
	if s.hangUps.Load() < hangUpsToPause { // else a call that goes well says so
		s.upLocked()
	}
	up := !s.draining && s.SetDown(false)
	var unwanted error
	switch {
	case s.draining:
		unwanted = errDraining
	case s.takenLocked() >= set.maxActive || s.pool.overTotal():
		unwanted = errLimit
	}
	if unwanted != nil {
		s.Unreserve()
		s.closing++
		s.conns[k] = taken
		s.mu.Unlock()
		s.opened(took, up)
		s.close(c, k, unwanted)
		s.pool.queue.wakeAll() // those that wait for this dial have nothing to wait for here
		return
	}
	s.conns[k] = c
	s.expireLocked(c.Born)
	s.open++
	s.handingOver++
	for i := range c.Slots {
		c.Slots[i].Conn = c
		if i > 0 {
			s.Reserve()
		}
		c.Slots[i].Flag(slots.Timed)
		s.Place(&c.Slots[i], k*set.share+i)
	}
	s.mu.Unlock()
	s.opened(took, up)
	for i := range c.Slots {
		s.giveBack(&c.Slots[i])
	}
	s.handedOver(recovered)
}

// handedOver notes that an open connection was given away, or is not about to be.
// Only then is it known who still needs a dial.
func (s *subpool) handedOver(recovered bool) {
	s.mu.Lock()
	s.handingOver--
	n := s.reserveLocked()
	vain := s.demand.Load() > 0 && s.comingLocked() == 0
	s.mu.Unlock()
	s.begin(n)
	if vain || recovered { // calls wait for a dial here, and there is none to come
		s.pool.queue.wakeAll()
	}
}

// opened tells of a new connection, and of a server that is up again by it.
func (s *subpool) opened(took time.Duration, up bool) {
	s.pool.event(Event{Kind: EventDialed, Endpoint: s.addr(), Duration: took})
	if up {
		s.pool.queue.wakeAll() // there is a server to dial that was not
		s.pool.announce()
		s.pool.event(Event{Kind: EventEndpointUp, Endpoint: s.addr()})
	}
}

// vacantLocked returns the lowest vacant position. Positions counted never
// exceed MaxActive, hence neither do those used.
func (s *subpool) vacantLocked() int {
	for k, c := range s.conns {
		if c == nil {
			return k
		}
	}
	s.conns = append(s.conns, nil)
	return len(s.conns) - 1
}
