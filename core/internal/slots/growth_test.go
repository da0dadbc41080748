package slots_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// TestSetGrowsWhileOthersAcquireAndRelease has one goroutine, as the pool under
// its lock, open, close and reopen positions on both sides of each table's edge,
// while others use what there is.
func TestSetGrowsWhileOthersAcquireAndRelease(t *testing.T) {
	for _, limit := range []int{0, 1 << 20} { // the short release, and the long one
		var awaited atomic.Int64
		set := new(slots.Set)
		set.Init(&awaited)
		set.SetLimit(limit)
		const n = 48 + 5*64 + 1
		var used [n]atomic.Int64
		index := map[*slots.Slot]int{}
		var mu sync.Mutex // guards index
		var grown atomic.Bool
		var wg sync.WaitGroup
		for me := int32(1); me <= 8; me++ {
			wg.Go(func() {
				for k := 0; k < 2000 || !grown.Load(); k++ {
					sl, gen := set.Acquire()
					if sl == nil {
						continue
					}
					own(t, sl, me)
					mu.Lock()
					i, ok := index[sl]
					mu.Unlock()
					if !ok || !sl.Placed() || sl.IsIdle() {
						t.Errorf("an acquired slot is not known, or not in position %d, or idle", i)
						return
					}
					used[i].Add(1)
					disown(sl)
					switch how := release(sl, gen); how {
					case slots.Idle:
					case slots.Usable:
						if !sl.PutWithin() {
							t.Errorf("slot %d finds no room within %d", i, limit)
							sl.Put()
						}
					case slots.Stale, slots.MustClose, slots.NotEnded, slots.ReleasedAwaited:
						t.Errorf("the lease of slot %d ended with %d", i, how)
					}
				}
			})
		}
		place := func(i int) *slots.Slot {
			sl := &slots.Slot{Conn: &slots.Conn{Value: new(tag)}}
			mu.Lock()
			index[sl] = i
			mu.Unlock()
			set.Reserve()
			set.Place(sl, i)
			sl.Put()
			return sl
		}
		all := make([]*slots.Slot, n)
		for i := range all {
			all[i] = place(i)
			if k := rand.IntN(i + 1); all[k].Take() { // else somebody has it
				if got := all[k].Vacate(); got != k {
					t.Errorf("vacated position %d, want %d", got, k)
				}
				all[k] = place(k)
			}
		}
		grown.Store(true)
		wg.Wait()
		if set.Idle() != n || set.InFlight() != 0 || set.Unavailable() {
			t.Errorf("%d idle, %d in flight, unavailable %v; want %d, 0, false", set.Idle(), set.InFlight(), set.Unavailable(), n)
		}
		for i := range all { // the lowest first, and each of them
			if sl, _ := set.Acquire(); sl != all[i] {
				t.Fatalf("position %d is not acquired in its turn", i)
			}
		}
		if used[0].Load() == 0 {
			t.Error("nothing was acquired")
		}
	}
}

func TestPositionsMayBeOpenedInAnyOrder(t *testing.T) {
	var awaited atomic.Int64
	set := new(slots.Set)
	set.Init(&awaited)
	last := open(set, slots.Max-1) // all chunks before it are empty
	hot := open(set, 47)           // so are the positions before it
	first := open(set, 0)
	if set.Idle() != 3 || !last.Placed() || !hot.Placed() || !first.Placed() {
		t.Errorf("%d idle, placed %v, %v and %v", set.Idle(), last.Placed(), hot.Placed(), first.Placed())
	}
	for _, want := range []*slots.Slot{first, hot, last, nil} {
		if sl, _ := set.Acquire(); sl != want {
			t.Errorf("acquired another slot than the lowest idle one")
		}
	}
}

func TestSetLimitCountsForReleasesFromThenOn(t *testing.T) {
	for _, n := range []int{10, 60} {
		var awaited atomic.Int64
		set, all := full(n, 0, &awaited)
		set.SetLimit(2)
		if set.Idle() != n {
			t.Errorf("%d of %d slots are idle after SetLimit, which closes none", set.Idle(), n)
		}
		sl, gen := set.Acquire()
		if how := sl.TryRelease(gen); how != slots.NotEnded {
			t.Errorf("TryRelease with a limit = %d", how)
		}
		if how := sl.End(gen); how != slots.Usable || sl.PutWithin() {
			t.Errorf("End = %d; want Usable, and no room", how)
		}
		for k := range n - 1 {
			if !all[k+1].Take() {
				t.Fatalf("slot %d is not idle", k+1)
			}
		}
		for k, want := range []bool{true, true, false} {
			if got := all[k].PutWithin(); got != want {
				t.Errorf("%d idle of at most 2: PutWithin = %v", k, got)
			}
		}
		set.SetLimit(3)
		if !all[2].PutWithin() || all[3].PutWithin() {
			t.Error("a higher limit makes room for one more")
		}
		set.SetLimit(0)
		if !all[3].PutWithin() {
			t.Error("no room without a limit")
		}
		sl, gen = set.Acquire()
		if how := sl.TryRelease(gen); how != slots.Idle {
			t.Errorf("TryRelease without a limit = %d", how)
		}
	}
}

