package hedge_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/hedge"
)

const ms = time.Millisecond

func TestDelayIsThe95thPercentileOrTwiceTheMedian(t *testing.T) {
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
		var g hedge.Gate
		all := make([]time.Duration, 10_000)
		for i := range all {
			all[i] = latency(r)
			g.Record(all[i])
		}
		slices.Sort(all)
		g.Tick(1)
		got, ok := g.Delay()
		want := max(all[9500], 2*all[5000], time.Microsecond)
		if !ok || got < want*9/10 || got > want*14/10+time.Microsecond {
			t.Errorf("%s: after %v (%v), want about %v", name, got, ok, want)
		}
	}
}

func TestGateIsClosedUntilEnoughIsKnown(t *testing.T) {
	var g hedge.Gate
	for range 99 {
		g.Record(ms)
	}
	g.Tick(1)
	if _, ok := g.Delay(); ok {
		t.Error("open after 99 calls")
	}
	g.Record(ms)
	g.Tick(1)
	if _, ok := g.Delay(); !ok {
		t.Error("closed after 100 calls")
	}
}

func TestGateIsClosedWhileMoreCallsThanUsualAreInFlight(t *testing.T) {
	var g hedge.Gate
	for range 1000 {
		g.Record(10 * ms)
	}
	open := func(n int) bool {
		g.Tick(n)
		_, ok := g.Delay()
		return ok
	}
	for range 50 {
		if !open(20) {
			t.Fatal("closed as usual")
		}
	}
	if !open(25) || open(40) || open(100) || !open(20) {
		t.Error("with 25, 40, 100 and 20 calls in flight instead of 20 it is not open, closed, closed, open")
	}
}

func TestTwoCallsOfAHundredMayBeMadeTwice(t *testing.T) {
	var g hedge.Gate
	n := 0
	for range 10_000 {
		g.Record(ms)
		if g.Take() {
			n++
		}
	}
	if n < 190 || n > 200 {
		t.Errorf("%d of 10,000", n)
	}
	for range 1_000_000 {
		g.Record(ms)
	}
	n = 0
	for g.Take() {
		n++
	}
	if n > 11 {
		t.Errorf("%d saved up", n)
	}
}

func TestOldLatenciesAreForgotten(t *testing.T) {
	var g hedge.Gate
	for range 10_000 {
		g.Record(time.Second)
	}
	for range 1000 { // 100 s
		for range 10 {
			g.Record(ms)
		}
		g.Tick(1)
	}
	if d, ok := g.Delay(); !ok || d > 3*ms {
		t.Errorf("after %v (%v), want about 2ms", d, ok)
	}
}

func TestManyAtOnce(t *testing.T) {
	var g hedge.Gate
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				g.Record(ms)
				g.Take()
				g.Delay()
			}
		})
	}
	for range 500 {
		g.Tick(3)
	}
	wg.Wait()
	g.Tick(3)
	if d, ok := g.Delay(); !ok || d < 2*ms || d > 3*ms {
		t.Errorf("after %v (%v), want about 2ms", d, ok)
	}
}
