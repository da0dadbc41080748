package slots_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// tag is the connection of a slot in these tests: who uses it now.
type tag struct{ user atomic.Int32 }

func (*tag) Close() error { return nil }

// full returns a set of n idle slots, each with a tag of its own.
func full(n, limit int, awaited *atomic.Int64) (*slots.Set, []*slots.Slot) {
	s := new(slots.Set)
	s.Init(awaited)
	s.SetLimit(limit)
	all := make([]*slots.Slot, n)
	for i := range all {
		all[i] = open(s, i)
	}
	return s, all
}

// open puts a new idle slot with a tag of its own into position i.
func open(s *slots.Set, i int) *slots.Slot {
	sl := &slots.Slot{Conn: &slots.Conn{Value: new(tag)}}
	s.Reserve()
	s.Place(sl, i)
	sl.Put()
	return sl
}

// release ends a lease the short way, or else the long one, as the pool does.
func release(sl *slots.Slot, gen uint64) slots.EndResult {
	if how := sl.TryRelease(gen); how != slots.NotEnded {
		return how
	}
	return sl.End(gen)
}

// own notes that the goroutine me owns sl, and disown that it no longer does.
func own(t *testing.T, sl *slots.Slot, me int32) {
	t.Helper()
	if g, ok := sl.Conn.Value.(*tag); !ok || !g.user.CompareAndSwap(0, me) {
		t.Errorf("a slot has two owners")
	}
}

func disown(sl *slots.Slot) {
	if g, ok := sl.Conn.Value.(*tag); ok {
		g.user.Store(0)
	}
}

func TestConcurrentUseGivesEachSlotOneOwner(t *testing.T) {
	for _, n := range []int{1, 2, 8, 9, 47, 48, 49, 113, 300} {
		for _, limit := range []int{0, n} {
			t.Run(fmt.Sprintf("%d slots, limit %d", n, limit), func(t *testing.T) {
				t.Parallel()
				var awaited atomic.Int64
				set, all := full(n, limit, &awaited)
				var ended atomic.Uint64
				var wg sync.WaitGroup
				for me := int32(1); me <= 8; me++ {
					wg.Go(func() {
						for range 4000 {
							hammer(t, set, all, &awaited, &ended, me)
						}
					})
				}
				// One goroutine alone says whether the endpoint is down, so that it
				// knows what it finds.
				wg.Go(func() {
					for k := range 4000 {
						down := k%2 == 0
						if !set.SetDown(down) || set.Down() != down {
							t.Errorf("SetDown(%v) had no effect", down)
						}
					}
				})
				wg.Wait()
				uses := uint64(0)
				for _, sl := range all {
					uses += sl.Uses()
					if !sl.IsIdle() {
						t.Error("a slot was lost: it is not idle and nobody has it")
					}
				}
				if set.Idle() != n || set.InFlight() != 0 || set.Down() {
					t.Errorf("%d idle, %d in flight, down %v; want %d, 0, false", set.Idle(), set.InFlight(), set.Down(), n)
				}
				if uses != ended.Load() || uses == 0 {
					t.Errorf("the generations counted %d uses, the users %d", uses, ended.Load())
				}
			})
		}
	}
}

