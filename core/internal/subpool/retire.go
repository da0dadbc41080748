package subpool

import (
	"io"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// How connections end: a doomed one is closed when the last lease of its slots
// has ended, and its position is given back after that.

// Discard ends the lease of sl that began at gen and closes the connection. With
// siblings, the endpoint's idle connections are closed also: what broke this
// one has likely broken them.
func Discard(sl *slots.Slot, gen uint64, cause error, siblings bool) bool {
	s := Of(sl)
	if sl.End(gen) == slots.Stale {
		return false
	}
	s.lose(sl, cause, siblings)
	return true
}

// Reset dooms every connection: idle ones are closed now, leased ones when
// their lease ends.
func (s *Sub) Reset() {
	s.mu.Lock()
	idle := s.doomLocked()
	s.mu.Unlock()
	s.retireAll(idle, nil)
}

// Evict closes one connection that nobody uses, if there is one, to make room
// elsewhere.
func (s *Sub) Evict() bool {
	var idle, kept []*slots.Slot
	s.mu.Lock()
	for _, c := range s.conns {
		if c == nil || c == taken || !unused(c) {
			continue
		}
		if idle = takeLocked(nil, c); len(idle) == len(c.Slots) {
			doom(c)
			break
		}
		kept, idle = append(kept, idle...), nil // leased in this instant
	}
	s.mu.Unlock()
	for _, sl := range kept {
		s.GiveBack(sl)
	}
	s.retireAll(idle, nil)
	return len(idle) > 0
}

// unused reports whether all slots of c are idle.
func unused(c *slots.Conn) bool {
	for i := range c.Slots {
		if !c.Slots[i].IsIdle() {
			return false
		}
	}
	return true
}

// Drain ends the sub-pool: no dial begins, no connection is leased again, idle
// ones are closed. Empty is closed when the last one is. The pool's attention
// must be up until then.
func (s *Sub) Drain() {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return
	}
	s.draining = true
	if s.retry != nil {
		s.retry.Stop()
	}
	idle := s.doomLocked()
	s.emptyLocked()
	s.mu.Unlock()
	s.end()
	s.retireAll(idle, nil)
}

// Cut closes what is still open of a drained sub-pool, under the feet of its
// callers.
func (s *Sub) Cut(cause error) {
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

// doomLocked dooms every connection and takes the idle slots.
func (s *Sub) doomLocked() (idle []*slots.Slot) {
	for _, c := range s.conns {
		if c != nil && c != taken {
			doom(c)
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

func (s *Sub) retireAll(all []*slots.Slot, cause error) {
	for _, sl := range all {
		s.Retire(sl, cause)
	}
}

// doom marks every slot of c. A lease that ends later retires its slot.
func doom(c *slots.Conn) {
	for i := range c.Slots {
		c.Slots[i].Flag(slots.Doomed)
	}
}

// lose retires an owned slot whose connection broke.
func (s *Sub) lose(sl *slots.Slot, cause error, siblings bool) {
	doom(sl.Conn)
	var idle []*slots.Slot
	if siblings || s.cfg.Share > 1 {
		s.mu.Lock()
		for _, c := range s.conns {
			if c == nil || c == taken {
				continue
			}
			if c == sl.Conn || siblings && c.Slots[0].IsIdle() {
				n := len(idle)
				if idle = takeLocked(idle, c); len(idle) > n {
					doom(c)
				}
			}
		}
		s.mu.Unlock()
	}
	s.Retire(sl, cause)
	s.retireAll(idle, cause)
}

// Retire takes an owned slot of a doomed connection out of use; with the last
// slot goes the connection.
func (s *Sub) Retire(sl *slots.Slot, cause error) {
	c := sl.Conn
	s.mu.Lock()
	k := sl.Vacate() / s.cfg.Share
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
		s.host.Event(Event{Kind: Down, Sub: s, Err: err})
	}
	if last {
		s.close(c, k, cause)
	}
}

// close closes the connection of position k, which is marked taken, and gives
// the position back. Closing may block, so it has a goroutine of its own: the
// caller of a release never waits for it.
func (s *Sub) close(c *slots.Conn, k int, cause error) {
	s.host.Go(func() {
		defer s.closedOne(k, cause) // also if Close ends the goroutine
		closeQuietly(c.Value)
	})
}

func (s *Sub) closedOne(k int, cause error) {
	s.mu.Lock()
	s.conns[k] = nil
	s.closing--
	s.closed++
	s.host.GiveTotal()
	n := s.reserveLocked()
	none := s.takenLocked() == s.stuck
	s.emptyLocked()
	s.mu.Unlock()
	s.begin(n)
	s.host.Event(Event{Kind: Closed, Sub: s, Err: cause})
	if none { // perhaps nothing is left to wait for here
		s.host.Look()
	} else {
		s.host.Room(s)
	}
}

func (s *Sub) emptyLocked() {
	if s.draining && s.takenLocked() == 0 {
		select {
		case <-s.Empty:
		default:
			close(s.Empty)
		}
	}
}

func closeQuietly(c io.Closer) {
	defer func() { _ = recover() }() // a panic of the user's Close is no reason to end the program
	_ = c.Close()                    // nobody is left to whom an error could matter
}
