package core_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// membersOf returns members of no pool.
func membersOf(addrs ...string) []core.Member {
	var members []core.Member
	for _, a := range addrs {
		m, _ := core.NewMember(core.Endpoint{Addr: a})
		members = append(members, m)
	}
	return members
}

// TestParametersThatMakeNoSenseDoNoHarm: with all of them a slow server gets
// little, and the others get the same.
func TestParametersThatMakeNoSenseDoNoHarm(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, l := range []core.Latency{
		{},
		{Choices: -1, Window: -1, Relax: -1, Clip: -1, Band: -1, Penalty: -1, SlowStart: -1},
		{Choices: math.MaxInt, Relax: math.MaxInt64, Clip: inf, Penalty: inf, SlowStart: math.MaxInt64},
		{Window: 1, Relax: 1, SlowStart: 1},
		{Clip: nan, Band: nan, Penalty: nan},
		{Clip: 1, Band: 0.5, Penalty: 0.5},
	} {
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			members := membersOf("a:1", "b:1", "c:1", "d:1")
			p := core.LeastLatency(l).Build(nil, core.Snapshot{Members: members})
			got := make([]float64, len(members))
			const calls = 20_000
			for k := range calls {
				now := time.Duration(k) * time.Millisecond
				if k%100 == 0 {
					p.(core.Ticker).Tick(now)
				}
				i := p.Pick(core.Hint{})
				got[i]++
				r := core.Report{Class: core.OK, Latency: time.Millisecond, At: now}
				if i == 0 {
					r.Latency *= 20
				}
				if i == 1 && k == calls/2 {
					r.Class = core.Failure
				}
				p.Report(i, r)
			}
			if share := got[0] / calls; share > 0.02 || share == 0 && l.Relax < time.Hour {
				t.Errorf("a server that is 20 times slower got %.1f %% of the calls", 100*share)
			}
			for i := 1; i < 4; i++ {
				if share := got[i] / calls; share < 0.25 || share > 0.4 {
					t.Errorf("one of three equal servers got %.1f %% of the calls", 100*share)
				}
			}
		})
	}
}

func TestServerThatSaysItIsBusyGetsLess(t *testing.T) {
	members := membersOf("a:1", "b:1", "c:1")
	for load, want := range map[float64]float64{0: 0.3, 0.1: 0.3, 9: 0, math.Inf(1): 0, -5: 0.3, math.NaN(): 0.3} {
		p := core.LeastLatency(core.Latency{}).Build(nil, core.Snapshot{Members: members})
		for i := range members { // a first answer each, of which the average is made
			p.Report(i, core.Report{Class: core.OK, Latency: time.Millisecond})
		}
		got := 0
		const calls = 3000
		for k := range calls {
			now := time.Duration(k) * time.Millisecond
			if k%100 == 0 {
				p.(core.Ticker).Tick(now)
			}
			i := p.Pick(core.Hint{})
			r := core.Report{Class: core.OK, Latency: time.Millisecond, At: now}
			if i == 0 {
				r.Load = load
				got++
			}
			p.Report(i, r)
		}
		if share := float64(got) / calls; share < want || share > want+0.1 {
			t.Errorf("one of three that says its load is %g got %.0f %% of the calls", load, 100*share)
		}
	}
}
