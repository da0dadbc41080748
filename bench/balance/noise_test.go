package balance_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pauses are when a process does not run, since others want its processors: times of running and of waiting are
// exponentially distributed.
type pauses struct {
	mu            sync.Mutex
	rand          *rand.Rand
	runs, waits   time.Duration // on average
	paused, until time.Time     // the pause that comes next, or is now
}

func newPauses(seed uint64, runs, waits time.Duration) *pauses {
	return &pauses{rand: rand.New(rand.NewPCG(2, seed)), runs: runs, waits: waits, until: time.Now()}
}

// pass returns when the process runs.
func (p *pauses) pass() {
	if p == nil || p.waits == 0 {
		return
	}
	p.mu.Lock()
	now := time.Now()
	for !p.until.After(now) {
		p.paused = p.until.Add(time.Duration(p.rand.ExpFloat64() * float64(p.runs)))
		p.until = p.paused.Add(time.Duration(p.rand.ExpFloat64() * float64(p.waits)))
	}
	var rest time.Duration
	if !p.paused.After(now) {
		rest = p.until.Sub(now)
	}
	p.mu.Unlock()
	time.Sleep(rest)
}

// noiseRate is how many calls there are in a second.
const noiseRate = 2000

// noise is who pauses.
type noise struct {
	name             string
	servers, clients bool
	waits            time.Duration
}

// writeNoise writes the shares of equal servers while processes pause.
func writeNoise(t *testing.T, out io.Writer, all []arm, slice time.Duration) {
	t.Helper()
	window := min(4*time.Second, 8*slice)
	noises := []noise{
		{"none", false, false, 0},
		{"client", false, true, 10 * time.Millisecond},
		{"servers, 3 ms", true, false, 3 * time.Millisecond},
		{"servers, 10 ms", true, false, 10 * time.Millisecond},
		{"servers, 50 ms", true, false, 50 * time.Millisecond},
		{"both, 10 ms", true, true, 10 * time.Millisecond},
	}
	fmt.Fprintf(out, `
## Equal servers under noise

Three servers take 200 us, and get %d calls a second. Processes run for 20 ms and then wait as long as the column says, on average, as
those that share processors with others do: the client's, the servers', or all. In each cell: the least and the largest share that
a server has in %v, in percent.

| balancer |`, noiseRate, window)
	for _, n := range noises {
		fmt.Fprintf(out, " %s |", n.name)
	}
	fmt.Fprintf(out, "\n|---|%s\n", string(slices.Repeat([]byte("--:|"), len(noises))))
	for _, a := range all {
		fmt.Fprintf(out, "| %s |", a.name)
		for _, n := range noises {
			synctest.Test(t, func(t *testing.T) {
				least, most := even(t, a, n, window, slice)
				fmt.Fprintf(out, " %.0f - %.0f |", 100*least, 100*most)
			})
		}
		fmt.Fprintln(out)
	}
}

// even returns the least and the largest share that one of three equal servers has in any window of a time.
func even(t *testing.T, a arm, n noise, window, slice time.Duration) (least, most float64) {
	t.Helper()
	f := newFleet(t, a, 200*time.Microsecond, 1, 1, 1)
	var own *pauses
	if n.clients {
		own = newPauses(9, 20*time.Millisecond, n.waits)
	}
	if n.servers {
		for i, addr := range f.addrs {
			f.servers[addr].pauses = newPauses(uint64(i), 20*time.Millisecond, n.waits)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() {
		r := rand.New(rand.NewPCG(3, 3))
		for ctx.Err() == nil {
			time.Sleep(time.Duration(r.ExpFloat64() * float64(time.Second) / noiseRate))
			own.pass()
			calls.Go(func() {
				_ = f.pool.Do(context.Background(), func(_ context.Context, c conn) error {
					defer own.pass()
					return c.call()
				})
			})
		}
	})
	time.Sleep(time.Second)
	least = 1
	var marks [][]int64
	for range int((window + 4*slice) / (window / 8)) {
		marks = append(marks, f.counts())
		time.Sleep(window / 8)
	}
	marks = append(marks, f.counts())
	for i := 0; i+8 < len(marks); i++ {
		var in []int64
		for k := range marks[i] {
			in = append(in, marks[i+8][k]-marks[i][k])
		}
		for _, s := range shares(in) {
			least, most = min(least, s), max(most, s)
		}
	}
	stop()
	calls.Wait()
	return least, most
}

// TestEqualServersAreCalledEvenlyUnderNoise fails when averages that hold pauses of other processes make favorites.
func TestEqualServersAreCalledEvenlyUnderNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		least, most := even(t, arms()[0], noise{servers: true, waits: 10 * time.Millisecond}, 4*time.Second, 4*time.Second)
		if t.Logf("%.0f to %.0f %%", 100*least, 100*most); least < 0.2 || most > 0.48 {
			t.Errorf("servers got %.2f to %.2f of the calls of 4 s, want about 0.33", least, most)
		}
	})
}
