package watch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/watch"
)

const s = time.Second

// TestEntriesThatVanishInAMassAreKeptForTheGrace: the grace is 30 seconds. The
// times of the wanted sets count.
func TestEntriesThatVanishInAMassAreKeptForTheGrace(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  []said
	}{
		{
			"more than half",
			[]step{{0, "a b c d e"}, {s, "a b"}},
			[]said{{0, "a b c d e"}, {s, "a b c d e"}, {31 * s, "a b"}},
		},
		{
			"exactly half goes at once",
			[]step{{0, "a b c d"}, {s, "a b"}},
			[]said{{0, "a b c d"}, {s, "a b"}},
		},
		{
			"all",
			[]step{{0, "a b"}, {s, ""}},
			[]said{{0, "a b"}, {s, "a b"}, {31 * s, ""}},
		},
		{
			"the only one",
			[]step{{0, "a"}, {s, ""}},
			[]said{{0, "a"}, {s, "a"}, {31 * s, ""}},
		},
		{
			"one of two goes at once",
			[]step{{0, "a b"}, {s, "b"}},
			[]said{{0, "a b"}, {s, "b"}},
		},
		{
			"one that comes back is not held any more",
			[]step{{0, "a b c"}, {s, ""}, {2 * s, "a b"}, {3 * s, "b"}},
			[]said{{0, "a b c"}, {s, "a b c"}, {2 * s, "a b c"}, {3 * s, "b c"}, {31 * s, "b"}},
		},
		{
			"all come back",
			[]step{{0, "a b c"}, {s, ""}, {2 * s, "a b c"}},
			[]said{{0, "a b c"}, {s, "a b c"}, {2 * s, "a b c"}},
		},
		{
			"one that comes back has its new attributes",
			[]step{{0, "a=1 b=1 c=1"}, {s, ""}, {2 * s, "a=2"}},
			[]said{{0, "a=1 b=1 c=1"}, {s, "a=1 b=1 c=1"}, {2 * s, "a=2 b=1 c=1"}, {31 * s, "a=2"}},
		},
		{
			"new ones come at once",
			[]step{{0, "a b c"}, {s, "d"}},
			[]said{{0, "a b c"}, {s, "a b c d"}, {31 * s, "d"}},
		},
		{
			"the same said again does not prolong it",
			[]step{{0, "a b c"}, {s, ""}, {20 * s, ""}, {30 * s, ""}},
			[]said{{0, "a b c"}, {s, "a b c"}, {20 * s, "a b c"}, {30 * s, "a b c"}, {31 * s, ""}},
		},
		{
			"the rest vanishes as well",
			[]step{{0, "a b c d e f"}, {s, "a b"}, {10 * s, ""}},
			[]said{{0, "a b c d e f"}, {s, "a b c d e f"}, {10 * s, "a b c d e f"}, {31 * s, "a b"}, {40 * s, ""}},
		},
		{
			"half of the rest goes at once",
			[]step{{0, "a b c d e f"}, {s, "a b"}, {10 * s, "a"}},
			[]said{{0, "a b c d e f"}, {s, "a b c d e f"}, {10 * s, "a c d e f"}, {31 * s, "a"}},
		},
		{
			"again after the grace",
			[]step{{0, "a b c"}, {s, ""}, {32 * s, "a b c"}, {33 * s, ""}},
			[]said{{0, "a b c"}, {s, "a b c"}, {31 * s, ""}, {32 * s, "a b c"}, {33 * s, "a b c"}, {63 * s, ""}},
		},
		{
			"a second mass has a grace of its own",
			[]step{{0, "a b c"}, {s, ""}, {10 * s, "a b c"}, {11 * s, "a"}},
			[]said{{0, "a b c"}, {s, "a b c"}, {10 * s, "a b c"}, {11 * s, "a b c"}, {41 * s, "a"}},
		},
		{
			"it ends although the watch is lost",
			[]step{{0, "a b c"}, {s, "a"}, {2 * s, "lose"}, {time.Hour, "a"}},
			[]said{{0, "a b c"}, {s, "a b c"}, {31 * s, "a"}, {time.Hour, "a"}},
		},
		{
			"in a burst the last report counts",
			[]step{{0, "a b c"}, {ms, ""}, {2 * ms, "a b"}},
			[]said{{0, "a b c"}, {20 * ms, "a b"}},
		},
		{
			"it begins when the report is taken",
			[]step{{0, "a b c"}, {ms, ""}},
			[]said{{0, "a b c"}, {20 * ms, "a b c"}, {30*s + 20*ms, ""}},
		},
		{
			"a report at the very end of it",
			[]step{{0, "a b c"}, {s, ""}, {31*s - ms, "d"}},
			[]said{{0, "a b c"}, {s, "a b c"}, {31*s - ms, "a b c d"}, {31 * s, "d"}},
		},
		{
			"bad entries do not count",
			[]step{{0, "a b ! ! !"}, {s, "a"}},
			[]said{{0, "a b"}, {s, "a"}},
		},
		{
			"an entry gone bad has vanished",
			[]step{{0, "a b c"}, {s, "a b c!"}},
			[]said{{0, "a b c"}, {s, "a b"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := try(t, 30*s, script(c.steps...))
				r.until(2 * time.Hour)
				for i := range c.want {
					c.want[i].what = "set " + c.want[i].what
				}
				r.want("set", c.want...)
			})
		})
	}
}

func TestWithoutAGraceEveryReportIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, script(step{0, "a b c"}, step{s, ""}))
		r.until(time.Hour)
		r.want("set", said{0, "set a b c"}, said{s, "set "})
	})
}

// TestAnySequenceOfReportsEndsInTheLastOne lets a registry say and do anything,
// and compares each set that is taken with what it ought to be: what was said
// last, and what vanished in a mass no longer ago than the grace.
func TestAnySequenceOfReportsEndsInTheLastOne(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			o := &oracle{t: t, rand: rand.New(rand.NewPCG(seed, 3)), grace: time.Duration(seed%4) * 10 * s, held: map[string]due{}}
			o.run()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

type due struct {
	entry entry
	at    time.Time
}

// oracle is a registry that does random things, and knows what a loop ought to
// make of them.
type oracle struct {
	t     *testing.T
	rand  *rand.Rand
	grace time.Duration
	left  int // steps

	mu   sync.Mutex // guards the rest
	said []entry    // the latest report, as said
	good []entry    // without bad entries and duplicates
	used []entry    // the good of the report that was taken last
	held map[string]due
	in   []entry // the set taken last
	all  []kept
}

// kept is a set that was taken, and what it was then.
type kept struct {
	set []entry
	was string
}

func (o *oracle) run() {
	o.left = 150
	ctx, stop := context.WithCancel(o.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l := watch.Loop[entry]{
			Watch: o.watch, Key: key, Same: same, Check: check, Grace: o.grace, Apply: o.apply,
			Rejected: func(entry, error) {}, Changed: func(watch.Status, error) {},
		}
		l.Run(ctx)
	}()
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	stop()
	<-done
	if o.left > 0 {
		o.t.Errorf("%d steps are left after a day", o.left)
	}
	for _, k := range o.all {
		if words(k.set) != k.was {
			o.t.Errorf("the set %q that was handed over became %q", k.was, words(k.set))
		}
	}
	if words(o.in) != words(o.good) {
		o.t.Errorf("after a day of quiet the set is %q, the registry says %q", words(o.in), words(o.good))
	}
}

// watch reports random sets at random times until it is lost.
func (o *oracle) watch(ctx context.Context, report func([]entry)) error {
	for o.left > 0 {
		// A random number of nanoseconds: no two things happen at one instant.
		d := time.Duration(o.rand.Int64N(int64([]time.Duration{ms, 30 * ms, s, 20 * s}[o.rand.IntN(4)])))
		if err := sleep(ctx, d); err != nil {
			return err
		}
		o.left--
		if o.rand.IntN(12) == 0 {
			return errors.New("lost")
		}
		report(o.say())
		if o.rand.IntN(12) == 0 {
			return nil
		}
		if o.rand.IntN(20) == 0 {
			panic("a watcher that panics")
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// say makes the next report, somewhat like the one before.
func (o *oracle) say() []entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch o.rand.IntN(6) {
	case 0:
		o.said = nil
	case 1: // the same
	default:
		stay := o.rand.Float64()
		o.said = slices.DeleteFunc(slices.Clone(o.said), func(entry) bool { return o.rand.Float64() > stay })
		for range o.rand.IntN(4) {
			e := fmt.Sprintf("%c=%d", 'a'+o.rand.IntN(12), o.rand.IntN(2))
			if o.rand.IntN(10) == 0 {
				e += "!"
			}
			o.said = append(o.said, entry(e))
		}
	}
	o.good = nil
	for _, e := range o.said {
		if check(e) == nil && !slices.ContainsFunc(o.good, func(x entry) bool { return key(x) == key(e) }) {
			o.good = append(o.good, e)
		}
	}
	return slices.Clone(o.said)
}

// apply checks a set that the loop has taken.
func (o *oracle) apply(got []entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	has := func(set []entry, k string) bool {
		return slices.ContainsFunc(set, func(e entry) bool { return key(e) == k })
	}
	maps.DeleteFunc(o.held, func(k string, d due) bool { return has(o.good, k) || !now.Before(d.at) })
	var gone []entry
	for _, e := range o.used {
		if !has(o.good, key(e)) {
			gone = append(gone, e)
		}
	}
	if o.grace > 0 && 2*len(gone) > len(o.used) {
		for _, e := range gone {
			o.held[key(e)] = due{e, now.Add(o.grace)}
		}
	}
	want := slices.Clone(o.good)
	for _, d := range o.held {
		want = append(want, d.entry)
	}
	if words(got) != words(want) {
		o.t.Errorf("taken: %q; said: %q, held: %v", words(got), words(o.good), slices.Sorted(maps.Keys(o.held)))
	}
	o.used, o.in, o.all = o.good, got, append(o.all, kept{got, words(got)})
}
