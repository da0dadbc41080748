package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// TestEntriesThatVanishInAMassAreKeptForTheGrace: the grace is 30 seconds. The
// times of the wanted sets count.
func TestEntriesThatVanishInAMassAreKeptForTheGrace(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  []event
	}{
		{
			"more than half",
			[]step{{0, "a b c d e"}, {s, "a b"}},
			[]event{{0, "a b c d e"}, {31 * s, "a b"}},
		},
		{
			"exactly half goes",
			[]step{{0, "a b c d"}, {s, "a b"}},
			[]event{{0, "a b c d"}, {s + 100*ms, "a b"}},
		},
		{
			"all",
			[]step{{0, "a b"}, {s, ""}},
			[]event{{0, "a b"}, {31 * s, ""}},
		},
		{
			"the only one",
			[]step{{0, "a"}, {s, ""}},
			[]event{{0, "a"}, {31 * s, ""}},
		},
		{
			"one of two goes",
			[]step{{0, "a b"}, {s, "b"}},
			[]event{{0, "a b"}, {s + 100*ms, "b"}},
		},
		{
			"one that comes back is not kept any more",
			[]step{{0, "a b c"}, {s, ""}, {2 * s, "a b"}, {3 * s, "b"}},
			[]event{{0, "a b c"}, {3*s + 100*ms, "b c"}, {31 * s, "b"}},
		},
		{
			"all come back",
			[]step{{0, "a b c"}, {s, ""}, {2 * s, "a b c"}},
			[]event{{0, "a b c"}},
		},
		{
			"one that comes back has its new attributes",
			[]step{{0, "a=1 b=1 c=1"}, {s, ""}, {2 * s, "a=2"}},
			[]event{{0, "a=1 b=1 c=1"}, {2 * s, "a=2 b=1 c=1"}, {31 * s, "a=2"}},
		},
		{
			"new ones come at once",
			[]step{{0, "a b c"}, {s, "d"}},
			[]event{{0, "a b c"}, {s, "a b c d"}, {31 * s, "d"}},
		},
		{
			"one that comes and goes is not missing all the time, though each report that counts lacks it",
			[]step{
				{0, "a b c"},
				{s, "b c"},
				{s + 5*ms, "a b c"},
				{s + 10*ms, "b c"},
				{s + 25*ms, "a b c"},
				{s + 30*ms, "b c"},
				{s + 45*ms, "a b c"},
				{s + 50*ms, "b c"},
			},
			[]event{{0, "a b c"}, {s + 150*ms, "b c"}},
		},
		{
			"a report that repeats it does not prolong it",
			[]step{{0, "a b c"}, {s, ""}, {20 * s, ""}, {30 * s, ""}},
			[]event{{0, "a b c"}, {31 * s, ""}},
		},
		{
			"the rest vanishes as well",
			[]step{{0, "a b c d e f"}, {s, "a b"}, {10 * s, ""}},
			[]event{{0, "a b c d e f"}, {31 * s, "a b"}, {40 * s, ""}},
		},
		{
			"half of the rest goes",
			[]step{{0, "a b c d e f"}, {s, "a b"}, {10 * s, "a"}},
			[]event{{0, "a b c d e f"}, {10*s + 100*ms, "a c d e f"}, {31 * s, "a"}},
		},
		{
			"again after the grace",
			[]step{{0, "a b c"}, {s, ""}, {32 * s, "a b c"}, {33 * s, ""}},
			[]event{{0, "a b c"}, {31 * s, ""}, {32 * s, "a b c"}, {63 * s, ""}},
		},
		{
			"a second mass has a grace of its own",
			[]step{{0, "a b c"}, {s, ""}, {10 * s, "a b c"}, {11 * s, "a"}},
			[]event{{0, "a b c"}, {41 * s, "a"}},
		},
		{
			"it ends although the watch is lost",
			[]step{{0, "a b c"}, {s, "a"}, {2 * s, "lose"}, {time.Hour, "a"}},
			[]event{{0, "a b c"}, {31 * s, "a (lost)"}, {time.Hour, "a"}},
		},
		{
			"in a burst the last report counts",
			[]step{{0, "a b c"}, {ms, ""}, {2 * ms, "a b"}},
			[]event{{0, "a b c"}, {120 * ms, "a b"}},
		},
		{
			"it begins when the report counts",
			[]step{{0, "a b c"}, {ms, ""}},
			[]event{{0, "a b c"}, {30*s + 20*ms, ""}},
		},
		{
			"a report at the very end of it",
			[]step{{0, "a b c"}, {s, ""}, {31*s - ms, "d"}},
			[]event{{0, "a b c"}, {31*s - ms, "a b c d"}, {31 * s, "d"}},
		},
		{
			"one that comes back in a burst at the end of it stays",
			[]step{{0, "a b c"}, {s, ""}, {31*s - 2*ms, "d"}, {31*s - ms, "a d"}},
			[]event{{0, "a b c"}, {31*s - 2*ms, "a b c d"}, {31 * s, "a d"}},
		},
		{
			"invalid entries do not count",
			[]step{{0, "a b ! ! !"}, {s, "a"}},
			[]event{{0, "a b"}, {s + 100*ms, "a"}},
		},
		{
			"an entry gone bad has vanished",
			[]step{{0, "a b c"}, {s, "a b c!"}},
			[]event{{0, "a b c"}, {s + 100*ms, "a b"}},
		},
		{
			"one that is deleted and created again stays",
			[]step{{0, "a b c"}, {s, "b c"}, {s + 99*ms, "b c a"}},
			[]event{{0, "a b c"}},
		},
		{
			"for ten seconds after a loss, what vanishes waits for their end",
			[]step{{0, "a b c d"}, {s, "lose"}, {20 * s, "a b c"}, {25 * s, "a b"}, {26 * s, "a b d"}},
			[]event{{0, "a b c d"}, {20 * s, "a b c d"}, {30 * s, "a b d"}},
		},
		{
			"the first report comes late, and is no return",
			[]step{{20 * s, "a b c"}, {21 * s, "a b"}},
			[]event{{20 * s, "a b c"}, {21*s + 100*ms, "a b"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := follow(t, 30*s, script(c.steps...))
				r.until(2 * time.Hour)
				for i := range c.want {
					c.want[i].what = "set " + c.want[i].what
				}
				r.want("set", c.want...)
			})
		})
	}
}

func TestWithoutAGraceEveryReportCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(step{0, "a b c"}, step{s, ""}))
		r.until(time.Hour)
		r.want("set", event{0, "set a b c"}, event{s, "set "})
	})
}

// TestAnySequenceOfReportsIsFollowedAsTheModelDoes has a registry report and do
// anything, and compares each change with what a simple model makes of the same
// reports.
func TestAnySequenceOfReportsIsFollowedAsTheModelDoes(t *testing.T) {
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			g := &randomRegistry{rand: rand.New(rand.NewPCG(seed, 3)), begun: time.Now(), left: 150}
			grace := time.Duration(seed%4) * 10 * s
			ctx, stop := context.WithCancel(t.Context())
			var got []event
			var sets [][]discovery.Endpoint
			done := make(chan struct{})
			go func() {
				defer close(done)
				var in []discovery.Endpoint
				discovery.Follow(ctx, g, discovery.Follower{RemovalGrace: grace, Changed: func(c discovery.Change) {
					wantDifference(t, in, c)
					in = c.Set
					sets = append(sets, c.Set)
					got = append(got, event{time.Since(g.begun), changeText(c.Set, c.Lost)})
				}})
			}()
			time.Sleep(24 * time.Hour)
			stop()
			<-done
			if g.left > 0 {
				t.Errorf("%d steps are left after a day", g.left)
			}
			if want := (&model{grace: grace}).play(g.trace); !slices.Equal(got, want) {
				i := 0
				for i < len(got) && i < len(want) && got[i] == want[i] {
					i++
				}
				t.Errorf("change %d:\ngot  %v\nwant %v", i, got[i:], want[i:])
			}
			for i, set := range sets {
				if was, _ := strings.CutSuffix(got[i].what, " (lost)"); changeText(set, false) != was {
					t.Errorf("the set %q that Changed was called with became %q", was, inWords(set))
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

func changeText(set []discovery.Endpoint, lost bool) string {
	if lost {
		return inWords(set) + " (lost)"
	}
	return inWords(set)
}

// traced is something that a randomRegistry did.
type traced struct {
	at   time.Duration
	lost bool                 // the watch ended
	set  []discovery.Endpoint // else this was reported
	own  bool                 // and it is the program's own decision
}

// randomRegistry is a watcher that does random things.
type randomRegistry struct {
	rand  *rand.Rand
	begun time.Time
	left  int // steps
	trace []traced
	last  traced // the latest report
}

func (g *randomRegistry) Authoritative() bool { return g.last.own }

// Watch reports random sets at random times until it is lost.
func (g *randomRegistry) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	defer func() {
		if ctx.Err() == nil {
			g.trace = append(g.trace, traced{at: time.Since(g.begun), lost: true})
		}
	}()
	for g.left > 0 {
		// A random number of nanoseconds: no two things happen at one instant.
		d := time.Duration(g.rand.Int64N(int64([]time.Duration{ms, 30 * ms, s, 20 * s}[g.rand.IntN(4)])))
		if err := sleep(ctx, d+1); err != nil {
			return err
		}
		g.left--
		if g.rand.IntN(12) == 0 {
			return errors.New("lost")
		}
		g.next()
		g.trace = append(g.trace, g.last)
		report(slices.Clone(g.last.set))
		if g.rand.IntN(12) == 0 {
			return nil
		}
		if g.rand.IntN(20) == 0 {
			panic("a watcher that panics")
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// next makes the next report, somewhat like the one before.
func (g *randomRegistry) next() {
	set := slices.Clone(g.last.set)
	switch g.rand.IntN(6) {
	case 0:
		set = nil
	case 1: // the same
	case 2:
		g.rand.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
	default:
		stay := g.rand.Float64()
		set = slices.DeleteFunc(set, func(discovery.Endpoint) bool { return g.rand.Float64() > stay })
		for range g.rand.IntN(4) {
			e := fmt.Sprintf("%c=%d", 'a'+g.rand.IntN(12), g.rand.IntN(2))
			if g.rand.IntN(10) == 0 {
				e += "!"
			}
			set = slices.Insert(set, g.rand.IntN(len(set)+1), endpoint(e))
		}
	}
	g.last = traced{at: time.Since(g.begun), set: set, own: g.rand.IntN(8) == 0}
}

// model is what Follow does, without a thought of what it costs.
type model struct {
	grace   time.Duration
	changes []event

	pending *traced
	updated time.Duration
	lost    bool
	failed  time.Duration // the last loss, or the first report after it; below 0: none

	valid map[string]discovery.Endpoint // of the report in use
	kept  map[string]keptEntry
	in    string // the set in use
}

type keptEntry struct {
	e     discovery.Endpoint
	until time.Duration
}

// play returns the changes that the trace makes.
func (m *model) play(trace []traced) []event {
	m.lost, m.updated, m.failed = true, -time.Hour, -1
	m.kept = map[string]keptEntry{}
	for _, next := range trace {
		m.pass(next.at)
		switch {
		case !next.lost:
			if m.pending != nil && m.pending.own && !next.own {
				m.update(next.at)
			}
			if m.pending != nil {
				m.sight(m.pending.set, next.at)
			}
			m.pending = &next
			if next.at-m.updated >= 20*ms {
				m.update(next.at)
			}
		case m.pending != nil:
			m.update(next.at)
			m.lost, m.failed = true, next.at
		default:
			m.lost, m.failed = true, next.at
		}
	}
	m.pass(24 * time.Hour)
	return m.changes
}

// sight notes that a report, which another followed at once, names what is kept.
func (m *model) sight(set []discovery.Endpoint, now time.Duration) {
	for _, e := range set {
		if k, ok := m.kept[e.Addr]; ok {
			m.kept[e.Addr] = keptEntry{k.e, max(k.until, now+min(100*ms, m.grace))}
		}
	}
}

// pass does what falls due before the time.
func (m *model) pass(end time.Duration) {
	for {
		due := end
		if m.pending != nil {
			due = min(due, m.updated+20*ms)
		}
		for _, k := range m.kept {
			due = min(due, k.until)
		}
		if due == end {
			return
		}
		m.update(due)
	}
}

func (m *model) update(now time.Duration) {
	m.updated = now
	force := m.pending != nil && m.lost
	if force && m.failed >= 0 {
		m.failed = now
	}
	if m.pending != nil {
		m.take(*m.pending, now)
		m.pending, m.lost = nil, false
	}
	maps.DeleteFunc(m.kept, func(_ string, k keptEntry) bool { return k.until <= now })
	set := slices.Collect(maps.Values(m.valid))
	for _, k := range m.kept {
		set = append(set, k.e)
	}
	if in := inWords(set); in != m.in || force {
		m.in = in
		m.changes = append(m.changes, event{now, changeText(set, m.lost)})
	}
}

func (m *model) take(next traced, now time.Duration) {
	valid := map[string]discovery.Endpoint{}
	for _, e := range next.set {
		if _, ok := valid[e.Addr]; !ok && e.Validate() == nil {
			valid[e.Addr] = e
		}
	}
	gone := maps.Clone(m.valid)
	maps.DeleteFunc(gone, func(addr string, _ discovery.Endpoint) bool { _, ok := valid[addr]; return ok })
	hold := 100 * ms
	switch {
	case 2*len(gone) > len(m.valid):
		hold = m.grace
	case m.failed >= 0:
		hold = max(hold, m.failed+10*s-now)
	}
	if m.grace > 0 {
		for addr, e := range gone {
			m.kept[addr] = keptEntry{e, now + min(hold, m.grace)}
		}
	}
	maps.DeleteFunc(m.kept, func(addr string, _ keptEntry) bool { _, ok := valid[addr]; return ok || next.own })
	m.valid = valid
}

// TestWhatVanishesSoonAfterAFailureWaitsForRegistrars is about failures that
// stay within a watch, and within the watch of a watcher that is made of others.
func TestWhatVanishesSoonAfterAFailureWaitsForRegistrars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		inner := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			report(set("a b c"))
			_ = sleep(ctx, 20*s)
			discovery.ReportFailure(ctx, errors.New("no answer"))
			_ = sleep(ctx, s)
			report(set("a b"))
			_ = sleep(ctx, 20*s)
			report(set("a b d"))
			_ = sleep(ctx, s)
			report(set("a d"))
			return sleep(ctx, time.Hour)
		})
		outer := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			discovery.Follow(ctx, inner, discovery.Follower{Reported: report})
			return ctx.Err()
		})
		var got []event
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		discovery.Follow(ctx, outer, discovery.Follower{RemovalGrace: 30 * s, Changed: func(c discovery.Change) {
			got = append(got, event{time.Since(begun), changeText(c.Set, c.Lost)})
		}})
		want := []event{{0, "a b c"}, {30 * s, "a b"}, {41 * s, "a b d"}, {42*s + 100*ms, "a d"}}
		if !slices.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

func TestOfASetThatIsTooLongTheFirstCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got, rejected []string
		begun := time.Now()
		sets := []string{"a b", "a b c d e", "a b c d e", "a c d e", "a b", "x y z"}
		w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			for _, words := range sets {
				report(set(words))
				_ = sleep(ctx, s)
			}
			return sleep(ctx, time.Hour)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		discovery.Follow(ctx, w, discovery.Follower{
			MaxEndpoints: 3,
			Changed:      func(c discovery.Change) { got = append(got, fmt.Sprint(time.Since(begun), " ", inWords(c.Set))) },
			Rejected: func(e discovery.Endpoint, err error) {
				if !strings.Contains(err.Error(), "more than 3") {
					t.Error(err)
				}
				rejected = append(rejected, word(e))
			},
		})
		if want := []string{"0s a b", "1s a b c", "3s a c d", "4s a b", "5s x y z"}; !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if want := []string{"d", "e"}; !slices.Equal(rejected, want) {
			t.Errorf("told of %q, want %q", rejected, want)
		}
	})
}

// TestASetOfNewNamesAtEachReportIsBounded has a registry that is flooded: what is
// doubted is kept, but no more than as much again.
func TestASetOfNewNamesAtEachReportIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := 0
		w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			for i := range 50 {
				var all []discovery.Endpoint
				for j := range 500 {
					all = append(all, discovery.Endpoint{Addr: fmt.Sprintf("h%d-%d:1", i, j)})
				}
				report(all)
				_ = sleep(ctx, 100*ms)
			}
			return sleep(ctx, time.Hour)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		discovery.Follow(ctx, w, discovery.Follower{
			RemovalGrace: 30 * s, MaxEndpoints: 100,
			Changed: func(c discovery.Change) { most = max(most, len(c.Set)) },
		})
		if most != 200 {
			t.Errorf("the largest set in use had %d endpoints, want 200", most)
		}
	})
}
