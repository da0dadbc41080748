package subpool

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Peeker and HealthChecker are core's interfaces of the same names.
type (
	peeker interface{ Peek() error }
	health interface {
		Health(ctx context.Context) error
	}
)

// check asks a connection whether it is still usable, as cheaply as it can
// tell. A panic is an answer too.
func (s *Sub) check(ctx context.Context, c *slots.Conn) error {
	switch v := c.Value.(type) {
	case peeker:
		return guarded(v.Peek)
	case health:
		ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
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

// Sweep does what the call path leaves to it, about once a second: it closes
// what is too old or was idle for too long, peeks at what is idle, marks what
// must be checked before it is leased, keeps idle connections alive and
// MinIdle filled, and finds leases that were forgotten.
//
// It sees that a connection was used by its generations, so that the call path
// needs no clock; a connection counts as idle since the sweep that first found
// it so, hence is never closed early and at most one sweep late.
func (s *Sub) Sweep(now time.Duration) {
	var dead []*slots.Slot
	var due []exam
	var leaks []Event
	s.mu.Lock()
	surplus, kept := s.open-s.cfg.MinIdle, 0
	for k, c := range s.conns {
		if c == nil || c == taken || c.Examined { // the last is as good as idle: the next sweep's
			continue
		}
		uses, leased := uint64(0), false
		for i := range c.Slots {
			sl := &c.Slots[i]
			uses += sl.Uses()
			if !sl.IsIdle() {
				leased = true
				leaks = s.leakLocked(leaks, sl, now)
			}
		}
		if leased || uses != c.Seen {
			c.Seen, c.Since = uses, now
		}
		old := c.Expires > 0 && now >= c.Expires || c.Slots[0].Gen()&slots.Doomed != 0
		if old {
			doom(c)
		}
		rested := s.cfg.IdleTimeout > 0 && now-c.Since >= s.cfg.IdleTimeout
		if s.cfg.Share > 1 && s.cfg.MaxIdle > 0 && !leased {
			// That the last of several callers has gone is for a sweep to see.
			kept++
			rested = rested || kept > s.cfg.MaxIdle
		}
		switch {
		case old, rested && !leased && surplus > 0:
			surplus--
			n := len(dead)
			if dead = takeLocked(dead, c); len(dead) > n {
				doom(c)
			}
		case leased:
		case s.healthDue(c, now):
			c.Checked = now
			due = append(due, exam{k, c, true})
		default:
			if s.cfg.CheckAfter >= 0 && now-c.Since >= s.cfg.CheckAfter {
				for i := range c.Slots {
					c.Slots[i].Flag(slots.Rested)
				}
			}
			if _, ok := c.Value.(peeker); ok {
				due = append(due, exam{k, c, false})
			}
		}
	}
	n := s.reserveLocked()
	s.mu.Unlock()

	s.begin(n)
	for _, ev := range leaks {
		s.host.Event(ev)
	}
	s.retireAll(dead, nil)
	if len(due) > 0 {
		s.host.Go(func() { s.examine(due) })
	}
}

// healthDue reports whether c should ask its server now.
func (s *Sub) healthDue(c *slots.Conn, now time.Duration) bool {
	if _, ok := c.Value.(health); !ok || s.cfg.HealthInterval <= 0 {
		return false
	}
	return now-max(c.Checked, c.Since) >= s.cfg.HealthInterval
}

// exam is a check that is due: of the connection c in position k, and by Health
// instead of Peek.
type exam struct {
	k   int
	c   *slots.Conn
	ask bool
}

// examine does the checks that are due, one after the other. Each connection
// can be leased until its own begins. It runs in a goroutine that the pool
// waits for.
func (s *Sub) examine(due []exam) {
	for _, e := range due {
		sl := &e.c.Slots[0]
		s.mu.Lock()
		ok := s.conns[e.k] == e.c && sl.Take()
		if ok {
			s.checking++
			e.c.Examined = true
		}
		s.mu.Unlock()
		if ok { // else somebody uses it and will find out
			s.examineOne(sl, e.ask)
		}
	}
}

// examineOne checks an owned slot, Health within the dial timeout, and puts it
// back or retires it.
func (s *Sub) examineOne(sl *slots.Slot, ask bool) {
	var err error
	usable := false // stays so if the check ends the goroutine
	defer func() {
		if usable {
			s.GiveBack(sl)
		}
		s.mu.Lock()
		s.checking--
		sl.Conn.Examined = false
		s.mu.Unlock()
		if !usable {
			s.lose(sl, err, false)
		}
		if s.cfg.MinIdle > 0 {
			s.Refill()
		}
	}()
	if sl.Gen()&slots.Doomed != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.life, s.cfg.DialTimeout)
	defer cancel()
	if h, ok := sl.Conn.Value.(health); ok && ask {
		err = guarded(func() error { return h.Health(ctx) })
	} else {
		err = s.check(ctx, sl.Conn)
	}
	if s.life.Err() != nil {
		err = errDraining
	}
	usable = err == nil
}

func (s *Sub) leakLocked(leaks []Event, sl *slots.Slot, now time.Duration) []Event {
	t := sl.Taken.Load()
	if s.cfg.LeakAfter <= 0 || t == nil || now-t.At < s.cfg.LeakAfter || !sl.Current(t.Gen) || t.Told {
		return leaks
	}
	t.Told = true
	return append(leaks, Event{Kind: Leaked, Sub: s, Duration: now - t.At, PCs: t.PCs})
}
