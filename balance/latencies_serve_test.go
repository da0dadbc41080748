package balance

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSlowerServerGetsFewerCalls(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10} {
		for _, factor := range []float64{3, 10, 100} {
			w := newWorld(equal(n)...)
			answer := func(i int) (time.Duration, Outcome) {
				if i == 0 {
					return time.Duration(factor * float64(ms)), OutcomeOK
				}
				return ms, OutcomeOK
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
	answer := func(i int) (time.Duration, Outcome) {
		if i == 2 {
			return slow, OutcomeOK
		}
		return ms, OutcomeOK
	}
	w.serve(10*time.Second, 8, answer)
	slow = ms
	w.serve(20*time.Second, 8, answer)
	if got := share(w.serve(10*time.Second, 8, answer), 2); got < 0.2 {
		t.Errorf("20 s after it got fast again its share is %.2f, want about 0.25", got)
	}
}

// Its answers are the fastest of all.
func TestServerThatFailsAtOnceGetsFewCalls(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10} {
		for _, c := range []struct {
			name  string
			after time.Duration
		}{{"from the start", 0}, {"after a while", 3 * time.Second}} {
			w := newWorld(equal(n)...)
			answer := func(i int) (time.Duration, Outcome) {
				if i == 0 && w.now >= c.after {
					return 10 * us, OutcomeFailure
				}
				return 2 * ms, OutcomeOK
			}
			w.serve(c.after+time.Second, 2*n, answer)
			if got := share(w.serve(5*time.Second, 2*n, answer), 0); got > 0.5/float64(n) {
				t.Errorf("one of %d fails at once, %s: it got %.1f %% of the calls", n, c.name, 100*got)
			}
		}
	}
}

// In a fast fleet 100 µs count as no difference, but a failure counts.
func TestFailureIsNotHiddenByTheToleranceOfAFastFleet(t *testing.T) {
	for _, latency := range []time.Duration{10 * us, 100 * us, ms} {
		w := newWorld(equal(4)...)
		w.settleEvenly(latency)
		got, failing := 0, 0
		for c := range 4000 {
			if c%1000 == 999 {
				w.tick()
			}
			i := w.pick()
			if i == 0 {
				if got++; got%3 == 0 {
					failing++
					w.report(0, OutcomeFailure, us, w.now)
					continue
				}
			}
			w.report(i, OutcomeOK, latency, w.now)
		}
		if got > 200 || failing == 0 {
			t.Errorf("in a fleet that takes %v one that fails every third call got %d of 4000", latency, got)
		}
	}
}

// Failures count as a multiple of the fleet's latency, which must not grow by
// itself.
func TestFleetThatFailedForLongIsJudgedByLatencyAgain(t *testing.T) {
	w := newWorld(equal(3)...)
	down := false
	answer := func(i int) (time.Duration, Outcome) {
		took := []time.Duration{ms, ms, 20 * ms}[i]
		if down {
			return took, OutcomeFailure
		}
		return took, OutcomeOK
	}
	w.serve(10*time.Second, 4, answer)
	down = true
	w.serve(2*time.Minute, 4, answer)
	for i, l := range w.loads {
		if d := w.average(i); d <= 0 || d > time.Second {
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

// Servers whose latencies differ by chance only get equal shares, also at a load
// so low that calls never meet.
func TestNoiseMakesNoFavorite(t *testing.T) {
	for _, n := range []int{3, 10} {
		for _, clients := range []int{1, 2 * n} {
			for _, sigma := range []float64{0.1, 0.3} {
				w := newWorld(equal(n)...)
				r := rand.New(rand.NewPCG(uint64(n), uint64(clients)))
				answer := func(int) (time.Duration, Outcome) {
					return time.Duration(float64(ms) * math.Exp(sigma*r.NormFloat64())), OutcomeOK
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

// There calls in flight correct a preference that is noise.
func TestSmallDifferencesCountWhereCallsMeet(t *testing.T) {
	for _, c := range []struct {
		clients     int
		least, most float64
	}{{1, 0.45, 0.55}, {30, 0.2, 0.45}} {
		w := newWorld(equal(10)...)
		answer := func(i int) (time.Duration, Outcome) {
			return 10*ms + time.Duration(i%2)*2*ms, OutcomeOK
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
	answer := func(i int) (time.Duration, Outcome) {
		return []time.Duration{ms, 5 * ms}[i], OutcomeOK
	}
	w.serve(5*time.Second, 1, answer)
	if got := share(w.serve(20*time.Second, 1, answer), 0); got < 0.98 {
		t.Errorf("the server that is five times faster got %.1f %% of the calls", 100*got)
	}
}

// serial is three servers that get one call at a time, 2000 in a second.
type serial struct {
	*world
	seen []int
}

func newSerial() *serial { return &serial{newWorld(equal(3)...), make([]int, 3)} }

// call makes calls for d, where the n-th call to server i takes latency(i, n),
// and returns the share of server 0.
func (s *serial) call(d time.Duration, latency func(i, n int) time.Duration) float64 {
	calls := make([]int, len(s.seen))
	for end := s.now + d; s.now < end; s.now += 500 * us {
		if s.now%(100*ms) == 0 {
			s.Tick(s.now)
		}
		i := s.pick()
		s.report(i, OutcomeOK, latency(i, s.seen[i]), s.now)
		s.seen[i]++
		calls[i]++
	}
	return share(calls, 0)
}

// secondsUntil makes calls until server 0 gets more than part of them for a second,
// or for a minute, and returns how many seconds that took.
func (s *serial) secondsUntil(part float64, latency func(i, n int) time.Duration) int {
	for k := 1; k < 60; k++ {
		if s.call(time.Second, latency) > part {
			return k
		}
	}
	return 60
}

// A fresh process answers its very first call slowly (page faults, accept,
// first goroutines): 3 ms instead of 0.15 ms.
func TestOneSlowFirstAnswerDoesNotStarveAServer(t *testing.T) {
	s := newSerial()
	slowFirst := func(i, n int) time.Duration {
		if i == 0 && n == 0 {
			return 3 * ms
		}
		return 150 * us
	}
	s.call(time.Second, slowFirst)
	if k := s.secondsUntil(0.2, slowFirst); k > 2 {
		t.Errorf("its share is above 20 %% only after %d s", k)
	}
}

// Killed with a few calls in flight, back four seconds later.
func TestServerThatRestartsGetsItsShareBack(t *testing.T) {
	s := newSerial()
	even := func(int, int) time.Duration { return 150 * us }
	s.call(4*time.Second, even)
	for range 8 { // the calls in flight when it was killed
		s.report(0, OutcomeFailure, 150*us, s.now)
	}
	if k := s.secondsUntil(0.25, even); k > 1 {
		t.Errorf("its share is above 25 %% only after %d s", k)
	}
}

func TestServerThatReportsLoadGetsFewerCalls(t *testing.T) {
	for load, want := range map[float64]float64{0: 0.3, 0.1: 0.3, 9: 0, math.Inf(1): 0, -5: 0.3, math.NaN(): 0.3} {
		w := newWorld(equal(3)...)
		for i := range 3 { // a first answer each, of which the average is made
			w.report(i, OutcomeOK, ms, 0)
		}
		got := w.callEachMillisecond(3000, func(i, _ int) Report {
			if i == 0 {
				return Report{Latency: ms, Load: load}
			}
			return Report{Latency: ms}
		})
		if share := share(got, 0); share < want || share > want+0.1 {
			t.Errorf("one of three that reports a load of %g got %.0f %% of the calls", load, 100*share)
		}
	}
}
