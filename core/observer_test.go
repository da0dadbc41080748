package core_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestObserverThatBlocksHoldsUpTheBeginningAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1", "b:1", "c:1")
		release := make(chan struct{})
		var blocked atomic.Int64
		j := new(journal)
		p := f.pool(core.RemovalGrace(0), core.WithObserver(func(core.Event) {
			blocked.Add(1)
			<-release
		}), core.WithObserver(j.Observe))
		begun := time.Now()
		for round := range 100 { // calls go on, servers come and go
			traffic(t, p, 20*time.Millisecond, "")
			f.report("a:1", "b:1", []string{"c:1", "d:1"}[round%2])
		}
		if d := time.Since(begun); d > 100*(20+50)*time.Millisecond+300*time.Millisecond {
			t.Errorf("it takes %v", d)
		}
		if n := blocked.Load(); n > 64 || n < 2 {
			t.Errorf("%d calls of the observer are blocked", n)
		}
		if n := len(j.of(core.EventEndpointAdded)); n < 100 {
			t.Errorf("the other observer has seen %d servers come", n)
		}
		if err := p.Close(within(t, time.Second)); err == nil || !strings.Contains(err.Error(), "64 calls of observers under way") {
			t.Errorf("closed while they are: %v", err)
		}
		close(release)
		if err := p.Close(within(t, time.Second)); err != nil {
			t.Error(err)
		}
	})
}

func TestObserverThatIsUnblockedSeesEventsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		var release atomic.Pointer[chan struct{}]
		gate := make(chan struct{})
		release.Store(&gate)
		j := new(journal)
		f.pool(core.RemovalGrace(0), core.WithObserver(func(ev core.Event) {
			<-*release.Load()
			j.Observe(ev)
		}))
		f.report("a:1", "b:1")
		close(gate)
		synctest.Wait()
		f.report("a:1", "c:1")
		if n := len(j.of(core.EventEndpointAdded)); n != 3 {
			t.Errorf("it has seen %d servers come, want 3", n)
		}
	})
}

// A watcher that waits for its registry inside Watch reports each failure.
func TestObserverIsToldOfAFailureOfTheRegistryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := errors.New("connection refused")
		tries := 0
		w := watchFunc(func(ctx context.Context, report func([]core.Endpoint)) error {
			return discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
				if tries++; tries <= 3 {
					return no
				}
				healthy()
				report(endpoints("a:1"))
				<-ctx.Done()
				return ctx.Err()
			})
		})
		j := new(journal)
		begun := time.Now()
		p := open(t, w, newFleet(t), core.WithObserver(j.Observe))
		synctest.Wait()
		all := j.of(core.EventWatchFailing)
		if len(all) != 1 || !errors.Is(all[0].Err, no) || !all[0].Time.Equal(begun) {
			t.Errorf("at once it is told of %+v", all)
		}
		if err := p.WaitReady(within(t, time.Minute)); err != nil {
			t.Error(err)
		}
		if n := len(j.of(core.EventWatchFailing)); n != 1 || len(j.of(core.EventWatchLost)) != 0 {
			t.Errorf("told %d times of the same failure", n)
		}
	})
}
