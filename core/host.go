package core

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
)

// The methods below make pool the Host of its sub-pools.

// Now is the time since the pool was made.
func (p *pool) Now() time.Duration { return time.Since(p.epoch) }

// Go runs f in a goroutine that close waits for.
func (p *pool) Go(f func()) { p.tasks.Go(f) }

// TakeTotal takes one connection off MaxTotal. One that is not for a call is
// not taken from under the calls that wait.
func (p *pool) TakeTotal(call bool) bool {
	if p.cfg.maxTotal == 0 {
		return true
	}
	if !call && p.queue.Attention.Load() != 0 {
		return false
	}
	for {
		n := p.total.Load()
		if n >= int64(p.cfg.maxTotal) {
			return false
		}
		if p.total.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// GiveTotal gives it back.
func (p *pool) GiveTotal() {
	if p.cfg.maxTotal != 0 {
		p.total.Add(-1)
	}
}

// HandOver gives an owned slot to the first call that waits and accepts it.
func (p *pool) HandOver(s *subpool.Sub, sl *slots.Slot) bool {
	gen := sl.Gen()
	return gen&slots.Doomed == 0 && p.queue.Deliver(&s.Set, sl, gen)
}

// Returned offers the idle slots of s to the calls that wait. Where the total
// is bounded, those that may not use them may have their place.
func (p *pool) Returned(s *subpool.Sub) {
	for p.queue.Wants(&s.Set) {
		sl, gen := s.Acquire()
		if sl == nil {
			return
		}
		if gen&slots.Doomed != 0 {
			s.Retire(sl, nil)
		} else if !p.queue.Deliver(&s.Set, sl, gen) {
			s.GiveBack(sl)
			return
		}
	}
	if p.cfg.maxTotal != 0 {
		p.queue.KickAll()
	}
}

// Look makes all calls that wait look again.
func (p *pool) Look() { p.queue.KickAll() }

// Room wakes a call that may dial now. When the pool's total is bounded, room
// at one endpoint is room at any.
func (p *pool) Room(s *subpool.Sub) {
	if p.queue.Attention.Load() == 0 {
		return
	}
	if p.cfg.maxTotal != 0 {
		p.queue.KickAll()
		return
	}
	p.queue.KickFirst(&s.Set)
}

// DialFailed makes the calls that wait look again: for some there may be
// nothing left to wait for.
func (p *pool) DialFailed(s *subpool.Sub) {
	if srv, ok := s.Tag.(*server); ok {
		p.report(srv, Report{Class: DialFailure, At: p.Now()})
	}
	p.queue.KickAll()
}
