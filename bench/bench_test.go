package main

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

// brief is long enough for some hundred operations of any contender.
const brief = 3 * time.Millisecond

// each runs check for every contender of every case. The contender is open and has its connections from the fleet.
func each(t *testing.T, check func(t *testing.T, s scenario, k kind, f *fleet, c contender, ctxs []context.Context)) {
	t.Helper()
	for _, s := range scenarios() {
		for _, k := range s.contenders() {
			t.Run(s.name+"/"+k.name, func(t *testing.T) {
				f := new(fleet)
				c, err := k.open(f, s.demand)
				if err != nil {
					t.Fatal(err)
				}
				ctxs, cancel := contexts(s.workers)
				defer cancel()
				check(t, s, k, f, c, ctxs)
			})
		}
	}
}

// Two leases of one connection at the same time are a data race on its count, or lose one of the uses.
func TestEveryContenderLeasesEachConnectionToOneCallerAndClosesAll(t *testing.T) {
	each(t, func(t *testing.T, s scenario, k kind, f *fleet, c contender, ctxs []context.Context) {
		var ops atomic.Uint64
		work := s.work(c, ctxs)
		_, err := measure.Slice(brief, s.workers, func(worker int, stop *atomic.Bool) (int, error) {
			n, err := work(worker, stop)
			ops.Add(uint64(n))
			return n, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
		var uses uint64
		for _, opened := range f.conns {
			uses += opened.uses
			if k.name != syncPeer && !opened.closed.Load() {
				t.Error("a connection was left open")
			}
		}
		if uses != ops.Load() {
			t.Errorf("%d operations used connections %d times", ops.Load(), uses)
		}
		if k.name != syncPeer && len(f.conns) > s.demand.capacity() {
			t.Errorf("opened %d connections of at most %d", len(f.conns), s.demand.capacity())
		}
	})
}

func TestWaitingCasesMakeEveryContenderWaitAndOthersCannot(t *testing.T) {
	each(t, func(t *testing.T, s scenario, _ kind, _ *fleet, c contender, ctxs []context.Context) {
		defer c.close()
		if !s.waiting {
			if s.workers > s.demand.capacity() {
				t.Errorf("%d workers may have to wait for %d connections", s.workers, s.demand.capacity())
			}
			return
		}
		var q queueing
		waits, counts := waitsOf(c)
		// On a busy machine a slice may pass in which only a few of the goroutines run, which need not wait.
		for tries := 0; tries < 100 && (q.waited(s.demand.capacity()) == 0 || counts && waits == 0); tries++ {
			if err := q.add(c.(waiter), ctxs, brief); err != nil {
				t.Fatal(err)
			}
			q.sort()
			waits, _ = waitsOf(c)
		}
		if q.waited(s.demand.capacity()) == 0 {
			t.Errorf("of %d calls none waited", len(q.times))
		}
		if counts && waits == 0 {
			t.Error("the contender itself counts no waits")
		}
	})
}

// waitsOf is a contender's own count of calls that waited, if it has one.
func waitsOf(c contender) (waits int64, ok bool) {
	switch c := c.(type) {
	case multipool:
		return int64(c.pool.Stats().Waits), true
	case puddlePool:
		return c.pool.Stat().EmptyAcquireCount(), true
	case smartPool:
		return c.pool.Metrics.WaitCount(), true
	case sqlPool:
		return c.db.Stats().WaitCount, true
	}
	return 0, false
}

func TestThePoolChoosesAmongAllEndpoints(t *testing.T) {
	for _, s := range scenarios() {
		c, err := openMultipool(new(fleet), s.demand)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		chosen := 0
		for calls := 0; chosen < s.demand.endpoints && calls < 1<<20; calls += batch {
			if err := c.cycle(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			chosen = 0
			for _, e := range c.(multipool).pool.Stats().Endpoints {
				if e.Calls > 0 {
					chosen++
				}
			}
		}
		if chosen != s.demand.endpoints {
			t.Errorf("%s: %d endpoints were ever chosen, want %d", s.name, chosen, s.demand.endpoints)
		}
	}
}

func TestTheReportNamesEveryContenderWithItsTarget(t *testing.T) {
	var out bytes.Buffer
	if err := write(&out, "^(one|waiting, one)", "", measure.Settings{Rounds: 2, Slice: brief}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| multipool |", "| puddle |", "| smartconnpool |", "| database/sql Conn |", "| go-commons-pool |",
		"| buffered channel |", "| sync.Pool |", "| mutex + slice |", "<= 0.12", "others p50", "Command:",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &out)
		}
	}
}

func TestContendersCanBeChosen(t *testing.T) {
	var out bytes.Buffer
	if err := write(&out, "^one", "^(puddle|buffered channel)$", measure.Settings{Rounds: 1, Slice: brief}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{ours: false, puddlePeer: true, vitessPeer: false, "buffered channel": true} {
		if got := strings.Contains(out.String(), "| "+name+" |"); got != want {
			t.Errorf("%s is in the report: %v, want %v", name, got, want)
		}
	}
}
