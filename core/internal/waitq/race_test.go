package waitq_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/waitq"
)

// TestDeliverAndLeaveNeverBothWinNorBothLose races the two: the slot ends up
// with the waiter or with the one who offered it, and with one of them only.
func TestDeliverAndLeaveNeverBothWinNorBothLose(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	for range 3000 {
		w, sl := enter(&q, nil, avoid{}), new(slots.Slot)
		var wg sync.WaitGroup
		var delivered bool
		wg.Go(func() { delivered = q.Deliver(&s, sl, 7) })
		wg.Go(q.KickAll)
		got, _ := q.Leave(w)
		wg.Wait()
		if delivered != (got == sl) {
			t.Fatalf("delivered: %v, received: %v", delivered, got == sl)
		}
		if n := q.Attention.Load(); n != 0 {
			t.Fatalf("attention %d in an empty queue", n)
		}
	}
}

// TestSignalIsSeenHoweverItMeetsTheWait races signals with a waiter that parks:
// a lost one would leave it parked for ever.
func TestSignalIsSeenHoweverItMeetsTheWait(t *testing.T) {
	var q waitq.Queue
	var s slots.Set
	for round := range 5000 {
		w, sl := enter(&q, nil, avoid{}), new(slots.Slot)
		var wg sync.WaitGroup
		wg.Go(func() {
			if round%2 == 0 {
				q.KickFirst(&s)
			}
			q.Deliver(&s, sl, 7)
		})
		for {
			if why := w.Wait(t.Context()); why != waitq.Signalled {
				t.Fatalf("woken by %d", why)
			}
			if got, _ := q.Delivered(w); got != nil {
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
	var q waitq.Queue
	var sets [3]slots.Set
	owners := map[*slots.Slot]*slots.Set{}
	var mu sync.Mutex // guards owners: slots delivered and not received
	var delivered, received atomic.Int64
	var waiters, feeders sync.WaitGroup
	var over atomic.Bool
	for me := range 8 {
		waiters.Go(func() {
			r := rand.New(rand.NewPCG(uint64(me), 1))
			for range 800 {
				var only *slots.Set
				if r.IntN(2) == 0 {
					only = &sets[r.IntN(len(sets))]
				}
				w := enter(&q, only, avoid{})
				var sl *slots.Slot
				for patience := r.IntN(4); patience >= 0; patience-- {
					w.Wait(t.Context())
					if sl, _ = q.Delivered(w); sl != nil {
						w = nil
						break
					}
				}
				if w != nil {
					sl, _ = q.Leave(w)
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
				set := &sets[r.IntN(len(sets))]
				switch r.IntN(4) {
				case 0:
					q.KickAll()
				case 1:
					q.KickFirst(set)
				default:
					sl := new(slots.Slot)
					mu.Lock()
					owners[sl] = set
					mu.Unlock()
					if q.Deliver(set, sl, 0) {
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
		t.Error("nothing was received; the test shows nothing")
	}
	if q.Len() != 0 || q.Attention.Load() != 0 {
		t.Errorf("after the last waiter: length %d, attention %d", q.Len(), q.Attention.Load())
	}
}
