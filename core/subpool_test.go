package core

import (
	"context"
	"io"
	"math"
	"reflect"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// countedConn counts the connections open.
type countedConn struct{ open *atomic.Int64 }

func (c countedConn) Close() error {
	c.open.Add(-1)
	return nil
}

// loneSubpool is a sub-pool of at most one connection, in a pool in which no call
// waits and that sees no time pass.
type loneSubpool struct {
	*subpool
	opened atomic.Int64
}

// newLoneSubpool returns one whose connection is open and idle.
func newLoneSubpool(t *testing.T) *loneSubpool {
	t.Helper()
	s := new(loneSubpool)
	p := &pool{epoch: time.Now(), undialed: undialed(1), changed: make(chan struct{}), dial: func(context.Context, Endpoint) (io.Closer, error) {
		s.opened.Add(1)
		return countedConn{&s.opened}, nil
	}}
	p.adjust(settings{maxActive: 1, share: 1, maxDials: 1, dialTimeout: time.Minute})
	p.view.Store(new(snapshot))
	s.subpool = p.newSubpool(Endpoint{Addr: "a:1"})
	t.Cleanup(func() {
		if !reflect.DeepEqual(p.undialed, undialed(1)) {
			t.Errorf("the connections of all that were never dialed became %+v", *p.undialed)
		}
	})
	s.open()
	if s.Idle() != 1 {
		t.Fatalf("%d connections idle, want 1", s.Idle())
	}
	return s
}

// open dials as for a call, and waits until the connection is idle.
func (s *loneSubpool) open() {
	s.prewarm()
	s.wait()
}

// wait waits for the dials and closes under way.
func (s *loneSubpool) wait() { s.pool.tasks.Wait() }

func (s *loneSubpool) wantOneUsable(t *testing.T) {
	t.Helper()
	s.wait()
	if st := s.stats(); st.Open != 1 || st.Idle != 1 || st.InUse != 0 || s.opened.Load() != 1 {
		t.Errorf("%+v with %d connections open, want 1 open and idle", st, s.opened.Load())
	}
	if sl, gen := s.Acquire(); sl == nil || gen&slots.Retired != 0 {
		t.Error("the connection cannot be leased")
	}
}

// A release looks at its slot once more after it has put it back. By then the
// connection may have been leased, discarded and replaced by another in the
// same position.
func TestLateLookAtASlotThatWasReplacedDoesNotTouchItsSuccessor(t *testing.T) {
	s := newLoneSubpool(t)
	old, gen := s.Acquire()
	if err := (Lease[countedConn]{old, gen}).Discard(nil); err != nil {
		t.Fatal(err)
	}
	s.wait()
	s.open()
	s.releasedAwaited(old)
	s.wantOneUsable(t)
}

// A reset and a release that meet may leave a retired connection idle.
func TestSweepClosesARetiredConnectionThatIsIdle(t *testing.T) {
	s := newLoneSubpool(t)
	sl, _ := s.Acquire()
	s.shed(math.MaxInt, true)
	sl.Put() // as a release does that began before
	s.sweep(time.Second)
	s.wait()
	if st := s.stats(); s.opened.Load() != 0 || st.Open != 0 {
		t.Errorf("%+v with %d connections open, want none", st, s.opened.Load())
	}
	s.open()
	s.wantOneUsable(t)
}

// TestSubpoolThatWasNeverDialedHasNothingOfItsOwn looks at one, changes its settings and
// ends it.
func TestSubpoolThatWasNeverDialedHasNothingOfItsOwn(t *testing.T) {
	dialed := newLoneSubpool(t)
	s := dialed.pool.newSubpool(Endpoint{Addr: "b:1"})
	for what, use := range map[string]func(){
		"stats":    func() { s.stats() },
		"metrics":  func() { new(totals).add(s, s.stats(), s.calls()) },
		"a look":   func() { s.capacity() },
		"a sweep":  func() { s.isLive(); s.sweep(time.Second) },
		"Set":      func() { s.resize(nil) },
		"Reset":    func() { s.shed(math.MaxInt, true) },
		"an error": func() { _ = s.lastDialError() },
	} {
		if use(); s.connections != s.pool.undialed || s.tallied.Load() != nil {
			t.Errorf("%s makes connections %p, where those of all are %p, or a tally %v", what, s.connections, s.pool.undialed, s.tallied.Load())
		}
	}
	s.drain()
	s.cut(nil)
	select {
	case <-s.empty:
	default:
		t.Error("it is not empty")
	}
	if dialed.connections == dialed.pool.undialed {
		t.Error("a sub-pool that was dialed has no connections of its own")
	}
}

// TestSubpoolTakesNoMoreThanFourCacheLines guards the memory of a large fleet, few of
// whose servers are ever dialed.
func TestSubpoolTakesNoMoreThanFourCacheLines(t *testing.T) {
	if size := unsafe.Sizeof(subpool{}); size > 4*64 {
		t.Errorf("a sub-pool has %d bytes, want at most 256", size)
	}
}
