package core

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// TestDeliverAndLeaveNeverBothWinNorBothLose races the two: the slot ends up
// with the waiter or with the one who offered it, and with one of them only.
func TestDeliverAndLeaveNeverBothWinNorBothLose(t *testing.T) {
	var q waitQueue
	var s subpool
	for range 3000 {
		w, sl := enter(&q, nil, excludes{}), new(slots.Slot)
		var wg sync.WaitGroup
		var delivered bool
		wg.Go(func() { delivered = q.deliver(&s, sl, 7) })
		wg.Go(q.wakeAll)
		got, _ := q.leave(w)
		wg.Wait()
		if delivered != (got == sl) {
			t.Fatalf("delivered: %v, received: %v", delivered, got == sl)
		}
		if n := q.awaited.Load(); n != 0 {
			t.Fatalf("awaited is %d in an empty queue", n)
		}
	}
}

// TestSignalIsSeenHoweverItMeetsTheWait races signals with a waiter that parks:
// a lost one would leave it parked for ever.
func TestSignalIsSeenHoweverItMeetsTheWait(t *testing.T) {
	var q waitQueue
	var s subpool
	for round := range 5000 {
		w, sl := enter(&q, nil, excludes{}), new(slots.Slot)
		var wg sync.WaitGroup
		wg.Go(func() {
			if round%2 == 0 {
				q.wakeFirst(&s)
			}
			q.deliver(&s, sl, 7)
		})
		for {
			if why := w.wait(t.Context()); why != signaled {
				t.Fatalf("the wait ended with %d", why)
			}
			if got, _ := q.delivered(w); got != nil {
				if got != sl {
					t.Fatal("received what was delivered to another")
				}
				break
			}
		}
		wg.Wait()
	}
}

// TestConcurrentUseLosesNothing has goroutines wait, give up and deliver at
// will: every slot that was delivered was received, once, by a waiter that
// accepts it, and none by one that had given up.
func TestConcurrentUseLosesNothing(t *testing.T) {
	var q waitQueue
	var subs [3]subpool
	owners := map[*slots.Slot]*subpool{}
	var mu sync.Mutex // guards owners: of slots delivered and not received
	var delivered, received atomic.Int64
	var waiters, feeders sync.WaitGroup
	var over atomic.Bool
	for me := range 8 {
		waiters.Go(func() {
			r := rand.New(rand.NewPCG(uint64(me), 1))
			for range 800 {
				var only *subpool
				if r.IntN(2) == 0 {
					only = &subs[r.IntN(len(subs))]
				}
				w := enter(&q, only, excludes{})
				var sl *slots.Slot
				for waits := r.IntN(4); waits >= 0; waits-- {
					w.wait(t.Context())
					if sl, _ = q.delivered(w); sl != nil {
						w = nil
						break
					}
				}
				if w != nil {
					sl, _ = q.leave(w)
				}
				if sl == nil {
					continue
				}
				received.Add(1)
				mu.Lock()
				from := owners[sl]
				delete(owners, sl)
				mu.Unlock()
				if from == nil || (only != nil && from != only) {
					t.Error("a slot was received twice, or by a waiter that does not accept it")
				}
			}
		})
	}
	for me := range 3 {
		feeders.Go(func() {
			r := rand.New(rand.NewPCG(uint64(me), 2))
			for !over.Load() {
				s := &subs[r.IntN(len(subs))]
				switch r.IntN(4) {
				case 0:
					q.wakeAll()
				case 1:
					q.wakeFirst(s)
				default:
					sl := new(slots.Slot)
					mu.Lock()
					owners[sl] = s
					mu.Unlock()
					if q.deliver(s, sl, 0) {
						delivered.Add(1)
						continue
					}
					mu.Lock()
					delete(owners, sl)
					mu.Unlock()
				}
			}
		})
	}
	waiters.Wait()
	over.Store(true)
	feeders.Wait()
	if delivered.Load() != received.Load() || len(owners) != 0 {
		t.Errorf("%d slots delivered, %d received", delivered.Load(), received.Load())
	}
	if received.Load() == 0 {
		t.Error("no slot was received; nothing was tested")
	}
	if q.len() != 0 || q.awaited.Load() != 0 {
		t.Errorf("after the last waiter: length %d, awaited %d", q.len(), q.awaited.Load())
	}
}
