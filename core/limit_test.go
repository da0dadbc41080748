package core_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// In another pool each call that timed out left a dial behind, and the next
// began one more.
func TestCallsThatGiveUpDoNotSnowballIntoConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		f.most = 4
		for _, a := range []string{"a:1", "b:1"} {
			f.server(a).dialed(slow(time.Second))
		}
		p := f.pool(core.MaxActive(4))
		for range 300 {
			_, err := p.Get(within(t, time.Millisecond))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if opened, _ := f.counts(); opened > 8 {
			t.Errorf("%d connections opened for calls that gave up, of 8 allowed", opened)
		}
	})
}

func TestOneCallOpensOneConnection(t *testing.T) {
	for _, how := range []struct {
		name string
		how  func(context.Context) error
	}{{"at once", nil}, {"slowly", slow(10 * time.Millisecond)}} {
		t.Run(how.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 20 {
					f := newFleet(t, "a:1", "b:1", "c:1")
					for _, e := range f.first {
						f.server(e.Addr).dialed(how.how)
					}
					p := f.pool()
					release(t, get(t, p))
					time.Sleep(time.Minute)
					f.wantCounts(1, 0)
				}
			})
		})
	}
}

// A connection that has landed and is not given to the call yet is as good as
// given: a call that looks again in that instant dials no second one.
func TestCallThatLooksAgainWhileItsConnectionLandsOpensNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.WithObserver(slowToSeeDials{}.Observe))
		waiting := background(t.Context(), p)
		time.Sleep(50 * time.Millisecond)
		f.report("a:1", "b:1") // makes all calls look again
		time.Sleep(time.Minute)
		release(t, served(t, waiting))
		f.wantCounts(1, 0)
	})
}

// slowToSeeDials is an Observer that holds a connection for 200 ms between its
// dial and its first use.
type slowToSeeDials struct{}

func (slowToSeeDials) Observe(ev core.Event) {
	if ev.Kind == core.EventDialed {
		time.Sleep(200 * time.Millisecond)
	}
}

func TestBurstOpensNoMoreConnectionsThanItHasCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(slow(100 * time.Millisecond))
		p := f.pool(core.MaxConcurrentDials(4))
		begun := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { use(t, p, time.Hour) })
		}
		time.Sleep(time.Minute)
		f.wantCounts(10, 0)
		wg.Wait()
		if d := time.Since(begun); d != time.Hour+300*time.Millisecond {
			t.Errorf("10 calls with 4 dials at a time took %v, want 1h0m0.3s", d)
		}
		if s := f.server("a:1"); s.mostDialing != 4 {
			t.Errorf("%d dials at a time, want 4", s.mostDialing)
		}
	})
}

// A burst that ends while the dials run needs no connection for each call.
func TestBurstReusesWhatComesBackMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(slow(100 * time.Millisecond))
		p := f.pool(core.MaxActive(50), core.MaxConcurrentDials(2))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { use(t, p, time.Millisecond) })
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if opened, _ := f.counts(); opened > 4 {
			t.Errorf("50 calls of 1 ms opened %d connections, want at most 4", opened)
		}
	})
}

func TestMaxDialingIsPerEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxConcurrentDials(3))
		for _, e := range f.first {
			f.server(e.Addr).dialed(slow(time.Second))
			for range 20 {
				background(within(t, 10*time.Millisecond), p, core.WithEndpoint(e.Addr))
			}
		}
		synctest.Wait()
		for _, e := range f.first {
			if _, dialing := f.server(e.Addr).seen(); dialing != 3 {
				t.Errorf("%d dials of %s under way, want 3", dialing, e.Addr)
			}
		}
		time.Sleep(time.Minute)
	})
}

func TestMaxActiveCountsConnectionsThatAreDialedAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.most = 2
		f.server("a:1").dialed(slow(time.Second))
		p := f.pool(core.MaxActive(2))
		two := getMany(t, p, 2)
		begun := time.Now()
		third := background(t.Context(), p)
		synctest.Wait()
		two[0].Conn().onClose = func() { time.Sleep(time.Second) }
		two[0].Conn().unuse()
		_ = two[0].Discard(nil) // frees its place when the close is over
		if st := endpointStats(t, p, "a:1"); st.Open != 1 || st.Closing != 1 || st.Dialing != 0 {
			t.Errorf("%+v, want 1 open and 1 closing", st)
		}
		time.Sleep(1500 * time.Millisecond)
		if st := endpointStats(t, p, "a:1"); st.Open != 1 || st.Closing != 0 || st.Dialing != 1 {
			t.Errorf("%+v, want 1 open and 1 dialing", st)
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		release(t, served(t, third), two[1])
		if d := time.Since(begun); d != 2*time.Second {
			t.Errorf("a discarded connection was replaced after %v, want 2s", d)
		}
	})
}

