package policy_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
)

func TestChoicesSayHowManyEndpointsAPickLooksAt(t *testing.T) {
	for choices := 1; choices <= policy.MaxChoices; choices++ {
		for _, n := range []int{3, 20} {
			w := with(func(c *policy.Config) { c.Choices = choices }, equal(n)...)
			w.settle(append([]time.Duration{ms}, slices.Repeat([]time.Duration{10 * ms}, n-1)...)...)
			const picks = 20_000
			got := 0
			for range picks {
				if w.Pick() == 0 {
					got++
				}
			}
			want := min(1, float64(choices)/float64(n)) // it wins wherever it is looked at
			if share := float64(got) / picks; share < want-0.02 || share > want+0.02 {
				t.Errorf("%d choices of %d: the best gets %.2f of the calls, want %.2f", choices, n, share, want)
			}
		}
	}
}

func TestParametersDoWhatTheyAreFor(t *testing.T) {
	// after is the latency of endpoint 0 over what it was, after something
	// happened to it alone.
	after := func(change func(c *policy.Config), happens func(w *world)) float64 {
		w := with(change, equal(4)...)
		w.settle(slices.Repeat([]time.Duration{ms}, 4)...)
		before := w.Latency(0)
		happens(w)
		return float64(w.Latency(0)) / float64(before)
	}
	slower := func(w *world) {
		w.run(2*time.Second, func(i int) time.Duration { return []time.Duration{4 * ms, ms, ms, ms}[i] })
	}
	once := func(w *world) { w.Report(0, policy.Answered, time.Second, w.now+time.Hour) }
	fails := func(w *world) { w.Report(0, policy.Failed, us, w.now+time.Hour) }
	alone := func(w *world) {
		slower(w)
		w.run(5*time.Second, func(i int) time.Duration { return []time.Duration{0, ms, ms, ms}[i] })
	}
	for name, c := range map[string]struct {
		less, more func(c *policy.Config)
		happens    func(w *world)
	}{
		"a longer window follows later": {
			func(c *policy.Config) { c.Window = 20 * time.Second }, func(c *policy.Config) { c.Window = time.Second }, slower,
		},
		"who gets no calls is forgiven sooner": {
			func(c *policy.Config) { c.Relax = time.Second }, func(c *policy.Config) { c.Relax = time.Minute }, alone,
		},
		"one slow answer counts for less": {
			func(c *policy.Config) { c.Clip = 2 }, func(c *policy.Config) { c.Clip = 20 }, once,
		},
		"a failure costs less": {
			func(c *policy.Config) { c.Penalty = 2 }, func(c *policy.Config) { c.Penalty = 20 }, fails,
		},
	} {
		less, more := after(c.less, c.happens), after(c.more, c.happens)
		if less*1.2 > more {
			t.Errorf("%s: %.2f times what it was, with the other value %.2f", name, less, more)
		}
	}
}

func TestLatenciesWithinTheBandCountAsEqual(t *testing.T) {
	for _, c := range []struct {
		band           float64
		latency, other time.Duration
		want           float64
	}{
		{1.5, 1300 * us, ms, 1},
		{1.5, 20 * ms, 10 * ms, 1.6}, // to the mean
		{1, 1300 * us, ms, 1.3},
		{1.5, 200 * us, 100 * us, 1}, // 100 µs may be noise of the caller's
		{1.5, 400 * us, 100 * us, 2.29},
		{1, 200 * us, 100 * us, 2},
	} {
		w := with(func(x *policy.Config) { x.Band = c.band }, equal(4)...)
		w.settle(c.latency, c.other, c.other, c.other)
		wantRatio(t, fmt.Sprintf("with a band of %g %v to %v", c.band, c.latency, c.other), w.cost(0), w.cost(1), c.want)
	}
}

func TestEndpointStartsSlowlyIfAsked(t *testing.T) {
	const slow = 8 * time.Second
	start := func() *world {
		w := with(func(c *policy.Config) { c.SlowStart = slow }, equal(4)...)
		for i := range 4 {
			if w.cost(i) != w.cost(0) {
				t.Fatal("in a fleet that is all new some start slowly")
			}
		}
		w.settle(slices.Repeat([]time.Duration{ms}, 4)...)
		return w
	}
	// grows says that the cost is at first always ten times as much, and ever
	// more seldom.
	grows := func(t *testing.T, w *world, i int) {
		t.Helper()
		dear := 0.0
		for quarter, want := range []float64{7 / 8., 5 / 8., 3 / 8., 1 / 8., 0} {
			ticks := 0.0
			for end := w.now + slow/4; w.now < end; ticks++ {
				if w.cost(i) != w.cost(0) {
					wantRatio(t, "while it is dear", w.cost(i), w.cost(0), 10)
					dear++
				}
				w.run(100*ms, func(int) time.Duration { return ms })
			}
			if got := dear / ticks; math.Abs(got-want) > 0.25 {
				t.Errorf("in quarter %d it was dear for %.2f of the time, want about %.2f", quarter, got, want)
			}
			dear = 0
		}
	}
	t.Run("one that is new", func(t *testing.T) {
		w := start()
		w.grow(1)
		grows(t, w, 4)
	})
	t.Run("one that was out", func(t *testing.T) {
		w := start()
		w.loads[3].SetDown(true)
		w.now += 100 * ms
		w.Tick(w.now)
		w.loads[3].SetDown(false) // it is dear at once, not only with the next tick
		grows(t, w, 3)
	})
	t.Run("not if most are new", func(t *testing.T) {
		w := start()
		w.grow(equal(6)...)
		wantRatio(t, "one of six new", w.cost(4), w.cost(0), 1)
	})
}

// TestFewChoicesSendNoCallToOneThatIsOut, however many are.
func TestFewChoicesSendNoCallToOneThatIsOut(t *testing.T) {
	for choices := 1; choices <= policy.MaxChoices; choices++ {
		for _, n := range []int{2, 4, 9, 20} {
			for _, out := range []int{1, n / 2, n - 1} {
				w := with(func(c *policy.Config) { c.Choices = choices }, equal(n)...)
				w.settle(slices.Repeat([]time.Duration{ms}, n)...)
				for i := range out {
					w.loads[i].SetEjected(true)
				}
				w.Tick(w.now)
				for i, k := range w.picked(1000) {
					if i < out && k > 0 {
						t.Errorf("%d choices of %d: %d picks of one of the %d that are out", choices, n, k, out)
					}
				}
			}
		}
	}
}
