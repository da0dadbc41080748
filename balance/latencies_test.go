package balance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/load"
)

func TestCostIsLatencyWhateverTheWeight(t *testing.T) {
	w := newWorld(1, 1, 1, 4)
	w.settle(ms, 3*ms, time.Second, 40*ms) // none is near the mean, with which it would count as equal
	wantRatio(t, "3 ms to 1 ms", w.cost(1), w.cost(0), 3)
	wantRatio(t, "1 s to 1 ms", w.cost(2), w.cost(0), 1000)
	wantRatio(t, "40 ms at weight 4 to 1 ms at weight 1", w.cost(3), w.cost(0), 40)
	for i, want := range []time.Duration{ms, 3 * ms, time.Second, 40 * ms} {
		wantRatio(t, "the average latency", float64(w.average(i)), float64(want), 1)
	}
}

func TestServerThatAnswersOneCallAfterTheOtherIsNotSilent(t *testing.T) {
	for _, window := range []time.Duration{2 * time.Second, time.Hour} {
		w := newWorldWith(LeastLatencyConfig{Window: window}, equal(4)...)
		latency := 150 * ms
		w.settleEvenly(latency)
		w.busy(0, 1)
		for k := range 300 {
			w.now += 50 * ms
			if k%3 == 0 {
				w.report(0, OutcomeOK, latency, w.now)
			}
			if k%2 == 0 {
				for i := 1; i < 4; i++ {
					w.report(i, OutcomeOK, latency, w.now)
				}
				w.Tick(w.now)
			}
			if w.cost(0) > 1.01*w.cost(1) {
				t.Fatalf("with a window of %v it costs %.1f times as much as the others", window, w.cost(0)/w.cost(1))
			}
		}
	}
}

func TestFailureCountsAsSeveralTimesTheFleetsLatency(t *testing.T) {
	w := newWorld(1, 1, 1)
	w.settle(ms, ms, ms)
	before := w.cost(0)
	for k := range 1000 { // every fourth call fails
		o, d := OutcomeOK, ms
		if k%4 == 3 {
			o, d = OutcomeFailure, 10*us
		}
		w.report(0, o, d, w.now)
	}
	wantRatio(t, "the cost of a server that fails now and then", w.cost(0), before, 1+0.25*3)
	for range 1000 {
		w.report(0, OutcomeFailure, 10*us, w.now)
	}
	wantRatio(t, "the cost of one that fails all the time", w.cost(0), before, 64)
	for range 1000 {
		w.report(1, OutcomeFailure, 100*ms, w.now)
	}
	wantRatio(t, "the cost of one that fails slowly", w.cost(1), before, 100)
}

func TestLatenciesThatWereNotMeasuredAreIgnored(t *testing.T) {
	w := newWorld(1, 1, 1)
	w.settle(ms, 3*ms, 9*ms)
	for _, o := range []Outcome{OutcomeOK, OutcomeCanceled} {
		for _, latency := range []time.Duration{0, -1, -time.Hour, math.MinInt64} {
			for i := range w.loads {
				cost, average := w.cost(i), w.average(i)
				w.report(i, o, latency, w.now)
				if w.cost(i) != cost || w.average(i) != average {
					t.Errorf("outcome %d with a latency of %v changed the average from %v to %v", o, latency, average, w.average(i))
				}
			}
		}
	}
	w.report(0, OutcomeFailure, -time.Hour, w.now) // a failure is one, however badly measured
	if w.average(0) <= ms {
		t.Errorf("a failure left the average at %v", w.average(0))
	}
	fresh := newWorld(1, 1)
	fresh.report(0, OutcomeFailure, 0, 0)
	fresh.report(0, OutcomeOK, -1, 0)
	if fresh.average(0) != 0 || fresh.cost(0) != fresh.cost(1) {
		t.Errorf("reports without a latency made one of %v", fresh.average(0))
	}
}

func TestCanceledCallIsALowerBound(t *testing.T) {
	w := newWorld(1, 1)
	w.settle(10*ms, 10*ms)
	before := w.average(0)
	for _, d := range []time.Duration{us, ms, before} {
		w.report(0, OutcomeCanceled, d, w.now)
		if w.average(0) != before {
			t.Errorf("a call canceled after %v changed an average of %v to %v", d, before, w.average(0))
		}
	}
	for range 200 {
		w.report(0, OutcomeCanceled, 100*ms, w.now)
	}
	wantRatio(t, "the average after calls canceled late", float64(w.average(0)), float64(100*ms), 1)
}

