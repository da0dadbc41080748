package policy_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

const (
	ms = time.Millisecond
	us = time.Microsecond
)

// cost is the price of endpoint i, to compare with others.
func (w *world) cost(i int) float64 { return float64(w.loads[i].Cost.Load()) }

// wantRatio fails the test unless a is about r times b.
func wantRatio(t *testing.T, what string, a, b, r float64) {
	t.Helper()
	if q := a / b; math.Abs(q-r) > 0.05*r {
		t.Errorf("%s: a ratio of %.3g, want %.3g", what, q, r)
	}
}

// serve is a closed loop of clients that call without pause for d: each picks,
// waits for its answer, reports. An endpoint answers one call at a time per
// unit of speed, so that queues form. It returns how many calls each got.
func (w *world) serve(d time.Duration, clients int, answer func(i int) (time.Duration, policy.Outcome)) []int {
	type call struct {
		at       time.Duration // when it ends
		i        int
		took     time.Duration
		how      policy.Outcome
		underway bool
	}
	calls := make([]call, clients)
	seen := make([]int, len(w.loads))
	tick := w.now.Truncate(100*ms) + 100*ms
	for end := w.now + d; w.now < end; {
		next := tick
		for k := range calls {
			c := &calls[k]
			if c.underway && c.at <= w.now {
				c.underway = false
				w.loads[c.i].Unreserve()
				w.Report(c.i, c.how, c.took, w.now)
			}
			if !c.underway {
				c.i = w.Pick()
				seen[c.i]++
				w.loads[c.i].Reserve()
				c.took, c.how = answer(c.i)
				c.at, c.underway = w.now+c.took, true
			}
			next = min(next, c.at)
		}
		if w.now = next; w.now == tick {
			w.Tick(w.now)
			tick += 100 * ms
		}
	}
	for _, c := range calls {
		if c.underway {
			w.loads[c.i].Unreserve()
		}
	}
	return seen
}

// share is the part of the calls that endpoint i got.
func share(seen []int, i int) float64 {
	total := 0
	for _, k := range seen {
		total += k
	}
	return float64(seen[i]) / float64(total)
}

func TestCostIsLatencyOverWeight(t *testing.T) {
	w := newWorld(1, 1, 1, 4)
	w.settle(ms, 3*ms, time.Second, 40*ms) // none is near the mean, with which it would count as equal
	wantRatio(t, "3 ms to 1 ms", w.cost(1), w.cost(0), 3)
	wantRatio(t, "1 s to 1 ms", w.cost(2), w.cost(0), 1000)
	wantRatio(t, "40 ms at weight 4 to 1 ms at weight 1", w.cost(3), w.cost(0), 10)
	for i, want := range []time.Duration{ms, 3 * ms, time.Second, 40 * ms} {
		wantRatio(t, "the average latency", float64(w.Latency(i)), float64(want), 1)
	}
}

func TestSlowerServerGetsFewerCalls(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10} {
		for _, factor := range []float64{3, 10, 100} {
			w := newWorld(equal(n)...)
			answer := func(i int) (time.Duration, policy.Outcome) {
				if i == 0 {
					return time.Duration(factor * float64(ms)), policy.Answered
				}
				return ms, policy.Answered
			}
			w.serve(2*time.Second, 2*n, answer) // learn
			seen := w.serve(4*time.Second, 2*n, answer)
			// By its speed it could take 1/factor of what another takes.
			if most := 1.2 / (factor*float64(n-1) + 1); share(seen, 0) > most {
				t.Errorf("one of %d servers is %gx slower: it got %.2f %% of the calls, want at most %.2f %%",
					n, factor, 100*share(seen, 0), 100*most)
			}
			if share(seen, 0) == 0 {
				t.Errorf("one of %d servers is %gx slower: it was never tried again", n, factor)
			}
		}
	}
}

func TestServerThatGetsFastAgainGetsItsShareBack(t *testing.T) {
	w := newWorld(equal(4)...)
	slow := 20 * ms
	answer := func(i int) (time.Duration, policy.Outcome) {
		if i == 2 {
			return slow, policy.Answered
		}
		return ms, policy.Answered
	}
	w.serve(10*time.Second, 8, answer)
	slow = ms
	w.serve(20*time.Second, 8, answer)
	if got := share(w.serve(10*time.Second, 8, answer), 2); got < 0.2 {
		t.Errorf("20 s after it got fast again its share is %.2f, want about 0.25", got)
	}
}

