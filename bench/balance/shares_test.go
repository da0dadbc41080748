package balance_test

import (
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writeShares writes the shares of servers of weights 1 to 5.
func writeShares(t *testing.T, out io.Writer, all []arm, slice time.Duration) {
	t.Helper()
	fmt.Fprintf(out, `
## Shares with weights 1 to 5

Five servers take 1 ms for a call, and the callers make one after the other. In each cell: the shares in percent in order of
the weights, for %v, and the largest difference from theory as a part of a share. Theory is 6.7 13.3 20.0 26.7 33.3, and 20
each for RoundRobin, which takes no weights.

| balancer | 1 caller | 3 callers | 10 callers | 64 callers |
|---|---|---|---|---|
`, slice)
	for _, a := range all {
		fmt.Fprintf(out, "| %s |", a.name)
		for _, callers := range []int{1, 3, 10, 64} {
			weights := []float64{1, 2, 3, 4, 5}
			theory := shares(weights)
			if a.unweighted {
				theory = shares([]float64{1, 1, 1, 1, 1})
			}
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, a, time.Millisecond, weights...)
				var calls []int64
				f.call(callers, 0, func() {
					time.Sleep(time.Second)
					before := f.counts()
					time.Sleep(slice)
					calls = f.since(before)
				})
				worst := 0.0
				var text []string
				for k, share := range shares(calls) {
					worst = max(worst, math.Abs(share/theory[k]-1))
					text = append(text, fmt.Sprintf("%.1f", 100*share))
				}
				fmt.Fprintf(out, " %s (%.0f %%) |", strings.Join(text, " "), 100*worst)
			})
		}
		fmt.Fprintln(out)
	}
}

// writeRestart writes the share of a server that was restarted.
func writeRestart(t *testing.T, out io.Writer, all []arm, slice time.Duration) {
	t.Helper()
	fmt.Fprintf(out, `
## After a restart

Ten callers, five servers of equal weight; one closes its connections, refuses others for 100 ms, and is back. Its share of the
calls is taken from half a second afterwards on, for %v. A call that was in flight fails.

| balancer | share of the restarted server | theory | calls that failed |
|---|--:|--:|--:|
`, slice)
	for _, a := range all {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, a, time.Millisecond, 1, 1, 1, 1, 1)
			var calls []int64
			failed := f.call(10, 0, func() {
				time.Sleep(time.Second)
				f.servers[f.addrs[0]].setDown(true)
				time.Sleep(100 * time.Millisecond)
				f.servers[f.addrs[0]].setDown(false)
				time.Sleep(500 * time.Millisecond)
				before := f.counts()
				time.Sleep(slice)
				calls = f.since(before)
			})
			fmt.Fprintf(out, "| %s | %.1f %% | 20 %% | %d |\n", a.name, 100*shares(calls)[0], failed)
		})
	}
}

// writeCanary writes the share of a server of weight 1 beside one of 99.
func writeCanary(t *testing.T, out io.Writer, all []arm, _ time.Duration) {
	t.Helper()
	const calls = 20_000
	fmt.Fprintf(out, `
## A canary of 1 in 100

Two servers of weights 99 and 1 take 1 ms; one caller makes %d calls. Theory is 1 %% (RoundRobin: 50 %%).

| balancer | share of the canary |
|---|--:|
`, calls)
	for _, a := range all {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, a, time.Millisecond, 99, 1)
			f.call(1, calls, nil)
			fmt.Fprintf(out, "| %s | %.2f %% |\n", a.name, 100*shares(f.counts())[1])
		})
	}
}
