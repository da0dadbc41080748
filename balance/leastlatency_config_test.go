package balance

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLeastLatencyNamesEveryParameterThatMakesNoSense(t *testing.T) {
	for _, c := range []struct {
		cfg  LeastLatencyConfig
		says []string // each in an error of its own; none: the parameters are valid
	}{
		{LeastLatencyConfig{}, nil},
		{LeastLatencyConfig{Choices: 1, Window: 1, SlowStart: 1}, nil},
		{LeastLatencyConfig{Choices: 8, Window: math.MaxInt64, SlowStart: math.MaxInt64}, nil},
		{LeastLatencyConfig{Choices: 9}, []string{"Choices 9 "}},
		{LeastLatencyConfig{Choices: -1, Window: -time.Second, SlowStart: -1}, []string{"Choices -1 ", "Window -1s ", "SlowStart -1ns "}},
	} {
		b, ok := LeastLatency(c.cfg).(interface{ Validate() error })
		if !ok {
			t.Fatal("the balancer has no Validate")
		}
		err := b.Validate()
		if (err == nil) != (len(c.says) == 0) {
			t.Errorf("%+v: error %v, want one about %q", c.cfg, err, c.says)
		}
		if err == nil {
			continue
		}
		for i, line := range strings.Split(err.Error(), "\n") {
			if i >= len(c.says) || !strings.HasPrefix(line, "balance: LeastLatencyConfig."+c.says[i]) {
				t.Errorf("%+v: error %q, want one about %q", c.cfg, line, c.says)
			}
		}
	}
}

func TestZeroLeastLatencyConfigHasTheDefaults(t *testing.T) {
	w := newWorld(equal(2)...)
	if w.choices != 8 || w.window != 2*time.Second || w.slowStart != 0 {
		t.Errorf("%d choices, a window of %v, a slow start of %v; want 8, 2s, none", w.choices, w.window, w.slowStart)
	}
}

// A slow server gets little, and the others get the same.
func TestExtremeParametersDoNoHarm(t *testing.T) {
	for _, cfg := range []LeastLatencyConfig{
		{Choices: 1, Window: math.MaxInt64, SlowStart: 1},
		{Choices: 2, Window: 1, SlowStart: math.MaxInt64},
		{Window: math.MaxInt64, SlowStart: math.MaxInt64},
	} {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			w := newWorldWith(cfg, equal(4)...)
			const calls = 20_000
			got := w.callEachMillisecond(calls, func(i, k int) Report {
				r := Report{Latency: ms}
				if i == 0 {
					r.Latency = 20 * ms
				}
				if k == calls/2 {
					r.Outcome = OutcomeFailure
				}
				return r
			})
			most := 0.02
			if cfg.Choices == 1 {
				most = 0.26 // nothing is compared
			}
			if s := share(got, 0); s > most || s == 0 {
				t.Errorf("a server that is 20 times slower got %.1f %% of the calls", 100*s)
			}
			for i := 1; i < 4; i++ {
				if s := share(got, i); s < 0.2 || s > 0.5 {
					t.Errorf("one of three equal servers got %.1f %% of the calls", 100*s)
				}
			}
		})
	}
}

func TestChoicesAreHowManyEndpointsAPickCompares(t *testing.T) {
	for choices := 1; choices <= maxChoices; choices++ {
		for _, n := range []int{3, 20} {
			w := newWorldWith(LeastLatencyConfig{Choices: choices}, equal(n)...)
			w.settle(append([]time.Duration{ms}, slices.Repeat([]time.Duration{10 * ms}, n-1)...)...)
			const picks = 20_000
			got := w.picked(picks)[0]
			want := min(1, float64(choices)/float64(n)) // it wins wherever it is a choice
			if share := float64(got) / picks; share < want-0.02 || share > want+0.02 {
				t.Errorf("%d choices of %d: the best gets %.2f of the calls, want %.2f", choices, n, share, want)
			}
		}
	}
}

func TestNoChoicesLeadToAnUnavailableEndpoint(t *testing.T) {
	for choices := 1; choices <= maxChoices; choices++ {
		for _, n := range []int{2, 4, 9, 20} {
			for _, unavailable := range []int{1, n / 2, n - 1} {
				w := newWorldWith(LeastLatencyConfig{Choices: choices}, equal(n)...)
				w.settleEvenly(ms)
				for i := range unavailable {
					w.loads[i].SetEjected(true)
				}
				w.Tick(w.now)
				for i, k := range w.picked(1000) {
					if i < unavailable && k > 0 {
						t.Errorf("%d choices of %d: %d picks of one of the %d that are unavailable", choices, n, k, unavailable)
					}
				}
			}
		}
	}
}

