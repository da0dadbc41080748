package core

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// check asks a connection whether it is still usable, as cheaply as it can
// tell. A panic is an answer too.
func (s *subpool) check(ctx context.Context, c *slots.Conn) error {
	switch v := c.Value.(type) {
	case Peeker:
		return guarded(v.Peek)
	case HealthChecker:
		ctx, cancel := context.WithTimeout(ctx, s.pool.settings().dialTimeout)
		defer cancel()
		return guarded(func() error { return v.Health(ctx) })
	default:
		return nil
	}
}

func guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the connection's check panicked: %v", v)
		}
	}()
	return f()
}

// sweep does what the call path leaves to it, about once a second: it closes
// what was idle for too long, peeks at what is idle, marks what
// must be checked before it is leased and whose next lease is timed, keeps idle
// connections alive and MinIdle filled, and finds leases that were forgotten.
//
// It sees that a connection was used by its generations, so that the call path
// needs no clock; a connection counts as idle since the sweep that first found
// it so, hence is never closed early and at most one sweep late.
func (s *subpool) sweep(now time.Duration) {
	set := s.pool.settings()
	var dead []*slots.Slot
	var due []dueCheck
	var leaks []Event
	s.mu.Lock()
	surplus, kept := s.open-set.minIdle, 0
	for k, c := range s.conns {
		if c == nil || c == taken || c.Checking { // the last is as good as idle: the next sweep's
			continue
		}
		uses, leased := uint64(0), false
		for i := range c.Slots {
			sl := &c.Slots[i]
			uses += sl.Uses()
			if !sl.IsIdle() {
				leased = true
				leaks = s.leakLocked(leaks, sl, now, set.leakThreshold)
			}
		}
		if leased || uses != c.Seen {
			c.Seen, c.Since = uses, now
			c.Slots[0].Flag(slots.Timed)
		}
		old := isRetired(c) // and given back in the very instant
		expired := set.idleTimeout > 0 && now-c.Since >= set.idleTimeout
		if set.share > 1 && set.maxIdle > 0 && !leased {
			// That the last of several callers has gone is for a sweep to see.
			kept++
			expired = expired || kept > set.maxIdle
		}
		switch {
		case old, expired && !leased && surplus > 0:
			surplus--
			n := len(dead)
			if dead = takeLocked(dead, c); len(dead) > n {
				markRetired(c)
			}
		case leased:
		case healthDue(c, now, set.healthInterval):
			c.Checked = now
			due = append(due, dueCheck{k, c, true})
		default:
			if set.validateAfterIdle >= 0 && now-c.Since >= set.validateAfterIdle {
				for i := range c.Slots {
					c.Slots[i].Flag(slots.NeedsCheck)
				}
			}
			if _, ok := c.Value.(Peeker); ok {
				due = append(due, dueCheck{k, c, false})
			}
		}
	}
	n := s.reserveLocked()
	s.mu.Unlock()

	s.begin(n)
	for _, ev := range leaks {
		s.pool.event(ev)
	}
	s.retireAll(dead, nil)
	if len(due) > 0 {
		s.pool.tasks.Go(func() { s.checkAll(due) })
	}
}

// healthDue reports whether c should ask its server now.
func healthDue(c *slots.Conn, now, interval time.Duration) bool {
	if _, ok := c.Value.(HealthChecker); !ok || interval <= 0 {
		return false
	}
	return now-max(c.Checked, c.Since) >= interval
}

// dueCheck is a check that is due: of the connection c in position k, by Health
// instead of Peek if health is set.
type dueCheck struct {
	k      int
	c      *slots.Conn
	health bool
}

// checkAll does the checks that are due, one after the other. Each connection
// can be leased until its own begins. It runs in a goroutine that the pool
// waits for.
func (s *subpool) checkAll(due []dueCheck) {
	life, over := s.alive()
	defer over()
	for _, d := range due {
		sl := &d.c.Slots[0]
		s.mu.Lock()
		ok := s.conns[d.k] == d.c && sl.Take()
		if ok {
			s.checking++
			d.c.Checking = true
		}
		s.mu.Unlock()
		if ok { // else somebody uses it and will find out
			s.checkOne(life, sl, d.health)
		}
	}
}

// checkOne checks an owned slot, Health within the dial timeout, and puts it
// back or retires it. life ends with the sub-pool.
func (s *subpool) checkOne(life context.Context, sl *slots.Slot, health bool) {
	var err error
	usable := false // stays so if the check ends the goroutine
	defer func() {
		if usable {
			s.giveBack(sl)
		}
		s.mu.Lock()
		s.checking--
		sl.Conn.Checking = false
		s.mu.Unlock()
		if !usable {
			s.lose(sl, err, false)
		}
		if s.pool.settings().minIdle > 0 {
			s.refill()
		}
	}()
	if sl.Gen()&slots.Retired != 0 {
		return
	}
	if h, ok := sl.Conn.Value.(HealthChecker); ok && health {
		ctx, cancel := context.WithTimeout(life, s.pool.settings().dialTimeout)
		defer cancel()
		err = guarded(func() error { return h.Health(ctx) })
	} else {
		err = s.check(life, sl.Conn)
	}
	if life.Err() != nil {
		err = errDraining
	}
	usable = err == nil
}

func (s *subpool) leakLocked(leaks []Event, sl *slots.Slot, now, threshold time.Duration) []Event {
	t := sl.Taken.Load()
	if threshold <= 0 || t == nil || now-t.At < threshold || !sl.Current(t.Gen) || t.Reported {
		return leaks
	}
	t.Reported = true
	return append(leaks, Event{Kind: EventLeaseLeaked, Endpoint: s.addr(), Duration: now - t.At, Stack: stack(t.PCs)})
}
