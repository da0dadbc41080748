package core_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

func TestNoWakeUpIsLost(t *testing.T) {
	for _, c := range []struct {
		name    string
		servers []string
		opts    []core.Option
		callers int
		calls   [][]core.CallOption
	}{
		{"one connection", []string{"a:1"}, []core.Option{core.MaxActive(1)}, 40, [][]core.CallOption{nil}},
		{"three endpoints", []string{"a:1", "b:1", "c:1"}, []core.Option{core.MaxActive(1)}, 40, [][]core.CallOption{nil}},
		{
			"calls with wishes",
			[]string{"a:1", "b:1", "c:1"},
			[]core.Option{core.MaxActive(1)},
			60,
			[][]core.CallOption{
				nil, {core.WithEndpoint("a:1")}, {core.WithEndpoint("b:1")}, {core.WithoutEndpoint("a:1")}, {core.WithoutEndpoint("b:1"), core.WithoutEndpoint("c:1")}, {core.WithKey("k")},
			},
		},
		{
			"a bounded total",
			[]string{"a:1", "b:1", "c:1"},
			[]core.Option{core.MaxActive(2), core.MaxTotal(2)},
			40,
			[][]core.CallOption{nil, {core.WithEndpoint("a:1")}, {core.WithEndpoint("b:1")}, {core.WithoutEndpoint("b:1")}},
		},
		{"one that is kept idle", []string{"a:1", "b:1"}, []core.Option{core.MaxActive(2), core.MaxIdle(1), core.MinIdle(1)}, 40, [][]core.CallOption{nil}},
		{"more slots than a word has", []string{"a:1"}, []core.Option{core.MaxActive(2), core.MaxConcurrentCalls(60)}, 130, [][]core.CallOption{nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, c.servers...)
				p := f.pool(c.opts...)
				begun, ctx := time.Now(), within(t, time.Hour)
				var wg sync.WaitGroup
				for i := range c.callers {
					wg.Go(func() {
						for k := range 60 {
							l, err := p.Get(ctx, c.calls[(i+k)%len(c.calls)]...)
							if err != nil {
								t.Error(err)
								return
							}
							if k%4 == 0 {
								runtime.Gosched()
							}
							if k%7 == 0 {
								err = l.Discard(nil)
							} else {
								err = l.Release()
							}
							if err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				if d := time.Since(begun); d != 0 {
					t.Errorf("all stood still for %v", d)
				}
			})
		})
	}
}

// One releases in the instant in which the other finds nothing and begins to
// wait: it must either find the connection or be found.
func TestNoWakeUpIsLostBetweenTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1))
		warm(t, p, 1)
		begun, ctx := time.Now(), within(t, time.Hour)
		linger := func() {
			for range rand.IntN(500) {
			}
		}
		for range 40_000 {
			l := get(t, p)
			var ready, begin atomic.Bool
			done := make(chan error)
			go func() {
				ready.Store(true)
				for !begin.Load() {
					runtime.Gosched()
				}
				linger()
				l, err := p.Get(ctx)
				if err == nil {
					err = l.Release()
				}
				done <- err
			}()
			for !ready.Load() {
				runtime.Gosched()
			}
			begin.Store(true)
			linger()
			release(t, l)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("all stood still for %v", d)
		}
	})
}

func TestNoWakeUpIsLostWithACallThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1")
		p := f.pool(core.MaxActive(1))
		begun := time.Now()
		var gaveUp, got atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				// WithEndpoint until there were both.
				for k := 0; k < 50 || (gaveUp.Load() == 0 || got.Load() == 0) && k < 10_000; k++ {
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						for range rand.IntN(20 + k) {
							runtime.Gosched()
						}
						cancel()
					}()
					l, err := p.Get(ctx)
					if err != nil {
						gaveUp.Add(1)
						continue
					}
					got.Add(1)
					l.Conn().use()
					runtime.Gosched()
					l.Conn().unuse()
					if err := l.Release(); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() { use(t, p, 0) })
		}
		wg.Wait()
		if d := time.Since(begun); d != 0 {
			t.Errorf("all stood still for %v", d)
		}
		if gaveUp.Load() == 0 || got.Load() == 0 {
			t.Errorf("%d calls gave up and %d did not; the test shows nothing", gaveUp.Load(), got.Load())
		}
	})
}

func TestConnectionHandedToACallThatGivesUpGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(1))
		for round := range 200 {
			l := get(t, p)
			ctx, cancel := context.WithCancel(t.Context())
			first := background(ctx, p)
			synctest.Wait()
			next := background(t.Context(), p)
			synctest.Wait()
			if round%2 == 0 {
				cancel()
				release(t, l)
			} else {
				release(t, l)
				cancel()
			}
			synctest.Wait()
			select {
			case r := <-first:
				if r.err == nil {
					release(t, r.lease)
				}
			default:
				t.Fatal("a call waits although its context is done")
			}
			synctest.Wait()
			release(t, served(t, next))
		}
	})
}

func TestManyWaitersOnAServerThatDiesFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.server("a:1").dialed(func(ctx context.Context) error {
			_ = sleep(ctx, time.Second)
			return errRefused
		})
		p := f.pool(core.MaxActive(2))
		var waiting []<-chan result[*link]
		for range 2000 {
			waiting = append(waiting, background(t.Context(), p))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, w := range waiting {
			if e := failed(t, w); !errors.Is(e, core.ErrUnavailable) || !errors.Is(e, errRefused) {
				t.Fatalf("error %v, want ErrUnavailable and the dial's", e)
			}
		}
	})
}

func TestCallForOneServerIsNeverServedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			f := newFleet(t)
			p := f.pool(core.MaxActive(1))
			// They come before the set is known, which comes with idle and
			// busy servers at once.
			var wg sync.WaitGroup
			for i := range 30 {
				addr := fmt.Sprintf("%c:1", 'a'+i%3)
				wg.Go(func() {
					opt := core.WithEndpoint(addr)
					if i%2 == 0 {
						opt = core.WithoutEndpoint(addr)
					}
					l, err := p.Get(t.Context(), opt)
					if err != nil {
						t.Error(err)
						return
					}
					if got := l.Endpoint().Addr; (got == addr) != (i%2 == 1) {
						t.Errorf("call %d about %s was served by %s", i, addr, got)
					}
					runtime.Gosched()
					_ = l.Release()
				})
			}
			synctest.Wait()
			f.report("a:1", "b:1", "c:1")
			wg.Wait()
		}
	})
}
