package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestLeaseEndsOnceHoweverManyCopiesOfItEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(2))
		for round := range 200 {
			l := get(t, p)
			l.Conn().unuse()
			var ended, stale atomic.Int32
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					err := l.Release
					if round%2 == 1 && i%2 == 1 {
						err = func() error { return l.Discard(nil) }
					}
					switch err := err(); {
					case err == nil:
						ended.Add(1)
					case errors.Is(err, core.ErrStaleLease):
						stale.Add(1)
					}
				})
			}
			wg.Wait()
			if ended.Load() != 1 || stale.Load() != 7 {
				t.Fatalf("of 8 ends %d ended the lease and %d were stale", ended.Load(), stale.Load())
			}
		}
		synctest.Wait()
		if st := endpointStats(t, p, "a:1"); st.InUse != 0 || st.Calls != 200 {
			t.Errorf("%d connections in use and %d calls, want 0 and 200", st.InUse, st.Calls)
		}
	})
}

// The classic of pools that keep a list: a connection that is put back twice
// is in the list twice, and then has two borrowers.
func TestSecondReleaseNeverSharesTheConnection(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(core.Lease[*link]) error
	}{
		{"released", core.Lease[*link].Release},
		{"discarded", func(l core.Lease[*link]) error { return l.Discard(io.EOF) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxActive(1))
				old := get(t, p)
				release(t, old)

				current := get(t, p)
				next := background(t.Context(), p)
				synctest.Wait()
				if err := end.end(old); !errors.Is(err, core.ErrStaleLease) {
					t.Errorf("end of a lease that has ended: %v", err)
				}
				synctest.Wait()
				waits(t, next)
				if current.Conn().closed.Load() {
					t.Error("a stale lease closed the connection of another caller")
				}
				release(t, current)
				synctest.Wait()
				release(t, served(t, next))
				f.wantCounts(1, 0)
			})
		})
	}
}

func TestZeroLeaseHasEnded(t *testing.T) {
	var l core.Lease[*link]
	if l.Conn() != nil || l.Endpoint().Addr != "" {
		t.Error("the zero lease has a connection or an endpoint")
	}
	l.Report(balance.Report{})
	if err := l.Release(); !errors.Is(err, core.ErrStaleLease) {
		t.Errorf("release: %v", err)
	}
	if err := l.Discard(nil); !errors.Is(err, core.ErrStaleLease) {
		t.Errorf("discard: %v", err)
	}
}

func TestLeaseNamesTheServerOfItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		p := f.pool()
		for range 30 {
			l := get(t, p)
			defer release(t, l)
			if l.Endpoint().Addr != l.Conn().server.addr {
				t.Errorf("a lease of %s has a connection to %s", l.Endpoint().Addr, l.Conn().server.addr)
			}
		}
	})
}

func TestReportReachesThePickerWhileTheLeaseLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		b := preferring("a:1")
		p := f.pool(core.WithBalancer(b))
		l := get(t, p)
		time.Sleep(time.Second)
		l.Report(balance.Report{Outcome: balance.OutcomeOverload, Latency: 3, Load: 0.5, At: 99})
		release(t, l)
		l.Report(balance.Report{Outcome: balance.OutcomeFailure})
		got := b.told()
		want := balance.Report{Outcome: balance.OutcomeOverload, Latency: 3, Load: 0.5, At: time.Second}
		if len(got) != 1 || got[0] != want {
			t.Errorf("reports %+v, want %+v alone", got, want)
		}
	})
}

func TestFewCallersUseFewConnectionsOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		p := f.pool(core.MaxActive(100))
		warm(t, p, 100) // more than fit in one word of the bitmap
		used := map[*link]bool{}
		for range 50 {
			two := getMany(t, p, 2)
			used[two[0].Conn()], used[two[1].Conn()] = true, true
			release(t, two...)
		}
		if len(used) != 2 {
			t.Errorf("two callers at a time used %d of 100 idle connections", len(used))
		}
	})
}