// TestSetLimitMayChangeWhileTheSetIsInUse changes the limit between 0 and 8
// while slots are used: no slot is lost or has two owners, and a limit that
// stays is kept.
func TestSetLimitMayChangeWhileTheSetIsInUse(t *testing.T) {
	var awaited atomic.Int64
	const n, most = 40, 8
	set, all := full(n, 0, &awaited)
	use := func(me int32, rounds int) (refused []*slots.Slot) {
		for range rounds {
			sl, gen := set.Acquire()
			if sl == nil {
				continue
			}
			own(t, sl, me)
			disown(sl)
			switch how := release(sl, gen); how {
			case slots.Idle:
			case slots.Usable:
				if !sl.PutWithin() {
					refused = append(refused, sl)
				}
			case slots.Stale, slots.MustClose, slots.NotEnded, slots.ReleasedAwaited:
				t.Errorf("a lease ended with %d", how)
			}
		}
		return refused
	}
	var mu sync.Mutex
	var closed []*slots.Slot // by nobody, since the pool is missing
	both := func(rounds int, meanwhile func()) {
		var wg sync.WaitGroup
		for me := int32(1); me <= 6; me++ {
			wg.Go(func() {
				refused := use(me, rounds)
				mu.Lock()
				closed = append(closed, refused...)
				mu.Unlock()
			})
		}
		wg.Go(meanwhile)
		wg.Wait()
		if set.Idle()+len(closed) != n || set.InFlight() != len(closed) {
			t.Fatalf("%d idle, %d in flight, %d found no room; want %d in all", set.Idle(), set.InFlight(), len(closed), n)
		}
	}
	both(3000, func() {
		for k := range 3000 {
			set.SetLimit(k % (most + 1))
		}
	})
	for _, sl := range closed {
		sl.Put()
	}
	closed = nil
	set.SetLimit(most)
	for _, sl := range all { // every slot is released once with this limit
		if !sl.Take() {
			t.Fatal("a slot was lost")
		}
	}
	for _, sl := range all {
		if !sl.PutWithin() {
			closed = append(closed, sl)
		}
	}
	both(3000, func() {
		for range 3000 {
			if k := set.Idle(); k > most {
				t.Errorf("%d are idle, want at most %d", k, most)
			}
		}
	})
	if set.Idle() != most {
		t.Errorf("%d are idle in the end, want %d", set.Idle(), most)
	}
}

func TestBeganKnowsTheLeaseThatBeginNoted(t *testing.T) {
	var awaited atomic.Int64
	set, all := full(1, 0, &awaited)
	sl, first := set.Acquire()
	if _, ok := sl.Began(first); ok {
		t.Error("the time of a lease is known that Begin did not note")
	}
	sl.Begin(first, 3*time.Second)
	for _, gen := range []uint64{first, first | slots.Retired, first | slots.NeedsCheck | slots.Timed} {
		if at, ok := sl.Began(gen); !ok || at != 3*time.Second {
			t.Errorf("generation %d: began %v, %v; want 3s, whatever the flags", gen, at, ok)
		}
	}
	release(sl, first)
	if sl != all[0] {
		t.Fatal("acquired another slot")
	}
	_, second := set.Acquire()
	if at, ok := sl.Began(second); ok {
		t.Errorf("the second lease began at %v, which is the time of the first", at)
	}
	sl.Begin(second, 0) // as in the first instant of a pool
	if at, ok := sl.Began(second); !ok || at != 0 {
		t.Errorf("the second lease began %v, %v; want 0s", at, ok)
	}
	if at, ok := sl.Began(first); ok {
		t.Errorf("the first lease, which has ended, began at %v: the time of the second", at)
	}
}

// TestBeganNeverTakesAnotherLeasesTime races Begin of each lease with Began of
// the one before, whose holder does not know that it has ended.
func TestBeganNeverTakesAnotherLeasesTime(t *testing.T) {
	var awaited atomic.Int64
	set, _ := full(1, 0, &awaited)
	sl, gen := set.Acquire()
	var last atomic.Uint64
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !over.Load() {
			g := last.Load()
			if at, ok := sl.Began(g); ok && at != time.Duration(g) {
				t.Errorf("the lease of generation %d began at %d", g, at)
				return
			}
		}
	})
	for range 300_000 {
		sl.Begin(gen, time.Duration(gen))
		last.Store(gen)
		release(sl, gen)
		_, gen = set.Acquire()
	}
	over.Store(true)
	wg.Wait()
}
