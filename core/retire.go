package core

import (
	"errors"
	"io"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// How connections end: a retired one is closed when the last lease of its slots
// has ended, and its position is given back after that.

// shed retires up to n connections, idle ones now, leased ones when their lease
// ends and only if leased is set. It returns how many.
func (s *subpool) shed(n int, leased bool) int {
	idle, found := s.surplus(nil, n, leased)
	s.retireAll(idle, nil)
	return found
}

// surplus is shed without the end: it adds the slots that the caller must retire
// to idle.
func (s *subpool) surplus(idle []*slots.Slot, n int, leased bool) (_ []*slots.Slot, found int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, busy := range []bool{false, true} {
		for _, c := range s.conns {
			if found >= n || c == nil || c == taken || isRetired(c) || busy && !leased || !busy && !unused(c) {
				continue
			}
			markRetired(c)
			idle = takeLocked(idle, c)
			found++
		}
	}
	return idle, found
}

// expireLocked arms the timer for the connection whose lifetime ends next, if one
// does. A timer of its own, and not the sweep, ends lifetimes: their jitter is a
// tenth, and less than the time between two sweeps if they are a few seconds.
func (s *subpool) expireLocked(now time.Duration) {
	next := time.Duration(0)
	for _, c := range s.conns {
		if c != nil && c != taken && c.Expires > 0 && !isRetired(c) && (next == 0 || c.Expires < next) {
			next = c.Expires
		}
	}
	switch {
	case next == 0 || s.draining:
	case s.expiry == nil:
		s.expiry = time.AfterFunc(next-now, s.expire)
	default:
		s.expiry.Reset(next - now)
	}
}

// expire retires the connections that are at the end of their lifetime: idle ones
// now, leased ones when their lease ends.
func (s *subpool) expire() {
	s.mu.Lock()
	now := s.pool.now()
	var idle []*slots.Slot
	for _, c := range s.conns {
		if c != nil && c != taken && c.Expires > 0 && now >= c.Expires && !isRetired(c) {
			markRetired(c)
			idle = takeLocked(idle, c)
		}
	}
	s.expireLocked(now)
	s.mu.Unlock()
	s.retireAll(idle, nil)
}

// isRetired reports whether c is to be closed.
func isRetired(c *slots.Conn) bool { return c.Slots[0].Gen()&slots.Retired != 0 }

// unused reports whether all slots of c are idle.
func unused(c *slots.Conn) bool {
	for i := range c.Slots {
		if !c.Slots[i].IsIdle() {
			return false
		}
	}
	return true
}

// drain ends the sub-pool: no dial begins, no connection is leased again, idle
// ones are closed. empty is closed when the last one is. The pool must
// count as awaited until then.
func (s *subpool) drain() {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return
	}
	s.draining, s.empty = true, make(chan struct{})
	for _, t := range []*time.Timer{s.retry, s.expiry} {
		if t != nil {
			t.Stop()
		}
	}
	idle := s.retireAllLocked()
	s.emptyLocked()
	end := s.end
	s.mu.Unlock()
	if end != nil {
		end()
	}
	s.retireAll(idle, nil)
}

// cut closes what is still open of a drained sub-pool, under the feet of its
// callers.
func (s *subpool) cut(cause error) {
	s.mu.Lock()
	cut := map[int]*slots.Conn{}
	for k, c := range s.conns {
		if c != nil && c != taken {
			cut[k] = c
			s.conns[k] = taken
			s.open--
			s.closing++
			c.Open = 0 // its leases end without closing it again
		}
	}
	s.mu.Unlock()
	for k, c := range cut {
		s.close(c, k, cause)
	}
}

// retireAllLocked retires every connection and takes the idle slots.
func (s *subpool) retireAllLocked() (idle []*slots.Slot) {
	for _, c := range s.conns {
		if c != nil && c != taken {
			markRetired(c)
			idle = takeLocked(idle, c)
		}
	}
	return idle
}

// takeLocked takes the idle slots of c, which must be in place. The lock keeps
// it there: a slot that was retired and replaced must not be taken for the one
// that has its position now.
func takeLocked(idle []*slots.Slot, c *slots.Conn) []*slots.Slot {
	for i := range c.Slots {
		if sl := &c.Slots[i]; sl.Take() {
			idle = append(idle, sl)
		}
	}
	return idle
}

func (s *subpool) retireAll(all []*slots.Slot, cause error) {
	for _, sl := range all {
		s.retire(sl, cause)
	}
}

// markRetired marks every slot of c. A lease that ends later retires its slot.
func markRetired(c *slots.Conn) {
	for i := range c.Slots {
		c.Slots[i].Flag(slots.Retired)
	}
}