func TestTimeThatGoesBackDoesNoHarm(t *testing.T) {
	w := newWorld(1, 1)
	w.settle(ms, ms)
	for k := range 1000 {
		w.report(0, OutcomeOK, ms, w.now-time.Duration(k)*time.Hour)
		w.report(0, OutcomeOK, ms, math.MinInt64)
		w.report(0, OutcomeOK, ms, math.MaxInt64)
	}
	wantRatio(t, "the average", float64(w.average(0)), float64(ms), 1)
	w.Tick(0)
	w.Tick(-time.Hour)
	w.Tick(w.now)
	wantRatio(t, "the cost", w.cost(0), w.cost(1), 1)
}

func TestCostOfAServerThatAnswersNothingRisesWithEveryTick(t *testing.T) {
	w := newWorld(1, 1, 1, 1)
	w.settle(ms, ms, ms, ms)
	w.busy(0, 1) // and no answer to it
	w.busy(1, 1) // answers, with always one in flight
	before := w.cost(3)
	for range 100 {
		last := w.cost(0)
		w.run(100*ms, func(i int) time.Duration { return []time.Duration{0, ms, 0, ms}[i] })
		if c := w.cost(0); c <= last && c > before {
			t.Errorf("at %v its cost is %.0f after %.0f", w.now, c, last)
		}
	}
	wantRatio(t, "after ten seconds without an answer", w.cost(0), before, float64(10*time.Second/ms))
	wantRatio(t, "a server that answers", w.cost(1), before, 1)
	wantRatio(t, "an idle server", w.cost(2), before, 1)
	w.loads[0].Unreserve()
	w.report(0, OutcomeOK, ms, w.now)
	wantRatio(t, "after its answer", w.cost(0), before, 1)
}

func TestServerWhoseOnlyCallIsAStreamIsTriedFromTimeToTime(t *testing.T) {
	w := newWorld(1, 1)
	w.settle(ms, ms)
	w.busy(0, 1) // for good
	cheap := 0
	for range 620 {
		w.run(100*ms, func(i int) time.Duration { return []time.Duration{0, ms}[i] })
		if w.cost(0) < 2*w.cost(1) {
			cheap++
		}
	}
	if cheap != 4 {
		t.Errorf("for %d ticks in 62 s it was as cheap as the other, want 4", cheap)
	}
	w.report(0, OutcomeOK, ms, w.now)
	w.run(10*time.Second, func(int) time.Duration { return ms })
	wantRatio(t, "while it answers", w.cost(0), w.cost(1), 1)
}

func TestCallsInFlightAloneDoNotRaiseTheCostOfAServer(t *testing.T) {
	w := newWorld(1, 1)
	w.busy(0, 5) // leases without reports, dials
	w.run(time.Minute, func(i int) time.Duration { return []time.Duration{0, ms}[i] })
	wantRatio(t, "its cost", w.cost(0), w.cost(1), 1)
}

func TestAverageOfAnIdleServerReturnsToThatOfTheFleet(t *testing.T) {
	for _, c := range []struct {
		name string
		was  time.Duration
	}{{"a slow one", 50 * ms}, {"a fast one", 100 * us}} {
		w := newWorld(1, 1, 1)
		w.settle(c.was, 2*ms, 2*ms)
		far := math.Abs(float64(w.average(0) - 2*ms))
		alone := func(i int) time.Duration { return []time.Duration{0, 2 * ms, 2 * ms}[i] }
		for range 30 {
			w.run(3*time.Second, alone)
			d := math.Abs(float64(w.average(0) - 2*ms))
			if d >= far && d > float64(50*us) {
				t.Errorf("%s: at %v its average is %v, no nearer to 2ms", c.name, w.now, w.average(0))
			}
			far = d
		}
		wantRatio(t, c.name+": its average after 90 s", float64(w.average(0)), float64(2*ms), 1)
		wantRatio(t, c.name+": its cost", w.cost(0), w.cost(1), 1)
	}
}

// A hedged call gives a server up after a few latencies. Without more calls nobody
// would find out for long that it has recovered.
func TestEndpointWhoseLastCallWasCanceledIsTriedSoon(t *testing.T) {
	calls := func(last Outcome) (n int) {
		w := newWorld(equal(3)...)
		w.settle(ms, ms, ms)
		for range 3 {
			w.now += time.Second
			w.report(0, last, 2500*us, w.now)
		}
		for w.Tick(w.now); w.cost(0) > w.cost(1); w.Tick(w.now) {
			for i := range 30 {
				w.report(1+i%2, OutcomeOK, ms, w.now)
			}
			w.now += 30 * ms
			if n += 30; n > 10_000 {
				t.Fatal("it is never tried again")
			}
		}
		return n
	}
	canceled, slow := calls(OutcomeCanceled), calls(OutcomeOK)
	if canceled > 400 {
		t.Errorf("after a canceled call it is tried after %d calls", canceled)
	}
	if 2*canceled > slow {
		t.Errorf("after a canceled call it is tried after %d calls, after a slow answer after %d", canceled, slow)
	}
}

