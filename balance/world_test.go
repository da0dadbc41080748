package balance

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

const (
	ms = time.Millisecond
	us = time.Microsecond
)

// world is a picker of LeastLatency with the loads of its members, and its clock.
type world struct {
	*leastLatency
	cfg   LeastLatencyConfig
	loads []*load.Load
	now   time.Duration
}

// newWorld returns one with an endpoint for each weight and the default
// parameters. The address of endpoint i is "server" and i.
func newWorld(weights ...float64) *world { return newWorldWith(LeastLatencyConfig{}, weights...) }

func newWorldWith(cfg LeastLatencyConfig, weights ...float64) *world {
	w := &world{cfg: cfg}
	w.grow(weights...)
	return w
}

// grow adds an endpoint for each weight to those there are, which weigh 1.
func (w *world) grow(weights ...float64) {
	all := equal(len(w.loads))
	for range weights {
		w.loads = append(w.loads, new(load.Load))
	}
	w.build(w.members(append(all, weights...)...))
}

// build replaces the picker by one of members, which knows the one before.
func (w *world) build(members []Member) {
	w.leastLatency = newLeastLatency(w.cfg, w.leastLatency, members)
}

func (w *world) members(weights ...float64) []Member {
	var all []Member
	for i, x := range weights {
		all = append(all, NewMember(discovery.Endpoint{Addr: fmt.Sprint("server", i), Weight: x}, w.loads[i]))
	}
	return all
}

// equal returns n weights of 1.
func equal(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func (w *world) pick() int { return w.Pick(PickInfo{}) }

func (w *world) pickKey(hash uint64) int { return w.Pick(PickInfo{Hash: hash, Keyed: true}) }

func (w *world) report(i int, o Outcome, latency, at time.Duration) {
	w.Report(i, Report{Outcome: o, Latency: latency, At: at})
}

// average is the average latency of endpoint i, 0 if it is unknown.
func (w *world) average(i int) time.Duration { return time.Duration(float(&w.records[i].ewma)) }

// fleetLatency is the average latency of the fleet.
func (w *world) fleetLatency() time.Duration { return time.Duration(float(&w.mean)) }

// cost is the cost of endpoint i, to compare with others.
func (w *world) cost(i int) float64 { return float64(w.loads[i].Cost.Load()) }

// tick lets a tenth of a second pass.
func (w *world) tick() {
	w.now += 100 * ms
	w.Tick(w.now)
}

// settle lets every endpoint answer with its latency for a while, so that the
// averages are known.
func (w *world) settle(latency ...time.Duration) {
	w.run(30*time.Second, func(i int) time.Duration { return latency[i] })
}

// settleEvenly is settle with one latency for all.
func (w *world) settleEvenly(latency time.Duration) {
	w.settle(slices.Repeat([]time.Duration{latency}, len(w.loads))...)
}

// run lets every endpoint answer ten times a second for d; one whose latency
// is zero gets no calls.
func (w *world) run(d time.Duration, latency func(i int) time.Duration) {
	for end := w.now + d; w.now < end; {
		for i := range w.loads {
			if l := latency(i); l > 0 {
				w.report(i, OutcomeOK, l, w.now)
			}
		}
		w.tick()
	}
}

// busy puts calls in flight.
func (w *world) busy(i, calls int) {
	for range calls {
		w.loads[i].Reserve()
	}
}

// picked counts n picks by index.
func (w *world) picked(n int) []int {
	seen := make([]int, len(w.loads))
	for range n {
		seen[w.pick()]++
	}
	return seen
}

// serve is a closed loop of clients that call without pause for d: each picks,
// waits for its answer, reports. It returns how many calls each endpoint got.
func (w *world) serve(d time.Duration, clients int, answer func(i int) (time.Duration, Outcome)) []int {
	type call struct {
		ends, took time.Duration
		i          int
		how        Outcome
		underway   bool
	}
	calls := make([]call, clients)
	seen := make([]int, len(w.loads))
	tick := w.now.Truncate(100*ms) + 100*ms
	for end := w.now + d; w.now < end; {
		next := tick
		for k := range calls {
			c := &calls[k]
			if c.underway && c.ends <= w.now {
				c.underway = false
				w.loads[c.i].Unreserve()
				w.report(c.i, c.how, c.took, w.now)
			}
			if !c.underway {
				c.i = w.pick()
				seen[c.i]++
				w.loads[c.i].Reserve()
				c.took, c.how = answer(c.i)
				c.ends, c.underway = w.now+c.took, true
			}
			next = min(next, c.ends)
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

// callEachMillisecond makes n calls, one after the other from time 0 on, where the
// k-th, to endpoint i, ends as answer(i, k) says. It returns how many calls each
// endpoint got.
func (w *world) callEachMillisecond(n int, answer func(i, k int) Report) []int {
	seen := make([]int, len(w.loads))
	for k := range n {
		w.now = time.Duration(k) * ms
		if k%100 == 0 {
			w.Tick(w.now)
		}
		i := w.pick()
		seen[i]++
		r := answer(i, k)
		r.At = w.now
		w.Report(i, r)
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

// wantRatio fails the test unless a is about r times b.
func wantRatio(t *testing.T, what string, a, b, r float64) {
	t.Helper()
	if q := a / b; math.Abs(q-r) > 0.05*r {
		t.Errorf("%s: a ratio of %.3g, want %.3g", what, q, r)
	}
}

// wantEven fails the test unless the counts could come from a fair choice: by
// the chi-square statistic, with a chance of error below one in ten million.
func wantEven(t *testing.T, what string, seen []int) {
	t.Helper()
	total := 0
	for _, k := range seen {
		total += k
	}
	want := float64(total) / float64(len(seen))
	x, worst := 0.0, 0
	for i, k := range seen {
		x += (float64(k) - want) * (float64(k) - want) / want
		if math.Abs(float64(k)-want) > math.Abs(float64(seen[worst])-want) {
			worst = i
		}
	}
	df := float64(len(seen) - 1)
	if x > df+6*math.Sqrt(2*df)+20 {
		t.Errorf("%s: not even: chi-square %.0f with %.0f degrees of freedom; endpoint %d of %d has %d picks, a fair share is %.0f",
			what, x, df, worst, len(seen), seen[worst], want)
	}
}
