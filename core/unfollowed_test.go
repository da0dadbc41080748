package core_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

func TestWatcherThatSaysNothingForTenSecondsIsToldOnceUntilItReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &journal{}
		p := open(t, r, f, core.WithObserver(j.Observe))
		time.Sleep(9 * time.Second)
		if st := p.Stats(); st.LastWatch != nil || len(j.of(core.EventWatchLost)) != 0 {
			t.Errorf("too early: %v", st.LastWatch)
		}
		time.Sleep(time.Minute)
		st, told := p.Stats(), j.of(core.EventWatchLost)
		if st.State != core.StatePending || st.LastWatch == nil || len(told) != 1 || !errors.Is(told[0].Err, st.LastWatch) {
			t.Errorf("%s, %v, told %v", st.State, st.LastWatch, told)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Get(ctx); err == nil || !strings.Contains(err.Error(), "reported nothing") {
			t.Errorf("a call does not say why: %v", err)
		}
		r.say(endpoints("a:1")...)
		if st := p.Stats(); st.State != core.StateReady || st.LastWatch != nil {
			t.Errorf("after a report: %s, %v", st.State, st.LastWatch)
		}
		time.Sleep(time.Minute) // silence is no loss any more
		if st := p.Stats(); st.State != core.StateReady || len(j.of(core.EventWatchLost)) != 1 {
			t.Errorf("a quiet registry: %s, told %v", st.State, j.of(core.EventWatchLost))
		}
	})
}

func TestSetThatIsNotFollowedSinceTheBalancerHangsIsStaleUntilItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, j := newRegistry(t), newFleet(t), &journal{}
		hung, release := make(chan struct{}), make(chan struct{})
		p := open(t, r, f, core.WithObserver(j.Observe), core.WithBalancer(building(func(members []balance.Member) {
			if len(members) == 2 {
				close(hung)
				<-release
			}
		})))
		r.say(endpoints("a:1")...)
		go r.say(endpoints("a:1", "b:1")...)
		<-hung
		begun := time.Now()
		time.Sleep(9 * time.Second)
		if st := p.Stats(); st.State != core.StateReady {
			t.Errorf("too early: %s", st.State)
		}
		time.Sleep(2 * time.Second)
		st := p.Stats()
		if st.State != core.StateStale || st.LastWatch == nil || st.Since.Sub(begun) != 10*time.Second {
			t.Errorf("%s since %v, %v", st.State, st.Since.Sub(begun), st.LastWatch)
		}
		if told := j.of(core.EventWatchLost); len(told) != 1 || !errors.Is(told[0].Err, st.LastWatch) {
			t.Errorf("told %v", told)
		}
		close(release)
		synctest.Wait()
		if st := p.Stats(); st.State != core.StateReady || st.LastWatch != nil || len(st.Endpoints) != 2 {
			t.Errorf("after it returned: %s, %v, %d endpoints", st.State, st.LastWatch, len(st.Endpoints))
		}
	})
}

// building is round robin; it calls the function with each set.
type building func([]balance.Member)

func (b building) Build(previous balance.Picker, members []balance.Member) balance.Picker {
	b(members)
	return balance.RoundRobin().Build(previous, members)
}

// leaving ends the goroutine of what calls it, when it is to.
type leaving struct{ build, tick bool }

type leavingPicker struct {
	balance.Picker

	to *leaving
}

func (b *leaving) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	if b.build {
		runtime.Goexit()
	}
	return &leavingPicker{balance.RoundRobin().Build(nil, members), b}
}

func (p *leavingPicker) Tick(time.Duration) {
	if p.to.tick {
		runtime.Goexit()
	}
}

func TestBalancerThatEndsItsGoroutineEndsNoLoopOfThePool(t *testing.T) {
	for name, b := range map[string]*leaving{"Build": {build: true}, "Tick": {tick: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, f, j := newRegistry(t), newFleet(t), &journal{}
				p := open(t, r, f, core.WithBalancer(b), core.WithObserver(j.Observe), core.IdleTimeout(time.Minute))
				r.say(endpoints("a:1")...)
				r.say(endpoints("a:1", "b:1")...)
				if got := addrs(p); got != "a:1 b:1" {
					t.Errorf("the set is %q", got)
				}
				if n := len(j.of(core.EventBalancerFailed)); (n > 0) != b.build {
					t.Errorf("%d events that the balancer failed", n)
				}
				release(t, get(t, p))
				time.Sleep(2 * time.Minute)
				f.wantCounts(1, 1) // the janitor lives
			})
		})
	}
}