// after returns the average latency of endpoint 0 over what it was, after
// something happened to it alone, in a fleet of 1 ms.
func after(cfg LeastLatencyConfig, happens func(w *world)) float64 {
	w := newWorldWith(cfg, equal(4)...)
	w.settleEvenly(ms)
	before := w.average(0)
	happens(w)
	return float64(w.average(0)) / float64(before)
}

func TestLongerWindowFollowsLater(t *testing.T) {
	slower := func(w *world) {
		w.run(2*time.Second, func(i int) time.Duration { return []time.Duration{4 * ms, ms, ms, ms}[i] })
	}
	long, short := after(LeastLatencyConfig{Window: 20 * time.Second}, slower), after(LeastLatencyConfig{Window: time.Second}, slower)
	if long*1.2 > short {
		t.Errorf("2 s after it got four times slower the average is %.2f times what it was, with the shorter window %.2f", long, short)
	}
}

// The reports come so late that nothing else counts.
func TestWhatOneReportCountsFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       Outcome
		latency time.Duration
		want    float64
	}{
		{"a slow answer", OutcomeOK, time.Second, clip},
		{"a failure at once", OutcomeFailure, us, penalty},
		{"an overload at once", OutcomeOverload, us, penalty},
		{"a slow failure", OutcomeFailure, time.Second, 1000},
		{"a neutral outcome", OutcomeNeutral, time.Second, 1},
		{"a failed dial", OutcomeDialFailure, time.Second, 1},
	} {
		got := after(LeastLatencyConfig{}, func(w *world) { w.report(0, c.o, c.latency, w.now+time.Hour) })
		wantRatio(t, "the average after "+c.name, got, 1, c.want)
	}
}

func TestReportedLoadCountsAsLatency(t *testing.T) {
	for _, c := range []struct{ load, want float64 }{
		{0, 1}, {1, 2}, {0.5, 1.5}, {4, 5}, {-3, 1}, {math.NaN(), 1}, {100, 101}, {1e9, 101}, {math.Inf(1), 101}, {math.Inf(-1), 1},
	} {
		got := after(LeastLatencyConfig{}, func(w *world) {
			for k := range 100 {
				w.Report(0, Report{Latency: ms, Load: c.load, At: w.now + time.Duration(k)*time.Minute})
			}
		})
		wantRatio(t, fmt.Sprintf("the average at a load of %v", c.load), got, 1, c.want)
	}
}

func TestLatenciesWithinTheToleranceCountAsEqual(t *testing.T) {
	for _, c := range []struct {
		latency, other time.Duration
		want           float64
	}{
		{1300 * us, ms, 1},
		{20 * ms, 10 * ms, 1.6}, // to the latency of the fleet
		{200 * us, 100 * us, 1}, // 100 µs may be noise of the caller's machine
		{400 * us, 100 * us, 2.29},
	} {
		w := newWorld(equal(4)...)
		w.settle(c.latency, c.other, c.other, c.other)
		wantRatio(t, fmt.Sprintf("%v to %v", c.latency, c.other), w.cost(0), w.cost(1), c.want)
	}
}

func TestEndpointStartsSlowlyIfAsked(t *testing.T) {
	const slow = 8 * time.Second
	start := func() *world {
		w := newWorldWith(LeastLatencyConfig{SlowStart: slow}, equal(4)...)
		for i := range 4 {
			if w.cost(i) != w.cost(0) {
				t.Fatal("in a fleet that is all new some start slowly")
			}
		}
		w.settleEvenly(ms)
		return w
	}
	// grows fails the test unless the cost is ten times as high at first all the
	// time, and then ever more seldom.
	grows := func(t *testing.T, w *world, i int) {
		t.Helper()
		for quarter, want := range []float64{7 / 8., 5 / 8., 3 / 8., 1 / 8., 0} {
			costly, ticks := 0.0, 0.0
			for end := w.now + slow/4; w.now < end; ticks++ {
				if w.cost(i) != w.cost(0) {
					wantRatio(t, "while it starts", w.cost(i), w.cost(0), 10)
					costly++
				}
				w.run(100*ms, func(int) time.Duration { return ms })
			}
			if got := costly / ticks; math.Abs(got-want) > 0.25 {
				t.Errorf("in quarter %d it was costly for %.2f of the time, want about %.2f", quarter, got, want)
			}
		}
	}
	t.Run("one that is new", func(t *testing.T) {
		w := start()
		w.grow(1)
		grows(t, w, 4)
	})
	t.Run("one that was unavailable", func(t *testing.T) {
		w := start()
		w.loads[3].SetDown(true)
		w.tick()
		w.loads[3].SetDown(false) // it is costly at once, not only with the next tick
		grows(t, w, 3)
	})
	t.Run("not if most are new", func(t *testing.T) {
		w := start()
		w.grow(equal(6)...)
		wantRatio(t, "one of six new", w.cost(4), w.cost(0), 1)
	})
}
