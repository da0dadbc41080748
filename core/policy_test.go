package core_test

import (
	"cmp"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// TestDefaultBalancerJudgesByTheClassOfTheOutcome begins with two servers that
// answer in 10 ms, and looks at the average of one after fifty more reports.
func TestDefaultBalancerJudgesByTheClassOfTheOutcome(t *testing.T) {
	const base = 10 * time.Millisecond
	for _, c := range []struct {
		class   core.Class
		latency time.Duration
		want    int // the average gets shorter, stays, gets longer
	}{
		{core.OK, time.Millisecond, -1},
		{core.OK, 50 * time.Millisecond, 1},
		{core.OK, 0, 0},
		{core.Failure, time.Millisecond, 1},
		{core.Failure, 0, 1},
		{core.Overload, time.Millisecond, 1},
		{core.Cancelled, time.Millisecond, 0},
		{core.Cancelled, 50 * time.Millisecond, 1},
		{core.Ignored, time.Millisecond, 0},
		{core.Ignored, time.Second, 0},
		{core.DialFailure, time.Second, 0},
		{core.Class(99), time.Second, 0},
	} {
		t.Run(fmt.Sprint(c.class, c.latency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry(t)
				p := open(t, r, newFleet(t))
				r.say(endpoints("a:1", "b:1")...)
				a, b := get(t, p, core.On("a:1")), get(t, p, core.On("b:1"))
				if st := endpointStats(t, p, "a:1"); st.Latency != 0 {
					t.Errorf("a latency of %v before the first report", st.Latency)
				}
				for range 50 {
					a.Report(core.Report{Latency: base})
					b.Report(core.Report{Latency: base})
					time.Sleep(100 * time.Millisecond)
				}
				before := endpointStats(t, p, "a:1").Latency
				if before < base*9/10 || before > base*11/10 {
					t.Errorf("the average of calls that took %v is %v", base, before)
				}
				for range 50 {
					a.Report(core.Report{Class: c.class, Latency: c.latency})
				}
				after := endpointStats(t, p, "a:1").Latency
				if got := cmp.Compare(after, before); got != c.want {
					t.Errorf("the average went from %v to %v", before, after)
				}
				if got := endpointStats(t, p, "b:1").Latency; got < base*9/10 || got > base*11/10 {
					t.Errorf("the average of the other went to %v", got)
				}
				release(t, a, b)
			})
		})
	}
}