func TestExtremeLatencyIsOneAnswerOfMany(t *testing.T) {
	w := newWorld(equal(2)...)
	for range 1000 {
		w.report(0, OutcomeOK, ms, w.now)
	}
	w.report(0, OutcomeOK, math.MaxInt64, w.now)
	w.tick()
	// It counts for what the longest possible one does, 17 s.
	wantRatio(t, "the fleet's latency to the mean of what was reported", float64(w.fleetLatency()), float64(1000*ms+17179*ms)/1001, 1)
}

func TestNewEndpointBeginsAtTheLatencyOfTheFleet(t *testing.T) {
	w := newWorld(1, 1, 1)
	w.settle(4*ms, 4*ms, 4*ms)
	w.grow(1)
	wantRatio(t, "the cost of a new one", w.cost(3), w.cost(0), 1)
	w.report(3, OutcomeOK, 40*ms, w.now) // one slow answer, as of a cold server
	if d := w.average(3); d < 4*ms || d > 8*ms {
		t.Errorf("one answer of 40 ms made its average %v", d)
	}
}

func TestAveragesOutliveThePicker(t *testing.T) {
	w := newWorld(1, 1, 1, 1)
	w.settle(ms, 3*ms, 100*ms, 10*ms)
	want := map[string]time.Duration{}
	members := w.members(equal(4)...)
	costs := map[string]uint64{}
	for i, m := range members {
		want[m.Endpoint.Addr], costs[m.Endpoint.Addr] = w.average(i), m.load.Cost.Load()
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		w.build(slices.Clone(members))
		for i, m := range members {
			a := m.Endpoint.Addr
			if w.average(i) != want[a] || m.load.Cost.Load() != costs[a] {
				t.Fatalf("%s: latency %v, cost %v after a change, want %v and %v", a, w.average(i), m.load.Cost.Load(), want[a], costs[a])
			}
		}
	}
	index := func(addr string) int {
		return slices.IndexFunc(members, func(m Member) bool { return m.Endpoint.Addr == addr })
	}
	// The same address with another load is another server: it left and returned.
	i := index("server3")
	members[i].load = new(load.Load)
	w.build(slices.Clone(members))
	if d := w.average(i); d != 0 {
		t.Errorf("a server that left and returned has its old average of %v", d)
	}
}

func TestAverageIsUnknownBeforeTheFirstAnswer(t *testing.T) {
	w := newWorld(1, 1)
	if w.average(0) != 0 {
		t.Errorf("latency %v", w.average(0))
	}
	w.report(0, OutcomeOK, 7*ms, 0)
	if w.average(0) != 7*ms || w.average(1) != 0 {
		t.Errorf("latencies %v and %v", w.average(0), w.average(1))
	}
}

// pauses lets every endpoint answer a thousand times a second for d. In each tick another one is four
// times as slow.
func (w *world) pauses(d time.Duration) {
	tick := 0
	for end := w.now + d; w.now < end; tick++ {
		for range 100 {
			for i := range w.loads {
				latency := ms
				if i == tick%len(w.loads) {
					latency = 4 * ms
				}
				w.report(i, OutcomeOK, latency, w.now)
			}
		}
		w.tick()
	}
}

func TestLatenciesThatChangeFromTickToTickCountAsEqual(t *testing.T) {
	w := newWorld(equal(4)...)
	w.busy(0, 8) // where calls meet, the tolerance is narrow
	w.pauses(30 * time.Second)
	if w.average(3) < 2*w.average(0) && w.average(0) < 2*w.average(3) && w.average(1) < 2*w.average(0) {
		t.Fatal("no average is apart from the others")
	}
	for i := range w.loads {
		wantRatio(t, "the cost of an endpoint among others that pause too", w.cost(i), w.cost(0), 1)
	}

	w.run(30*time.Second, func(i int) time.Duration { return []time.Duration{3 * ms, ms, ms, ms}[i] })
	wantRatio(t, "the cost of one that stays three times as slow", w.cost(0), w.cost(1), 3)
}

func TestAverageOfAnEndpointWithFewerCallsReturnsByThoseThatItLacks(t *testing.T) {
	lacks := func(part int) float64 { // how far it returns in one tick of a hundred calls
		w := newWorld(equal(2)...)
		w.settle(ms, 10*ms)
		fleet, before := w.fleetLatency(), w.average(1)
		for k := range 100 {
			w.report(0, OutcomeOK, ms, w.now)
			if k >= part {
				w.report(1, OutcomeOK, before, w.now)
			}
		}
		w.tick()
		return float64(before-w.average(1)) / float64(before-fleet)
	}
	none, half, all := lacks(0), lacks(50), lacks(100)
	if none != 0 || half < 0.05 || all < 1.5*half {
		t.Errorf("an endpoint that lacks none, half, all of its calls returns by %.2f, %.2f, %.2f", none, half, all)
	}
}
