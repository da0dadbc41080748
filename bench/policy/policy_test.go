package main

import (
	"io"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFiguresThatAreReachedAreHeld plays all scenarios and fails where a change of the policy makes one worse.
func TestFiguresThatAreReachedAreHeld(t *testing.T) {
	if raced {
		t.Skip("figures are held without the race detector, which takes ten times as long over them")
	}
	const chance = .02 // a figure of three seeds may be that much worse than one of many
	g := newStage(3)
	for _, l := range goals(1e6) {
		if l.target == none {
			continue
		}
		bound := max(l.target, l.holds)
		if got := round(g.figure(l, ours())); math.IsNaN(got) || got > bound*(1+chance) {
			t.Errorf("%s: %s: %s, want at most %s", l.scenario.name, l.name, l.format(got), l.format(bound))
		}
	}
}

// TestOtherPoliciesMissWhatOursReaches proves that the scenarios are hard: each of the peers misses most of the targets.
func TestOtherPoliciesMissWhatOursReaches(t *testing.T) {
	g := newStage(1)
	for _, a := range peers() {
		missed := 0
		for _, s := range []scenario{heterogeneous(), slow(), blackHole(), hang(), halfDead()} {
			for _, l := range goals(0) {
				if l.scenario.name == s.name && !l.retry && l.target > 0 && !l.met(g.figure(l, a)) {
					missed++
					break
				}
			}
		}
		if missed < 5 {
			t.Errorf("%s misses the target of %d scenarios only", a.name, missed)
		}
	}
}

func TestArrivalsOfOneSeedAreTheSame(t *testing.T) {
	s := pauses()
	s.ends = 8 * time.Second
	a, b, c := play(s, ideal(), false, 1), play(s, ideal(), false, 1), play(s, ideal(), false, 2)
	if a.calls == 0 || !slices.Equal(a.latencies, b.latencies) {
		t.Errorf("two runs of one seed differ, of %d and %d calls", a.calls, b.calls)
	}
	if slices.Equal(a.latencies, c.latencies) {
		t.Error("two runs of different seeds do not differ")
	}
}

func TestNoCallIsLost(t *testing.T) {
	for _, s := range []scenario{homogeneous(20), halfDead(), hang(), coldJoin()} {
		o := play(s, ours(), true, 1)
		quick := o.visible // failed, and not at the deadline
		for _, d := range o.latencies {
			if d >= deadline {
				quick--
			}
		}
		if got := len(o.latencies) + quick; got != o.calls || o.calls == 0 {
			t.Errorf("%s: of %d calls %d ended", s.name, o.calls, got)
		}
	}
}

func TestServerAnswersFirstComeFirstServed(t *testing.T) {
	const ms = time.Millisecond
	v := &server{free: make([]time.Duration, 2), slower: constant(1), stopped: []span{{25 * ms, 100 * ms}}}
	for k, c := range []struct{ at, work, want time.Duration }{
		{0, 10 * ms, 10 * ms},
		{0, 20 * ms, 20 * ms},
		{5 * ms, 10 * ms, 20 * ms},      // after the first call
		{5 * ms, 10 * ms, 105 * ms},     // half of it after the stop
		{30 * ms, 10 * ms, 110 * ms},    // all of it
		{200 * ms, 10 * ms, 210 * ms},   // idle again
		{1000 * ms, 10 * ms, 1010 * ms}, // by the other worker
	} {
		if got := v.call(c.at, c.work); got != c.want {
			t.Errorf("call %d is answered at %v, want %v", k, got, c.want)
		}
	}
	v.slower = constant(5)
	if got := v.call(2*time.Second, 10*ms); got != 2050*ms {
		t.Errorf("a server that is five times slower answers at %v", got)
	}
}

func TestEventsHappenInOrder(t *testing.T) {
	var q queue
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		q.push(event{at: time.Duration(r.IntN(500))})
		if r.IntN(3) == 0 {
			q.pop()
		}
	}
	for last := time.Duration(0); len(q) > 0; {
		e := q.pop()
		if e.at < last {
			t.Fatalf("an event of %d comes after one of %d", e.at, last)
		}
		last = e.at
	}
}

func TestRetriesAreAFifthOfTheCallsAndTenPerSecond(t *testing.T) {
	w := new(sim)
	c := newClient(w)
	retries := 0
	for ; w.now < time.Minute; w.now += 10 * time.Millisecond {
		c.retrier.Count(1) // a hundred per second
		for c.retrier.Allow(t.Context()) {
			retries++
		}
	}
	if want := 100 + 60*30; retries < want*9/10 || retries > want*11/10 {
		t.Errorf("%d retries in a minute, want about %d", retries, want)
	}
}

func TestReportSaysWhatIsMissed(t *testing.T) {
	var text strings.Builder
	table(&text, newStage(1), regexp.MustCompile("^black hole$"))
	for _, want := range []string{"| black hole | calls failed | <= 0.1 % | 0.138 % |", "**missed**", "| met |", "- **black hole, calls failed**"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table does not contain %q:\n%s", want, text.String())
		}
	}
	if err := write(io.Discard, "(", 1); err == nil {
		t.Error("an invalid pattern is no error")
	}
}