// TestServerThatFailsAtOnceIsNoBargain: its answers are the fastest of all.
func TestServerThatFailsAtOnceIsNoBargain(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10} {
		for _, c := range []struct {
			name  string
			after time.Duration
		}{{"from the start", 0}, {"after a while", 3 * time.Second}} {
			w := newWorld(equal(n)...)
			answer := func(i int) (time.Duration, policy.Outcome) {
				if i == 0 && w.now >= c.after {
					return 10 * us, policy.Failed
				}
				return 2 * ms, policy.Answered
			}
			w.serve(c.after+time.Second, 2*n, answer)
			if got := share(w.serve(5*time.Second, 2*n, answer), 0); got > 0.5/float64(n) {
				t.Errorf("one of %d fails at once, %s: it got %.1f %% of the calls", n, c.name, 100*got)
			}
		}
	}
}

// TestFailureIsNotHiddenByTheBandOfAFastFleet: 100 µs are no difference, a
// failure is one.
func TestFailureIsNotHiddenByTheBandOfAFastFleet(t *testing.T) {
	for _, latency := range []time.Duration{10 * us, 100 * us, ms} {
		w := newWorld(equal(4)...)
		w.settle(latency, latency, latency, latency)
		got, failing := 0, 0
		for c := range 4000 {
			if c%1000 == 999 {
				w.now += 100 * ms
				w.Tick(w.now)
			}
			i := w.Pick()
			if i == 0 {
				if got++; got%3 == 0 {
					failing++
					w.Report(0, policy.Failed, us, w.now)
					continue
				}
			}
			w.Report(i, policy.Answered, latency, w.now)
		}
		if got > 200 || failing == 0 {
			t.Errorf("in a fleet that takes %v one that fails every third call got %d of 4000", latency, got)
		}
	}
}

func TestCallsBackToBackAreNoSilence(t *testing.T) {
	for _, window := range []time.Duration{2 * time.Second, time.Hour} {
		w := with(func(c *policy.Config) { c.Window = window }, equal(4)...)
		latency := 150 * ms
		w.settle(latency, latency, latency, latency)
		w.busy(0, 1)
		for k := range 300 {
			w.now += 50 * ms
			if k%3 == 0 {
				w.Report(0, policy.Answered, latency, w.now)
			}
			if k%2 == 0 {
				for i := 1; i < 4; i++ {
					w.Report(i, policy.Answered, latency, w.now)
				}
				w.Tick(w.now)
			}
			if w.cost(0) > 1.01*w.cost(1) {
				t.Fatalf("with a window of %v it costs %.1f times as much as the others", window, w.cost(0)/w.cost(1))
			}
		}
	}
}

// TestFleetThatFailedForLongIsJudgedByLatencyAgain: failures count as a
// multiple of the fleet's latency, which must not feed on itself.
func TestFleetThatFailedForLongIsJudgedByLatencyAgain(t *testing.T) {
	w := newWorld(equal(3)...)
	down := false
	answer := func(i int) (time.Duration, policy.Outcome) {
		took := []time.Duration{ms, ms, 20 * ms}[i]
		if down {
			return took, policy.Failed
		}
		return took, policy.Answered
	}
	w.serve(10*time.Second, 4, answer)
	down = true
	w.serve(2*time.Minute, 4, answer)
	for i, l := range w.loads {
		if d := w.Latency(i); d <= 0 || d > time.Second {
			t.Errorf("after two minutes of failures server %d has a latency of %v", i, d)
		}
		if c := l.Cost.Load(); c == 0 || c >= 1<<28 {
			t.Errorf("after two minutes of failures server %d costs %d", i, c)
		}
	}
	down = false
	w.serve(20*time.Second, 4, answer)
	if got := share(w.serve(10*time.Second, 4, answer), 2); got > 0.05 {
		t.Errorf("20 s after the end of it the slow server gets %.0f %% of the calls", 100*got)
	}
}