func TestDiscardedConnectionIsClosedAndNotLeasedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		j := new(journal)
		p := f.pool(core.WithObserver(j.Observe))
		l := get(t, p)
		broken := l.Conn()
		broken.unuse()
		cause := errors.New("answered nonsense")
		if err := l.Discard(cause); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f.wantCounts(1, 1)
		if ev := j.of(core.EventConnClosed); len(ev) != 1 || !errors.Is(ev[0].Err, cause) || ev[0].Endpoint != "a:1" {
			t.Errorf("events %+v, want one with the cause and the endpoint", ev)
		}
		l = get(t, p)
		if l.Conn() == broken {
			t.Error("a discarded connection was leased again")
		}
		release(t, l)
	})
}

// One broken connection is a sign of a server that was restarted: a caller
// should not have to find out for each of its idle connections.
func TestConnectionBrokenByItsServerTakesTheIdleOnesWithIt(t *testing.T) {
	for _, c := range []struct {
		cause error
		all   bool
	}{
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{fmt.Errorf("write: %w", syscall.EPIPE), true},
		{fmt.Errorf("read: %w", syscall.ECONNRESET), true},
		{nil, false},
		{errors.New("answered nonsense"), false},
		{context.Canceled, false},
		{errors.Join(context.DeadlineExceeded, io.EOF), false},
	} {
		t.Run(fmt.Sprint(c.cause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1")
				p := f.pool()
				warm(t, p, 4, core.WithEndpoint("a:1"))
				warm(t, p, 4, core.WithEndpoint("b:1"))
				two := getMany(t, p, 2, core.WithEndpoint("a:1"))
				two[0].Conn().unuse()
				if err := two[0].Discard(c.cause); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				idle := 2
				if c.all {
					idle = 0
				}
				if st := endpointStats(t, p, "a:1"); st.Idle != idle || st.InUse != 1 {
					t.Errorf("%d idle and %d in use, want %d and 1", st.Idle, st.InUse, idle)
				}
				if st := endpointStats(t, p, "b:1"); st.Idle != 4 {
					t.Errorf("%d idle at another server, want 4", st.Idle)
				}
				release(t, two[1])
			})
		})
	}
}

func TestSharedConnectionServesSoManyCallersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		f.most = 2
		p := f.pool(core.MaxActive(2), core.MaxConcurrentCalls(3))
		var all []core.Lease[*link]
		per := map[*link]int{}
		for range 6 {
			l, err := p.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, l)
			per[l.Conn()]++
		}
		if len(per) != 2 || per[all[0].Conn()] != 3 {
			t.Errorf("callers per connection: %v, want 3 on each of 2", per)
		}
		f.wantCounts(2, 0)
		waiting := background(t.Context(), p)
		synctest.Wait()
		waits(t, waiting)
		if err := all[5].Release(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		all[5] = func() core.Lease[*link] {
			r := <-waiting
			r.lease.Conn().unuse()
			return r.lease
		}()
		for _, l := range all {
			if err := l.Release(); err != nil {
				t.Error(err)
			}
			if err := l.Release(); !errors.Is(err, core.ErrStaleLease) {
				t.Errorf("second release: %v", err)
			}
		}
		if st := endpointStats(t, p, "a:1"); st.Open != 2 || st.InUse != 0 || st.Idle != 6 || st.Calls != 7 {
			t.Errorf("%+v, want 2 open, none in use, 6 idle, 7 calls", st)
		}
	})
}

func TestSharedConnectionIsClosedWhenItsLastLeaseEnds(t *testing.T) {
	for _, cause := range []error{errors.New("answered nonsense"), io.EOF} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(core.MaxActive(2), core.MaxConcurrentCalls(4))
				var l [3]core.Lease[*link]
				for i := range l {
					var err error
					if l[i], err = p.Get(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				broken := l[0].Conn()
				_ = l[0].Discard(cause)
				synctest.Wait()
				if broken.closed.Load() {
					t.Error("a connection was closed under its other callers")
				}
				other, err := p.Get(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if other.Conn() == broken {
					t.Error("a discarded connection was leased again")
				}
				for _, l := range l[1:] {
					if err := l.Release(); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				if !broken.closed.Load() {
					t.Error("the discarded connection is open after its last lease ended")
				}
				if err := other.Release(); err != nil {
					t.Error(err)
				}
				if st := endpointStats(t, p, "a:1"); st.Open != 1 || st.Calls != 4 || st.Closed != 1 {
					t.Errorf("%+v, want 1 open, 4 calls, 1 closed", st)
				}
			})
		})
	}
}
