package subpool_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
)

// host is a pool in which nobody waits, and what it starts is done at once.
type host struct{ now time.Duration }

func (h *host) Now() time.Duration                    { return h.now }
func (*host) Go(f func())                             { f() }
func (*host) TakeTotal(bool) bool                     { return true }
func (*host) GiveTotal()                              {}
func (*host) HandOver(*subpool.Sub, *slots.Slot) bool { return false }
func (*host) Returned(*subpool.Sub)                   {}
func (*host) Room(*subpool.Sub)                       {}
func (*host) Look()                                   {}
func (*host) DialFailed(*subpool.Sub)                 {}
func (*host) Event(subpool.Event)                     {}

// conn counts those open.
type conn struct{ open *atomic.Int64 }

func (c conn) Close() error {
	c.open.Add(-1)
	return nil
}

// open returns a sub-pool with one idle connection, of one at most.
func open(t *testing.T) (s *subpool.Sub, h *host, opened *atomic.Int64) {
	t.Helper()
	h, opened = &host{}, new(atomic.Int64)
	cfg := &subpool.Config{MaxActive: 1, Share: 1, MaxDialing: 1, DialTimeout: time.Minute}
	s = subpool.New(h, cfg, new(atomic.Int64), "a:1", nil, func(context.Context) (io.Closer, error) {
		opened.Add(1)
		return conn{opened}, nil
	})
	s.Demand()
	s.Undemand()
	if s.Idle() != 1 {
		t.Fatalf("%d connections idle, want 1", s.Idle())
	}
	return s, h, opened
}

func wantOneUsable(t *testing.T, s *subpool.Sub, opened *atomic.Int64) {
	t.Helper()
	if c := s.Counts(); c.Open != 1 || c.Idle != 1 || c.InUse != 0 || opened.Load() != 1 {
		t.Errorf("%+v with %d connections open, want 1 open and idle", c, opened.Load())
	}
	if sl, gen := s.Acquire(); sl == nil || gen&slots.Doomed != 0 {
		t.Error("the connection cannot be leased")
	}
}

// A release looks at its slot once more after it has put it back. By then the
// connection may have been leased, discarded and replaced by another in the
// same position.
func TestLateLookAtASlotThatWasReplacedDoesNotTouchItsSuccessor(t *testing.T) {
	s, _, opened := open(t)
	old, gen := s.Acquire()
	if !subpool.Discard(old, gen, nil, false) {
		t.Fatal("the lease was stale")
	}
	s.Demand()
	s.Undemand()
	subpool.Released(old, slots.Exposed)
	wantOneUsable(t, s, opened)
}

// A reset and a release that meet may leave a doomed connection idle.
func TestSweepClosesADoomedConnectionThatIsIdle(t *testing.T) {
	s, h, opened := open(t)
	sl, _ := s.Acquire()
	s.Reset()
	sl.Put() // as a release does that began before
	h.now = time.Second
	s.Sweep(h.now)
	if opened.Load() != 0 || s.Counts().Open != 0 {
		t.Errorf("%+v with %d connections open, want none", s.Counts(), opened.Load())
	}
	s.Demand()
	s.Undemand()
	wantOneUsable(t, s, opened)
}
