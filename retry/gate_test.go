package retry

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestLateIsThe95thPercentileOrTwiceTheMedian(t *testing.T) {
	for name, latency := range map[string]func(r *rand.Rand) time.Duration{
		"constant":  func(*rand.Rand) time.Duration { return 10 * ms },
		"long tail": func(r *rand.Rand) time.Duration { return time.Duration(math.Exp(r.NormFloat64()*1.5) * float64(5*ms)) },
		"short":     func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(50_000)) },
		"very long": func(r *rand.Rand) time.Duration {
			return time.Second + time.Duration(r.ExpFloat64()*float64(time.Minute))
		},
		"no latency": func(*rand.Rand) time.Duration { return 0 },
	} {
		r := rand.New(rand.NewPCG(1, 2))
		var g gate
		all := make([]time.Duration, 10_000)
		for i := range all {
			all[i] = latency(r)
			g.record(all[i])
		}
		slices.Sort(all)
		g.tick(1)
		got, ok := g.after()
		want := max(all[9500], 2*all[5000], time.Microsecond)
		if !ok || got < want*9/10 || got > want*14/10+time.Microsecond {
			t.Errorf("%s: late is after %v (%v), want about %v", name, got, ok, want)
		}
	}
}

func TestGateIsClosedUntilEnoughCallsAreMeasured(t *testing.T) {
	var g gate
	for range 99 {
		g.record(ms)
	}
	g.tick(1)
	if _, ok := g.after(); ok {
		t.Error("open after 99 calls")
	}
	g.record(ms)
	g.tick(1)
	if _, ok := g.after(); !ok {
		t.Error("closed after 100 calls")
	}
}

func TestGateIsClosedWhileMoreCallsThanUsualAreInFlight(t *testing.T) {
	var g gate
	for range 1000 {
		g.record(10 * ms)
	}
	open := func(n int) bool {
		g.tick(n)
		_, ok := g.after()
		return ok
	}
	for range 50 {
		if !open(20) {
			t.Fatal("closed with the usual number of calls in flight")
		}
	}
	if !open(25) || open(40) || open(100) || !open(20) {
		t.Error("with 25, 40, 100 and 20 calls in flight instead of 20 the gate is not open, closed, closed, open")
	}
}

func TestGateGivesTokensForTwoCallsOfAHundred(t *testing.T) {
	var g gate
	n := 0
	for range 10_000 {
		g.record(ms)
		if g.take() {
			n++
		}
	}
	if n < 190 || n > 200 {
		t.Errorf("%d tokens for 10,000 calls, want about 200", n)
	}
	for range 1_000_000 {
		g.record(ms)
	}
	n = 0
	for g.take() {
		n++
	}
	if n > 11 {
		t.Errorf("%d tokens are saved up, want about 10", n)
	}
}

func TestOldLatenciesAreForgotten(t *testing.T) {
	var g gate
	for range 10_000 {
		g.record(time.Second)
	}
	for range 1000 { // 100 s
		for range 10 {
			g.record(ms)
		}
		g.tick(1)
	}
	if d, ok := g.after(); !ok || d > 3*ms {
		t.Errorf("late is after %v (%v), want about 2ms", d, ok)
	}
}

func TestGateMayBeUsedByManyAtOnce(t *testing.T) {
	var g gate
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				g.record(ms)
				g.take()
				g.after()
			}
		})
	}
	for range 500 {
		g.tick(3)
	}
	wg.Wait()
	g.tick(3)
	if d, ok := g.after(); !ok || d < 2*ms || d > 3*ms {
		t.Errorf("late is after %v (%v), want about 2ms", d, ok)
	}
}
