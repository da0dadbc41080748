package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

func TestEqualEndpointsGetEqualShares(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 17, 64, 100, 1000, 10_000} {
		w := newWorld(equal(n)...)
		wantEven(t, fmt.Sprint(n, " endpoints"), w.picked(max(30_000, 10*n)))
		for i := range n {
			w.busy(i, 3)
		}
		wantEven(t, fmt.Sprint(n, " busy endpoints"), w.picked(max(30_000, 10*n)))
	}
}

func TestEqualsAmongOthersGetEqualShares(t *testing.T) {
	for _, n := range []int{3, 4, 5, 8, 9, 17, 65} {
		for _, odd := range []int{0, n / 2, n - 1} {
			w := newWorld(equal(n)...)
			w.loads[odd].SetDown(true)
			seen := w.picked(30_000)
			if n <= 8 && seen[odd] > 0 {
				t.Errorf("%d endpoints: %d picks of one that is down", n, seen[odd])
			}
			wantEven(t, fmt.Sprintf("%d endpoints but %d", n, odd), slices.Delete(seen, odd, odd+1))
		}
	}
}

func TestFewEndpointsAreAllCompared(t *testing.T) {
	for n := 2; n <= 8; n++ {
		for best := range n {
			w := newWorld(equal(n)...)
			for i := range n {
				if i != best {
					w.busy(i, 1+i)
				}
			}
			if seen := w.picked(1000); seen[best] != 1000 {
				t.Errorf("of %d endpoints %d is the least busy; picks %v", n, best, seen)
			}
		}
	}
}

func TestServerThatBecomesTheCheapestIsPreferredBeforeTheNextTick(t *testing.T) {
	for _, n := range []int{2, 4} {
		w := newWorld(equal(n)...)
		w.settleEvenly(10 * ms)
		for range 200 {
			w.report(1, OutcomeOK, ms, w.now)
		}
		if seen := w.picked(1000); seen[1] != 1000 {
			t.Errorf("of %d servers the second is ten times as fast; picks %v", n, seen)
		}
	}
}

// It compares with what eight different endpoints would give.
func TestBestOfManyIsFoundByEightChoices(t *testing.T) {
	for _, n := range []int{9, 10, 20, 64} {
		const picks = 50_000
		seen := make([]int, n)
		for range picks / 50 {
			w := newWorld(equal(n)...)
			rank := rand.Perm(n)
			for i, k := range rank {
				w.busy(i, k)
			}
			for i, c := range w.picked(50) {
				seen[rank[i]] += c
			}
		}
		chance := func(k int) float64 { // that all choices fall on k or worse
			p := 1.0
			for choice := range 8 {
				p *= max(0, float64(n-k-choice)) / float64(n-choice)
			}
			return p
		}
		for _, k := range []int{0, 1, n / 4, n - 2, n - 1} {
			want := (chance(k) - chance(k+1)) * picks
			if d := math.Abs(float64(seen[k]) - want); d > 6*math.Sqrt(want)+10 {
				t.Errorf("%d endpoints: number %d in order of load has %d picks, want about %.0f", n, k, seen[k], want)
			}
		}
	}
}

func TestCallsInFlightAreSpread(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 9, 64, 1000} {
		w := newWorld(equal(n)...)
		const each = 50
		for range each * n {
			w.busy(w.pick(), 1)
		}
		for i, l := range w.loads {
			off := 1 // of the mean: all are compared
			if n > 8 {
				off = 6
			}
			if k := l.InFlight(); k < each-off || k > each+off {
				t.Errorf("%d endpoints: %d has %d calls in flight, the mean is %d", n, i, k, each)
			}
		}
	}
}

func TestCallsInFlightAreInProportionToTheWeights(t *testing.T) {
	for _, weights := range [][]float64{
		{1, 1}, {1, 10}, {0.1, 1, 10}, {100, 1000}, {1e-9, 1e-8}, {1e9, 1e8}, {3, 2, 1, 1}, {1e308, 1e308, 1e308, 5e307}, {0.5, 0.25, 0.125},
	} {
		w := newWorld(weights...)
		const calls = 10_000
		for range calls {
			w.busy(w.pick(), 1)
		}
		total := 0.0
		for _, x := range weights {
			total += x / slices.Max(weights)
		}
		for i, l := range w.loads {
			want := weights[i] / slices.Max(weights) / total * calls
			if k := float64(l.InFlight()); math.Abs(k-want) > 0.01*want+2 {
				t.Errorf("weights %v: endpoint %d has %.0f of %d calls in flight, want %.0f", weights, i, k, calls, want)
			}
		}
	}
}

func TestExtremeWeightsKeepTheirOrder(t *testing.T) {
	for _, weights := range [][]float64{{1e-9, 1}, {1, 1e9}, {1e-9, 1e9}, {1e-300, 1e300}, {5e-324, 1}, {1, math.MaxFloat64}} {
		w := newWorld(weights...)
		for range 5000 {
			w.busy(w.pick(), 1)
		}
		if light := w.loads[0].InFlight(); light > 1 {
			t.Errorf("weights %v: the light one has %d of 5000 calls", weights, light)
		}
	}
}