func TestFailureCountsAsSeveralTimesTheFleetsLatency(t *testing.T) {
	w := newWorld(1, 1, 1)
	w.settle(ms, ms, ms)
	before := w.cost(0)
	for k := range 1000 { // every fourth call fails
		o, d := policy.Answered, ms
		if k%4 == 3 {
			o, d = policy.Failed, 10*us
		}
		w.Report(0, o, d, w.now)
	}
	wantRatio(t, "the cost of a server that fails now and then", w.cost(0), before, 1+0.25*3)
	for range 1000 {
		w.Report(0, policy.Failed, 10*us, w.now)
	}
	wantRatio(t, "the cost of one that fails all the time", w.cost(0), before, 64)
	for range 1000 {
		w.Report(1, policy.Failed, 100*ms, w.now)
	}
	wantRatio(t, "the cost of one that fails slowly", w.cost(1), before, 100)
}

func TestLatenciesThatAreNoneAreIgnored(t *testing.T) {
	w := newWorld(1, 1, 1)
	w.settle(ms, 3*ms, 9*ms)
	for _, o := range []policy.Outcome{policy.Answered, policy.AtLeast} {
		for _, latency := range []time.Duration{0, -1, -time.Hour, math.MinInt64} {
			for i := range w.loads {
				cost, average := w.cost(i), w.Latency(i)
				w.Report(i, o, latency, w.now)
				if w.cost(i) != cost || w.Latency(i) != average {
					t.Errorf("outcome %d with a latency of %v changed the average from %v to %v", o, latency, average, w.Latency(i))
				}
			}
		}
	}
	w.Report(0, policy.Failed, -time.Hour, w.now) // a failure is one, however badly measured
	if w.Latency(0) <= ms {
		t.Errorf("a failure left the average at %v", w.Latency(0))
	}
	fresh := newWorld(1, 1)
	fresh.Report(0, policy.Failed, 0, 0)
	fresh.Report(0, policy.Answered, -1, 0)
	if fresh.Latency(0) != 0 || fresh.cost(0) != fresh.cost(1) {
		t.Errorf("reports without a latency made one of %v", fresh.Latency(0))
	}
}

func TestCancelledCallIsALowerBound(t *testing.T) {
	w := newWorld(1, 1)
	w.settle(10*ms, 10*ms)
	before := w.Latency(0)
	for _, d := range []time.Duration{us, ms, before} {
		w.Report(0, policy.AtLeast, d, w.now)
		if w.Latency(0) != before {
			t.Errorf("a call cancelled after %v changed an average of %v to %v", d, before, w.Latency(0))
		}
	}
	for range 200 {
		w.Report(0, policy.AtLeast, 100*ms, w.now)
	}
	wantRatio(t, "the average after calls cancelled late", float64(w.Latency(0)), float64(100*ms), 1)
}

func TestTimeThatGoesBackHarmsNobody(t *testing.T) {
	w := newWorld(1, 1)
	w.settle(ms, ms)
	for k := range 1000 {
		w.Report(0, policy.Answered, ms, w.now-time.Duration(k)*time.Hour)
		w.Report(0, policy.Answered, ms, math.MinInt64)
		w.Report(0, policy.Answered, ms, math.MaxInt64)
	}
	wantRatio(t, "the average", float64(w.Latency(0)), float64(ms), 1)
	w.Tick(0)
	w.Tick(-time.Hour)
	w.Tick(w.now)
	wantRatio(t, "the cost", w.cost(0), w.cost(1), 1)
}

func TestServerThatAnswersNothingGetsDearerWithEveryTick(t *testing.T) {
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
	w.Report(0, policy.Answered, ms, w.now)
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
	w.Report(0, policy.Answered, ms, w.now)
	w.run(10*time.Second, func(int) time.Duration { return ms })
	wantRatio(t, "while it answers", w.cost(0), w.cost(1), 1)
}

func TestServerThatWasNeverMeasuredIsNotBlamedForCallsInFlight(t *testing.T) {
	w := newWorld(1, 1)
	w.busy(0, 5) // leases without reports, dials
	w.run(time.Minute, func(i int) time.Duration { return []time.Duration{0, ms}[i] })
	wantRatio(t, "its cost", w.cost(0), w.cost(1), 1)
}