// lose retires an owned slot whose connection broke.
func (s *subpool) lose(sl *slots.Slot, cause error, siblings bool) {
	markRetired(sl.Conn)
	if !siblings && sl.Conn.Uses() == 0 && brokenByPeer(cause) { // a check has found it so
		s.hungUp(sl.Conn)
	}
	var idle []*slots.Slot
	if siblings || s.pool.settings().share > 1 {
		s.mu.Lock()
		for _, c := range s.conns {
			if c == nil || c == taken {
				continue
			}
			if c == sl.Conn || siblings && c.Slots[0].IsIdle() {
				n := len(idle)
				if idle = takeLocked(idle, c); len(idle) > n {
					markRetired(c)
				}
			}
		}
		s.mu.Unlock()
	}
	s.retire(sl, cause)
	s.retireAll(idle, cause)
}

const (
	// newFor is for how long a connection is new: what its server closes later,
	// it closes because it is idle.
	newFor = 3 * time.Second

	// hangUpsToPause is how many new connections in a row a server may close,
	// without a call that went well, before that is a failure to dial it. One may
	// have met the end of a server that is back already.
	hangUpsToPause = 2
)

var errHungUp = errors.New("the server closes new connections at once")

// hungUp notes that the server closed a new connection before anything was sent on
// it. A server that does so again and again cannot be dialed, as far as calls are
// concerned: it backs off as if the dial had failed.
func (s *subpool) hungUp(c *slots.Conn) {
	now := s.pool.now()
	age := now - c.Born
	last := s.hungUpAt.Load()
	if age >= newFor || c.Born < time.Duration(last) || !s.hungUpAt.CompareAndSwap(last, int64(now)) {
		return // or it was there already when the last one ended, of the same cause
	}
	if s.hangUps.Add(1) < hangUpsToPause {
		return
	}
	s.mu.Lock()
	s.failedLocked(errHungUp, age)
}

// answered notes a call that went well, after connections that were closed before
// one did.
func (s *subpool) answered() {
	if s.hangUps.Swap(0) < hangUpsToPause {
		return
	}
	s.mu.Lock()
	s.upLocked()
	n := s.reserveLocked()
	s.mu.Unlock()
	s.begin(n)
	s.pool.queue.wakeAll() // those that wait for the end of the back-off
}

// upLocked notes that the server can be dialed.
func (s *subpool) upLocked() {
	s.failing, s.lastDial = -1, nil
	if s.retry != nil {
		s.retry.Stop()
	}
}

// retire takes an owned slot of a retired connection out of use; with the last
// slot goes the connection.
func (s *subpool) retire(sl *slots.Slot, cause error) {
	c := sl.Conn
	s.mu.Lock()
	k := sl.Vacate() / s.pool.settings().share
	last := false
	if c.Open > 0 { // else it was cut
		c.Open--
		last = c.Open == 0
	}
	down := false
	if last {
		s.uses += c.Uses()
		s.conns[k] = taken
		s.open--
		s.closing++
		down = s.open == 0 && s.failing >= 0 && s.SetDown(true)
	}
	err := s.lastDial
	s.mu.Unlock()
	if down {
		s.wentDown(err)
	}
	if last {
		s.close(c, k, cause)
	}
}

// close closes the connection of position k, which is marked taken, and gives
// the position back. Closing may block, so it has a goroutine of its own: the
// caller of a release never waits for it.
func (s *subpool) close(c *slots.Conn, k int, cause error) {
	s.pool.tasks.Go(func() {
		defer s.closedOne(k, cause) // also if Close ends the goroutine
		closeQuietly(c.Value)
	})
}

func (s *subpool) closedOne(k int, cause error) {
	s.mu.Lock()
	s.conns[k] = nil
	s.closing--
	s.closed++
	s.pool.giveTotal()
	n := s.reserveLocked()
	none := s.takenLocked() == s.overdue
	s.emptyLocked()
	s.mu.Unlock()
	s.begin(n)
	s.pool.event(Event{Kind: EventConnClosed, Endpoint: s.addr(), Err: cause})
	if none { // perhaps nothing is left to wait for here
		s.pool.queue.wakeAll()
	} else {
		s.pool.canDial(s)
	}
}

func (s *subpool) emptyLocked() {
	if s.draining && s.takenLocked() == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

func closeQuietly(c io.Closer) {
	defer func() { _ = recover() }() // a panic of the user's Close is no reason to end the program
	_ = c.Close()                    // no caller is left that could use the error
}