func TestCallWaitsForThePlaceOfTheOnlyConnectionThatIsBeingClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.most = 1
		p := f.pool(core.MaxActive(1))
		l := get(t, p)
		l.Conn().onClose = func() { time.Sleep(time.Second) }
		l.Conn().unuse()
		_ = l.Discard(nil)
		begun := time.Now()
		release(t, get(t, p))
		if d := time.Since(begun); d != time.Second {
			t.Errorf("the call took %v, want 1s", d)
		}
	})
}

func TestMaxTotalBoundsThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		f.mostTotal = 4
		p := f.pool(core.MaxTotal(4), core.MinIdle(1))
		held := getMany(t, p, 4)
		fifth := background(t.Context(), p)
		synctest.Wait()
		waits(t, fifth)
		held[3].Conn().unuse()
		_ = held[3].Discard(nil)
		synctest.Wait()
		held[3] = served(t, fifth)
		release(t, held...)
	})
}

func TestIdleConnectionIsPreferredToADialWhenTheTotalIsUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1", "d:1")
		f.mostTotal = 2
		p := f.pool(core.MaxTotal(2))
		for range 200 {
			release(t, get(t, p))
		}
		if opened, _ := f.counts(); opened > 2 {
			t.Errorf("one call at a time opened %d connections, of 2 allowed at once", opened)
		}
	})
}

func TestIdleConnectionMakesRoomForACallElsewhereWhenTheTotalIsUsedUp(t *testing.T) {
	for _, idle := range []bool{true, false} {
		for _, opts := range [][]core.Option{nil, {core.MinIdle(1)}} {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1")
				f.mostTotal = 1
				p := f.pool(append(opts, core.MaxTotal(1))...)
				l := get(t, p, core.WithEndpoint("a:1"))
				if idle {
					release(t, l)
				}
				onB := background(t.Context(), p, core.WithEndpoint("b:1"))
				synctest.Wait()
				if !idle {
					waits(t, onB)
					release(t, l)
					synctest.Wait()
				}
				release(t, served(t, onB))
				time.Sleep(time.Minute)
				if opened, _ := f.counts(); opened > 4 {
					t.Errorf("%d connections opened for two calls", opened)
				}
			})
		}
	}
}

func TestMinIdleGivesWayToTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		f.mostTotal = 4
		p := f.pool(core.MinIdle(2), core.MaxTotal(4))
		time.Sleep(time.Minute)
		f.wantCounts(4, 0)
		release(t, getMany(t, p, 2, core.WithEndpoint("a:1"))...)
		release(t, getMany(t, p, 2, core.WithEndpoint("b:1"))...)
		release(t, getMany(t, p, 2, core.WithEndpoint("c:1"))...)
	})
}

func TestConnectionReleasedBeyondMaxIdleIsClosed(t *testing.T) {
	for _, share := range []int{1, 30} { // one word of slots, and several
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxIdle(2), core.MaxActive(6), core.MaxConcurrentCalls(share))
				var all []core.Lease[*link]
				for range 6 * share {
					l, err := p.Get(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, l)
				}
				for _, l := range all {
					if err := l.Release(); err != nil {
						t.Error(err)
					}
				}
				if share > 1 {
					time.Sleep(2 * time.Second) // a sweep
				}
				synctest.Wait()
				f.wantCounts(6, 4)
				if st := endpointStats(t, p, "a:1"); st.Open != 2 || st.Idle != 2*share {
					t.Errorf("%+v, want 2 open and idle", st)
				}
			})
		})
	}
}

func TestSharedConnectionInUseIsNotSurplus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxIdle(1), core.MaxActive(3), core.MaxConcurrentCalls(2))
		kept, others := map[*link]core.Lease[*link]{}, []core.Lease[*link]{}
		for range 6 {
			l, err := p.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.Conn().shared = true
			if _, ok := kept[l.Conn()]; ok {
				others = append(others, l)
				continue
			}
			kept[l.Conn()] = l
		}
		for _, l := range others { // one caller of the two of each connection
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(5 * time.Second)
		var again []<-chan result[*link]
		for range 3 {
			again = append(again, background(t.Context(), p))
		}
		synctest.Wait()
		others = nil
		for _, done := range again { // each is shared again
			others = append(others, served(t, done))
		}
		release(t, others...)
		f.wantCounts(3, 0)
		for _, l := range kept {
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.wantCounts(3, 2)
	})
}

func TestSharedConnectionInUseIsNotClosedToMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxTotal(1), core.MaxConcurrentCalls(2))
		onA, err := p.Get(t.Context(), core.WithEndpoint("a:1"))
		if err != nil {
			t.Fatal(err)
		}
		onA.Conn().shared = true
		onB := background(t.Context(), p, core.WithEndpoint("b:1"))
		synctest.Wait()
		another := background(t.Context(), p, core.WithEndpoint("a:1"))
		synctest.Wait()
		release(t, served(t, another)) // it is shared still
		synctest.Wait()
		waits(t, onB)
		f.wantCounts(1, 0)
		if err := onA.Release(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		release(t, served(t, onB))
		f.wantCounts(2, 1)
	})
}