// hammer takes a slot in a random way and gives it back in a random way.
func hammer(t *testing.T, set *slots.Set, all []*slots.Slot, awaited *atomic.Int64, ended *atomic.Uint64, me int32) {
	t.Helper()
	if n := set.InFlight(); n > len(all) {
		t.Errorf("%d of %d slots in flight", n, len(all))
	}
	switch rand.IntN(8) {
	case 0: // as the sweep does
		sl := all[rand.IntN(len(all))]
		if sl.Take() {
			own(t, sl, me)
			disown(sl)
			if !sl.PutWithin() {
				t.Error("no room for a slot that was idle just now")
				sl.Put()
			}
		}
		return
	case 1:
		all[rand.IntN(len(all))].Flag(slots.NeedsCheck)
		return
	case 2:
		awaited.Add(1)
		defer awaited.Add(-1)
	}
	sl, _ := set.Acquire()
	if sl == nil {
		return
	}
	own(t, sl, me)
	gen := sl.Unflag(slots.NeedsCheck)
	if !sl.Current(gen) {
		t.Error("a lease that lasts is not current")
	}
	short := rand.IntN(2) == 0
	disown(sl)
	end := (*slots.Slot).End
	if short {
		end = release
	}
	switch how := end(sl, gen); how {
	case slots.Idle, slots.ReleasedAwaited:
		if !short {
			t.Error("End made the slot idle")
		}
	case slots.Usable:
		own(t, sl, me)
		disown(sl)
		sl.Put()
	case slots.Stale, slots.MustClose, slots.NotEnded:
		t.Errorf("the first end of a lease is %d", how)
	}
	ended.Add(1)
	if rand.IntN(2) == 0 {
		if how := release(sl, gen); how != slots.Stale {
			t.Errorf("the second end of a lease is %d", how)
		}
	} else if how := sl.End(gen); how != slots.Stale {
		t.Errorf("the second end of a lease is %d", how)
	}
}

// TestOneOfManyEndsOfALeaseCounts lets several goroutines end one lease at the
// same instant.
func TestOneOfManyEndsOfALeaseCounts(t *testing.T) {
	var awaited atomic.Int64
	set, all := full(1, 0, &awaited)
	for round := range uint64(2000) {
		sl, gen := set.Acquire()
		if sl == nil {
			t.Fatalf("round %d: the slot is gone", round)
		}
		var won, must atomic.Int32
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				end := release
				if k%2 == 0 {
					end = (*slots.Slot).End
				}
				switch end(sl, gen) {
				case slots.Stale:
				case slots.Usable:
					must.Add(1)
					won.Add(1)
				default:
					won.Add(1)
				}
			})
		}
		wg.Go(func() { sl.Flag(slots.NeedsCheck) })
		wg.Wait()
		if won.Load() != 1 || sl.Uses() != round+1 {
			t.Fatalf("round %d: %d ends of one lease counted, %d uses", round, won.Load(), sl.Uses())
		}
		if must.Load() == 1 {
			all[0].Put()
		}
		sl.Unflag(slots.NeedsCheck)
	}
}

// TestRetiredDuringALeaseIsSeenAtItsEnd races the end of a lease with Flag: the
// flag is seen by the end, or by whoever acquires the slot next.
func TestRetiredDuringALeaseIsSeenAtItsEnd(t *testing.T) {
	var awaited atomic.Int64
	for range 2000 {
		set, all := full(1, 0, &awaited)
		sl, gen := set.Acquire()
		var wg sync.WaitGroup
		wg.Go(func() { sl.Flag(slots.Retired) })
		how := release(sl, gen)
		wg.Wait()
		switch how {
		case slots.MustClose:
			if sl.IsIdle() {
				t.Fatal("a slot is idle that its last user must close")
			}
		case slots.Idle, slots.Usable: // Usable when the flag came between its two steps
			if how == slots.Usable {
				sl.Put()
			}
			if _, gen := set.Acquire(); gen&slots.Retired == 0 {
				t.Fatal("the flag was lost")
			}
		default:
			t.Fatalf("released with %d", how)
		}
		if all[0].Gen()&slots.Retired == 0 {
			t.Fatal("the flag was lost")
		}
	}
}