func TestAverageOfAnIdleServerReturnsToTheFleets(t *testing.T) {
	for _, c := range []struct {
		name string
		was  time.Duration
	}{{"a slow one", 50 * ms}, {"a fast one", 100 * us}} {
		w := newWorld(1, 1, 1)
		w.settle(c.was, 2*ms, 2*ms)
		far := math.Abs(float64(w.Latency(0) - 2*ms))
		alone := func(i int) time.Duration { return []time.Duration{0, 2 * ms, 2 * ms}[i] }
		for range 30 {
			w.run(3*time.Second, alone)
			d := math.Abs(float64(w.Latency(0) - 2*ms))
			if d >= far && d > float64(50*us) {
				t.Errorf("%s: at %v its average is %v, no nearer to 2ms", c.name, w.now, w.Latency(0))
			}
			far = d
		}
		wantRatio(t, c.name+": its average after 90 s", float64(w.Latency(0)), float64(2*ms), 1)
		wantRatio(t, c.name+": its cost", w.cost(0), w.cost(1), 1)
	}
}

// TestEndpointThatLostARaceIsTriedSoon: whoever hedges gives a server up after
// a few latencies, and would else not find out for long that it is well again.
func TestEndpointThatLostARaceIsTriedSoon(t *testing.T) {
	calls := func(last policy.Outcome) (n int) {
		w := newWorld(equal(3)...)
		w.settle(ms, ms, ms)
		for range 3 {
			w.now += time.Second
			w.Report(0, last, 2500*us, w.now)
		}
		for w.Tick(w.now); w.cost(0) > w.cost(1); w.Tick(w.now) {
			for i := range 30 {
				w.Report(1+i%2, policy.Answered, ms, w.now)
			}
			w.now += 30 * ms
			if n += 30; n > 10_000 {
				t.Fatal("it is never tried again")
			}
		}
		return n
	}
	lost, slow := calls(policy.AtLeast), calls(policy.Answered)
	if lost > 400 {
		t.Errorf("after a lost race it is tried after %d calls", lost)
	}
	if 2*lost > slow {
		t.Errorf("after a lost race it is tried after %d calls, after a slow answer after %d", lost, slow)
	}
}

func TestAnAbsurdLatencyIsOneAnswerOfMany(t *testing.T) {
	w := with(func(c *policy.Config) { c.Clip = math.Inf(1) }, equal(2)...)
	for range 1000 {
		w.Report(0, policy.Answered, ms, w.now)
	}
	w.Report(0, policy.Answered, math.MaxInt64, w.now)
	w.now += 100 * ms
	w.Tick(w.now)
	// It counts for what the longest possible one does, 17 s.
	wantRatio(t, "the fleet's mean to its due", float64(w.Mean()), float64(1000*ms+17179*ms)/1001, 1)
}

func TestNewEndpointBeginsAtTheFleetsMean(t *testing.T) {
	w := newWorld(1, 1, 1)
	w.settle(4*ms, 4*ms, 4*ms)
	w.grow(1)
	wantRatio(t, "the cost of a new one", w.cost(3), w.cost(0), 1)
	w.Report(3, policy.Answered, 40*ms, w.now) // one slow answer, as of a cold server
	if d := w.Latency(3); d < 4*ms || d > 8*ms {
		t.Errorf("one answer of 40 ms made its average %v", d)
	}
}