func TestUnavailableEndpointComesLast(t *testing.T) {
	w := newWorld(equal(2)...)
	w.settle(100*time.Microsecond, time.Minute) // at the highest cost there is
	w.busy(1, 10_000)
	w.loads[0].SetDown(true)
	if seen := w.picked(1000); seen[0] > 0 {
		t.Errorf("%d of 1000 picks are of the endpoint that is down", seen[0])
	}
	w.loads[1].SetDown(true) // all are: one must be picked
	if i := w.pick(); i < 0 || i > 1 {
		t.Errorf("picked %d", i)
	}
	w.loads[0].SetDown(false)
	if seen := w.picked(1000); seen[1] > 0 {
		t.Errorf("%d of 1000 picks are of the endpoint that is down", seen[1])
	}

	w = newWorld(equal(100)...) // most choices fall on such
	for _, i := range rand.Perm(100)[:98] {
		w.loads[i].SetDown(true)
	}
	for i, k := range w.picked(10_000) {
		if up := !w.loads[i].Down(); up != (k > 0) || up && k < 3000 {
			t.Errorf("%d of 10000 picks are of one that is up: %v", k, up)
		}
	}
}

// It compares endpoints at the largest cost, with the largest number of calls in
// flight, and down.
func TestLargestScoresDoNotOverflow(t *testing.T) {
	for _, n := range []int{2, 4, 9} {
		w := newWorld(equal(n)...)
		for i := range n {
			w.report(i, OutcomeOK, 1, 0)
		}
		w.now = 100 * time.Millisecond
		w.Tick(w.now)
		for i := range n {
			for range 1000 {
				w.report(i, OutcomeFailure, math.MaxInt64, w.now)
			}
			w.busy(i, load.Max)
			w.loads[i].SetDown(true)
		}
		wantEven(t, fmt.Sprint(n, " endpoints at their worst"), w.picked(20_000))
		w.loads[n-1].Unreserve()
		better := w.picked(20_000)
		for i, k := range better[:n-1] {
			if n <= 8 && k > 0 || k > better[n-1] {
				t.Errorf("%d endpoints: %d has %d picks, the better one %d", n, i, k, better[n-1])
			}
		}
		w.loads[0].SetDown(false)
		up := w.picked(20_000)
		for i, k := range up[1:] {
			if n <= 8 && k > 0 || k > up[0] {
				t.Errorf("%d endpoints: %d has %d picks, the one that is up %d", n, i+1, k, up[0])
			}
		}
	}
}

func TestPickerWithoutEndpointsPicksNone(t *testing.T) {
	w := newWorld()
	if i, k := w.pick(), w.pickKey(7); i != -1 || k != -1 {
		t.Errorf("picked %d and %d", i, k)
	}
	w.report(0, OutcomeOK, time.Second, time.Second)
	w.report(-1, OutcomeOK, time.Second, time.Second)
	w.Tick(time.Second)
	w.grow(1)
	if i, k := w.pick(), w.pickKey(7); i != 0 || k != 0 {
		t.Errorf("picked %d and %d of one", i, k)
	}
	w.build(nil)
	if i := w.pick(); i != -1 {
		t.Errorf("picked %d of none", i)
	}
}

func TestEndpointsBeyondTheLargestNumberAreIgnored(t *testing.T) {
	m := NewMember(discovery.Endpoint{Addr: "a"}, new(load.Load))
	p := newLeastLatency(LeastLatencyConfig{}, nil, slices.Repeat([]Member{m}, maxMembers+100))
	for range 1000 {
		if i := p.Pick(PickInfo{}); i < 0 || i >= maxMembers {
			t.Fatalf("picked %d", i)
		}
	}
	p.Report(maxMembers, Report{Latency: time.Second, At: time.Second}) // of an unknown index
	p.Tick(2 * time.Second)
}

func TestPickerMayBeUsedByManyAtOnce(t *testing.T) {
	w := newWorld(equal(9)...)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for k := range 5000 {
				i := w.pick()
				if g%2 == 0 {
					i = w.pickKey(uint64(k))
				}
				if i < 0 || i > 8 {
					t.Errorf("picked %d", i)
					return
				}
				w.loads[i].Reserve()
				w.report(i, Outcome(k%3), time.Duration(k%7)*time.Millisecond, time.Duration(k)*time.Millisecond)
				w.loads[i].Unreserve()
				_ = w.average(i)
			}
		})
	}
	wg.Go(func() { // one that ticks, and builds the next picker as the pool does
		for k := range 500 {
			w.Tick(time.Duration(k) * 10 * time.Millisecond)
			newLeastLatency(w.cfg, w.leastLatency, w.members(equal(9)...))
		}
	})
	wg.Wait()
	for i, l := range w.loads {
		if c := l.Cost.Load(); c == 0 || c > 1<<28 {
			t.Errorf("endpoint %d costs %d", i, c)
		}
		if d := w.average(i); d <= 0 || d > time.Second {
			t.Errorf("endpoint %d has a latency of %v", i, d)
		}
	}
}