// TestReleaseLooksForWaitingCallsAfterIt is one half of the promise that no
// wake-up is lost: a call that counts itself as waiting and then finds nothing
// idle knows that the release saw it.
func TestReleaseLooksForWaitingCallsAfterIt(t *testing.T) {
	var awaited atomic.Int64
	set, _ := full(1, 0, &awaited)
	var round, answer atomic.Int64 // the answer to round k is 2k, or 2k+1 if a slot was found
	const rounds = 50_000
	spin := func(n int) { // both run at once, if there are processors for it
		if n > 200 {
			runtime.Gosched()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for k := int64(1); k <= rounds; k++ {
			for n := 0; round.Load() < k; n++ {
				spin(n)
			}
			for range k % 16 { // meets the release at another point each time
				_ = round.Load()
			}
			awaited.Add(1)
			answer.Store(2*k + int64(set.Idle()))
		}
	})
	for k := int64(1); k <= rounds; k++ {
		sl, gen := set.Acquire()
		round.Store(k)
		how := release(sl, gen)
		for n := 0; answer.Load() < 2*k; n++ {
			spin(n)
		}
		found := answer.Load() == 2*k+1
		awaited.Store(0)
		switch {
		case how == slots.Idle && !found:
			t.Errorf("round %d: the release did not see the waiting call, nor that call the slot", k)
		case how == slots.Usable:
			sl.Put()
		case how == slots.ReleasedAwaited && !sl.IsIdle():
			t.Errorf("round %d: a slot released while a call waits is not idle", k)
		}
	}
	wg.Wait()
}

// TestLargestSetCountsAllOfItsSlots holds a set of Max slots in flight but for
// one that is released and acquired all the time: the count must not run into
// the flag above it, not for an instant.
func TestLargestSetCountsAllOfItsSlots(t *testing.T) {
	var awaited atomic.Int64
	set, all := full(slots.Max, 0, &awaited)
	for k := range slots.Max {
		sl, _ := set.Acquire()
		if sl != all[k] {
			t.Fatalf("acquired another slot than %d", k)
		}
	}
	if sl, _ := set.Acquire(); sl != nil || set.Idle() != 0 || set.InFlight() != slots.Max || set.Unavailable() {
		t.Fatalf("all leased: %d idle, %d in flight, unavailable %v", set.Idle(), set.InFlight(), set.Unavailable())
	}
	if !set.SetDown(true) || !set.SetEjected(true) || set.InFlight() != slots.Max || set.Pressure() != 1<<16-1 {
		t.Fatalf("down and ejected: %d in flight, pressure %d", set.InFlight(), set.Pressure())
	}
	set.SetDown(false)
	set.SetEjected(false)

	var wg sync.WaitGroup
	idle := []int{0, near - 1, near, 47, 48, slots.Max - 1}
	for _, k := range idle {
		all[k].Put()
	}
	for me := int32(1); me <= 6; me++ {
		wg.Go(func() {
			for range 20_000 {
				sl, _ := set.Acquire()
				if sl == nil {
					continue
				}
				own(t, sl, me)
				if n := set.InFlight(); set.Down() || n < slots.Max-8 {
					t.Errorf("%d in flight, down %v", n, set.Down())
				}
				disown(sl)
				sl.Put()
			}
		})
	}
	wg.Wait()
	if set.Idle() != len(idle) || set.InFlight() != slots.Max-len(idle) || set.Down() {
		t.Errorf("%d idle, %d in flight, unavailable %v", set.Idle(), set.InFlight(), set.Unavailable())
	}
}

func TestSetWithoutRoomForOneMoreIdleSlotSaysSo(t *testing.T) {
	for _, n := range []int{3, 60} {
		var awaited atomic.Int64
		set, all := full(n, 2, &awaited) // Put does not ask for the limit
		for range n {
			sl, gen := set.Acquire()
			if how := release(sl, gen); how != slots.Usable {
				t.Fatalf("release with a limit: %d", how)
			}
		}
		kept := 0
		for _, sl := range all {
			if sl.PutWithin() {
				kept++
			}
		}
		if kept != 2 || set.Idle() != 2 {
			t.Errorf("of %d slots %d became idle, %d are; want 2", n, kept, set.Idle())
		}
	}
}
