package subpool

import (
	"context"
	"errors"
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
	var dead, idle, ill []*slots.Slot
	var leaks []Event
	s.mu.Lock()
	surplus := s.open - s.cfg.MinIdle
	for _, c := range s.conns {
		if c == nil || c == taken {
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
		old := c.Expires > 0 && now >= c.Expires
		if old {
			doom(c)
		}
		unused := s.cfg.IdleTimeout > 0 && now-c.Since >= s.cfg.IdleTimeout && surplus > 0
		switch {
		case old, unused && !leased:
			surplus--
			for i := range c.Slots {
				if sl := &c.Slots[i]; sl.Take() {
					doom(c)
					dead = append(dead, sl)
				}
			}
		case leased:
		case s.healthDue(c, now):
			if sl := &c.Slots[0]; sl.Take() {
				c.Checked = now
				ill = append(ill, sl)
			}
		default:
			if s.cfg.CheckAfter >= 0 && now-c.Since >= s.cfg.CheckAfter {
				for i := range c.Slots {
					c.Slots[i].Flag(slots.Rested)
				}
			}
			if _, ok := c.Value.(peeker); ok && c.Slots[0].Take() {
				idle = append(idle, &c.Slots[0])
			}
		}
	}
	n := s.reserveLocked()
	s.mu.Unlock()

	s.begin(n)
	for _, ev := range leaks {
		s.host.Event(ev)
	}
	for _, sl := range dead {
		s.retire(sl, nil)
	}
	for _, sl := range idle {
		s.putChecked(sl, s.check(s.life, sl.Conn))
	}
	if len(ill) > 0 {
		s.host.Go(func() { s.cure(ill) })
	}
}

// healthDue reports whether c should ask its server now.
func (s *Sub) healthDue(c *slots.Conn, now time.Duration) bool {
	if _, ok := c.Value.(health); !ok || s.cfg.HealthInterval <= 0 {
		return false
	}
	return now-max(c.Checked, c.Since) >= s.cfg.HealthInterval
}

// cure runs the health checks that are due, one after the other, each within
// the dial timeout. It runs in a goroutine that the pool waits for.
func (s *Sub) cure(ill []*slots.Slot) {
	for _, sl := range ill {
		h, _ := sl.Conn.Value.(health)
		ctx, cancel := context.WithTimeout(s.life, s.cfg.DialTimeout)
		err := guarded(func() error { return h.Health(ctx) })
		cancel()
		if s.life.Err() != nil {
			err = errors.Join(err, errDraining)
		}
		s.putChecked(sl, err)
	}
}

// putChecked puts a slot that the sweep took back, or retires it.
func (s *Sub) putChecked(sl *slots.Slot, err error) {
	if err != nil {
		s.lose(sl, err, false)
		return
	}
	s.GiveBack(sl)
}

func (s *Sub) leakLocked(leaks []Event, sl *slots.Slot, now time.Duration) []Event {
	t := sl.Taken.Load()
	if s.cfg.LeakAfter <= 0 || t == nil || now-t.At < s.cfg.LeakAfter || !sl.Current(t.Gen) || t.Told {
		return leaks
	}
	t.Told = true
	return append(leaks, Event{Kind: Leaked, Sub: s, Duration: now - t.At, PCs: t.PCs})
}