func TestAveragesOutliveThePicker(t *testing.T) {
	w := newWorld(1, 1, 1, 1)
	w.settle(ms, 3*ms, 100*ms, 10*ms)
	want := map[string]time.Duration{}
	members := w.members(equal(4)...)
	costs := map[string]float64{}
	for i, m := range members {
		want[m.Key], costs[m.Key] = w.Latency(i), w.cost(i)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		w.Picker = policy.New(policy.Default(), w.Picker, members)
		for i, m := range members {
			if w.Latency(i) != want[m.Key] || float64(m.Load.Cost.Load()) != costs[m.Key] {
				t.Fatalf("%s: latency %v, cost %v after a change, want %v and %v",
					m.Key, w.Latency(i), m.Load.Cost.Load(), want[m.Key], costs[m.Key])
			}
		}
	}
	// The same address with another record is another server: it left and
	// returned.
	for i := range members {
		if members[i].Key == "server3" {
			members[i].Load = new(slots.Load)
			w.Picker = policy.New(policy.Default(), w.Picker, members)
			if d := w.Latency(i); d != 0 {
				t.Errorf("a server that left and returned has its old average of %v", d)
			}
		}
	}
	// A new weight counts at once.
	for i := range members {
		members[i].Weight = 1
		if members[i].Key == "server2" {
			members[i].Weight = 10
		}
	}
	policy.New(policy.Default(), w.Picker, members)
	var light, heavy float64
	for _, m := range members {
		switch m.Key {
		case "server0":
			light = float64(m.Load.Cost.Load())
		case "server2":
			heavy = float64(m.Load.Cost.Load())
		}
	}
	wantRatio(t, "100 ms at weight 10 to 1 ms at weight 1", heavy, light, 10)
}

// TestNoiseDoesNotMakeAFavourite: servers whose latencies differ by chance only
// get equal shares, also at a load so low that calls never meet.
func TestNoiseDoesNotMakeAFavourite(t *testing.T) {
	for _, n := range []int{3, 10} {
		for _, clients := range []int{1, 2 * n} {
			for _, sigma := range []float64{0.1, 0.3} {
				w := newWorld(equal(n)...)
				r := rand.New(rand.NewPCG(uint64(n), uint64(clients)))
				answer := func(int) (time.Duration, policy.Outcome) {
					return time.Duration(float64(ms) * math.Exp(sigma*r.NormFloat64())), policy.Answered
				}
				w.serve(2*time.Second, clients, answer)
				seen := w.serve(6*time.Second, clients, answer)
				for i := range seen {
					if got := share(seen, i) * float64(n); got < 0.75 || got > 1.25 {
						t.Errorf("%d servers, %d clients, noise of %.0f %%: server %d got %.2f of its fair share",
							n, clients, 100*sigma, i, got)
					}
				}
			}
		}
	}
}

// TestSmallDifferencesCountWhereCallsMeet: there calls in flight put right what
// noise gets wrong.
func TestSmallDifferencesCountWhereCallsMeet(t *testing.T) {
	for _, c := range []struct {
		clients     int
		least, most float64
	}{{1, 0.45, 0.55}, {30, 0.2, 0.45}} {
		w := newWorld(equal(10)...)
		answer := func(i int) (time.Duration, policy.Outcome) {
			return 10*ms + time.Duration(i%2)*2*ms, policy.Answered
		}
		w.serve(5*time.Second, c.clients, answer)
		seen, slower := w.serve(20*time.Second, c.clients, answer), 0.0
		for i := 1; i < 10; i += 2 {
			slower += share(seen, i)
		}
		if slower < c.least || slower > c.most {
			t.Errorf("%d clients: the five that are a fifth slower got %.3f of the calls, want %.2f to %.2f",
				c.clients, slower, c.least, c.most)
		}
	}
}

func TestFasterServerIsUsedWhenCallsNeverMeet(t *testing.T) {
	w := newWorld(1, 1)
	answer := func(i int) (time.Duration, policy.Outcome) {
		return []time.Duration{ms, 5 * ms}[i], policy.Answered
	}
	w.serve(5*time.Second, 1, answer)
	if got := share(w.serve(20*time.Second, 1, answer), 0); got < 0.98 {
		t.Errorf("the server that is five times faster got %.1f %% of the calls", 100*got)
	}
}

func TestLatencyOfAnyServerIsZeroBeforeItsFirstAnswer(t *testing.T) {
	w := newWorld(1, 1)
	if w.Latency(0) != 0 {
		t.Errorf("latency %v", w.Latency(0))
	}
	w.Report(0, policy.Answered, 7*ms, 0)
	if w.Latency(0) != 7*ms || w.Latency(1) != 0 {
		t.Errorf("latencies %v and %v", w.Latency(0), w.Latency(1))
	}
}
