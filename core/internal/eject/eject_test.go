package eject_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/eject"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

const ms = time.Millisecond

// fleet is servers under an ejector, with a clock.
type fleet struct {
	*eject.Ejector
	cfg     eject.Config
	members []eject.Member
	now     time.Duration
	told    []string
	r       *rand.Rand
}

func newFleet(weights ...float64) *fleet { return with(func(*eject.Config) {}, weights...) }

// with returns one that has other parameters.
func with(change func(c *eject.Config), weights ...float64) *fleet {
	f := &fleet{cfg: eject.Default(), r: rand.New(rand.NewPCG(1, 2))}
	change(&f.cfg)
	for _, w := range weights {
		f.members = append(f.members, eject.Member{Weight: w, Load: new(slots.Load)})
	}
	f.renew()
	f.now = time.Hour // time begins somewhere
	f.Tick(f.now)
	return f
}

func equal(n int) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

// renew makes an ejector of the members there are now.
func (f *fleet) renew() { f.Ejector = eject.New(f.cfg, f.Ejector, f.members, f.tell) }

func (f *fleet) tell(l *slots.Load, c eject.Change) {
	for i, m := range f.members {
		if m.Load == l {
			f.told = append(f.told, fmt.Sprint(i, [...]string{" ejected", " readmitted", " spared"}[c]))
		}
	}
}

func (f *fleet) out(i int) bool { return f.members[i].Load.Ejected() }

// run makes calls for d, a hundred a second in turn to those that are in
// service; fails says what comes of each. It obeys the probes, and returns how
// many calls each server got.
func (f *fleet) run(d time.Duration, fails func(i int) bool) []int {
	calls := make([]int, len(f.members))
	k := 0
	for end := f.now + d; f.now < end; f.now += 10 * ms {
		if f.now%(100*ms) == 0 {
			f.Tick(f.now)
		}
		i := f.Probe()
		for range f.members {
			if i >= 0 {
				break
			}
			if k++; !f.out(k % len(f.members)) {
				i = k % len(f.members)
			}
		}
		if i >= 0 {
			calls[i]++
			f.Report(i, fails(i), f.now)
		}
	}
	return calls
}

func (f *fleet) chance(rates ...float64) func(int) bool {
	return func(i int) bool { return f.r.Float64() < rates[i] }
}

func none(int) bool { return false }

// fail makes a call to server 0 fail while the others answer.
func (f *fleet) fail() {
	f.Report(0, true, f.now)
	for i := range f.members[1:] {
		f.Report(i+1, false, f.now)
	}
}

func TestServerThatFailsIsEjectedAfterThreeCalls(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	for k := range 3 {
		if f.out(0) {
			t.Errorf("ejected after %d failures", k)
		}
		f.fail()
	}
	if !f.out(0) || f.out(1) || f.out(2) {
		t.Error("it is not the one that is ejected")
	}
}

func TestParametersDoWhatTheyAreFor(t *testing.T) {
	peaceful := func(change func(c *eject.Config)) *fleet {
		f := with(change, equal(5)...)
		f.run(time.Minute, none)
		return f
	}
	failures := func(f *fleet) (n int) {
		for ; !f.out(0) && n < 100; n++ {
			f.fail()
		}
		return n
	}
	for normal, want := range map[float64]int{0.002: 3, 0.05: 7, 0.2: 15} { // ln 1e7 over ln (1+p0)/2/p0
		f := peaceful(func(c *eject.Config) { c.Normal = normal })
		if n := failures(f); n != want {
			t.Errorf("where %g is normal it is out after %d failures, want %d", normal, n, want)
		}
	}
	forgetful := failures(troubled(peaceful(func(c *eject.Config) { c.Window = 5 * time.Second })))
	if n := failures(troubled(peaceful(func(c *eject.Config) { c.Window = time.Hour }))); n <= forgetful {
		t.Errorf("half a minute after a time in which all failed it is out after %d failures, with a long memory after %d", forgetful, n)
	}
	for _, successes := range []int{1, 2, 5} {
		f := peaceful(func(c *eject.Config) { c.Successes = successes })
		failures(f)
		for n := 0; f.out(0); n += f.run(10*ms, none)[0] {
			if n >= successes {
				t.Errorf("it is out after %d successes, want it back after %d", n, successes)
				break
			}
		}
	}
}

// troubled returns f after a time in which every fifth call failed, and half a
// minute of peace.
func troubled(f *fleet) *fleet {
	f.run(30*time.Second, f.chance(0.2, 0.2, 0.2, 0.2, 0.2))
	f.run(30*time.Second, none)
	return f
}

// The price of a call that timed out keeps all others away; only an ejected
// server is tried on time.
func TestServerThatIsShunnedForOneFailureIsEjected(t *testing.T) {
	for _, c := range []struct {
		name  string
		price uint64
		calls int // that the others get in 100 ms
		found int // of these goes to the server and is answered
		want  bool
	}{
		{"many calls went elsewhere", 1000, 50, -1, true},
		{"it is not its turn yet", 1000, 5, -1, false},
		{"it has answered since", 1000, 50, 0, false},
		{"it is not so dear that it will get no call", 700, 50, -1, false},
		{"the picker has no prices", 0, 50, -1, false},
	} {
		f := newFleet(equal(3)...)
		for i, price := range []uint64{c.price, 100, 100} {
			f.members[i].Load.Cost.Store(min(c.price, price))
		}
		f.run(10*time.Second, none)
		f.Report(0, true, f.now)
		for k := range c.calls {
			f.Report(1+k%2, false, f.now+ms)
			if k == c.found {
				f.Report(0, false, f.now+ms)
			}
		}
		f.now += 100 * ms
		f.Tick(f.now) // may still count what came before the failure
		f.now += 300 * ms
		for k := range c.calls {
			f.Report(1+k%2, false, f.now)
		}
		f.Tick(f.now)
		if f.out(0) != c.want || f.out(1) || f.out(2) {
			t.Errorf("%s: told %v", c.name, f.told)
		}
	}
}

func TestServerThatFailsNowAndThenIsEjected(t *testing.T) {
	total := 0
	for seed := range uint64(100) {
		f := newFleet(equal(5)...)
		f.r = rand.New(rand.NewPCG(seed, 3))
		f.run(10*time.Second, none)
		n := 0
		for !f.out(0) {
			n++
			f.Report(0, f.r.Float64() < 0.3, f.now)
			for i := 1; i < 5; i++ {
				f.Report(i, false, f.now)
			}
			if f.now += 50 * ms; f.now%(100*ms) == 0 {
				f.Tick(f.now)
			}
			if n > 1000 {
				t.Fatal("a server that fails every third call stays")
			}
		}
		total += n
	}
	if total > 100*60 {
		t.Errorf("it took %d calls, want a few tens", total/100)
	}
}

func TestServersThatFailAsOftenAsTheOthersStay(t *testing.T) {
	for _, rate := range []float64{0.001, 0.01, 0.1, 0.3} {
		f := newFleet(equal(10)...)
		f.run(5*time.Second, f.chance(0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001))
		for to := 0.001; to < rate; to *= 1.1 { // not all of a sudden
			f.run(20*time.Second, f.chance(to, to, to, to, to, to, to, to, to, to))
		}
		f.told = nil
		f.run(10*time.Minute, f.chance(rate, rate, rate, rate, rate, rate, rate, rate, rate, rate))
		if len(f.told) > 0 {
			t.Errorf("at an error rate of %v, in 60,000 calls: %v", rate, f.told)
		}
	}
}

func TestNobodyIsEjectedWhenAllFail(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 100} {
		f := newFleet(equal(n)...)
		f.run(10*time.Second, none)
		f.run(20*time.Second, func(int) bool { return true })
		ejected := 0
		for i := range n {
			if f.out(i) {
				ejected++
			}
		}
		if ejected > 0 {
			t.Errorf("%d of %d are out: %v", ejected, n, f.told)
		}
	}
}

func TestNobodyIsEjectedForWhatHappenedToAllWhenTheOthersAreWell(t *testing.T) {
	f := newFleet(equal(5)...)
	f.run(10*time.Second, none)
	f.run(12*time.Second, func(int) bool { return true })
	for range 20 { // so dear is the last of them that nobody calls it yet
		for range 50 {
			for i := range 4 {
				f.Report(i, false, f.now)
			}
		}
		f.now += 100 * ms
		f.Tick(f.now)
	}
	if len(f.told) > 0 {
		t.Errorf("after all were well again: %v", f.told)
	}
}

func TestTryThatTakesLongToFailIsFollowedByARestAsLong(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	for range 3 {
		f.fail()
	}
	for range 3 {
		for f.Probe() != 0 {
			f.now += 100 * ms
			f.Tick(f.now)
		}
		f.now += 2 * time.Second // until it fails
		f.Report(0, true, f.now)
		failed := f.now
		for f.Probe() != 0 {
			f.now += 100 * ms
			f.Tick(f.now)
		}
		if rest := f.now - failed; rest < 2*time.Second {
			t.Errorf("a try that took 2 s is followed by another after %v", rest)
		}
		f.Report(0, true, f.now)
	}
}

// TestTriesThatWereCancelledAreNoPartOfTheRest: a hedged call that is given up
// says nothing of the server.
func TestTriesThatWereCancelledAreNoPartOfTheRest(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	for range 3 {
		f.fail()
	}
	tries := 0
	for range 20 {
		if f.now += 100 * ms; f.Probe() == 0 {
			tries++
		}
		f.Tick(f.now)
	}
	for f.Probe() != 0 {
		f.now += 100 * ms
		f.Tick(f.now)
	}
	f.now += ms
	f.Report(0, true, f.now)
	if tries < 10 {
		t.Fatalf("%d tries without an outcome", tries)
	}
	f.wantTry(t, f.cfg.Shortest+100*ms)
}

// TestCallFromBeforeIsNoTry: it fails when the server is about to be tried.
func TestCallFromBeforeIsNoTry(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	f.members[0].Load.Reserve() // hangs since before
	for range 3 {
		f.fail()
	}
	for range 6 {
		f.now += 100 * ms
		f.Tick(f.now)
	}
	f.members[0].Load.Unreserve()
	f.Report(0, true, f.now)
	f.wantTry(t, 800*ms)
}

func TestTryThatWaitedForACallerIsNotSlow(t *testing.T) {
	f := with(func(c *eject.Config) { c.Shortest = 5 * time.Second }, equal(3)...)
	f.run(10*time.Second, none)
	for range 3 {
		f.fail()
	}
	for range 350 { // nobody calls
		f.now += 100 * ms
		f.Tick(f.now)
	}
	if f.Probe() != 0 {
		t.Fatal("it is not to be tried")
	}
	f.now += ms
	f.Report(0, true, f.now)
	f.wantTry(t, f.cfg.Shortest+100*ms)
}

// wantTry fails the test unless server 0 is to be tried within d.
func (f *fleet) wantTry(t *testing.T, d time.Duration) {
	t.Helper()
	failed := f.now
	for f.Probe() != 0 {
		f.now += 100 * ms
		f.Tick(f.now)
	}
	if rest := f.now - failed; rest > d {
		t.Errorf("it is tried again after %v, want at most %v", rest, d)
	}
}

// TestEndOfAShortOutageIsNoticedSoonAndALongOneIsTriedSeldom also says how many
// calls an outage costs.
func TestEndOfAShortOutageIsNoticedSoonAndALongOneIsTriedSeldom(t *testing.T) {
	for _, c := range []struct {
		outage, late time.Duration
		tries        int
	}{{time.Second, 500 * ms, 4}, {3 * time.Second, 500 * ms, 11}, {30 * time.Second, 31 * time.Second, 16}, {5 * time.Minute, 31 * time.Second, 26}} {
		f := newFleet(equal(3)...)
		f.run(10*time.Second, none)
		calls := f.run(c.outage, func(i int) bool { return i == 0 })[0]
		if !f.out(0) || calls > 3+c.tries {
			t.Errorf("in %v a server that fails got %d calls, want at most %d", c.outage, calls, 3+c.tries)
		}
		well := f.now
		for f.out(0) && f.now < well+time.Hour {
			f.run(10*ms, none)
		}
		if late := f.now - well; late > c.late {
			t.Errorf("after %v it came back %v late", c.outage, late)
		}
	}
}

func TestNoMoreThanTheShareIsOut(t *testing.T) {
	for _, c := range []struct {
		weights   []float64
		bad, most int
	}{
		{equal(10), 5, 5},
		{equal(10), 7, 5},
		{equal(3), 2, 1},
		{equal(2), 1, 1},
		{equal(1), 1, 0},
		{[]float64{3, 1, 1}, 1, 0},
		{[]float64{1, 1, 3}, 2, 2},
	} {
		f := newFleet(c.weights...)
		f.run(10*time.Second, none)
		f.run(time.Minute, func(i int) bool {
			out := 0
			for k := range f.members {
				if f.out(k) {
					out++
				}
			}
			if out > c.most {
				t.Fatalf("weights %v: %d are out, at most %d may be", c.weights, out, c.most)
			}
			return i < c.bad
		})
	}
}

func TestAbsurdWeightsLeaveSomebodyInService(t *testing.T) {
	most, least := math.MaxFloat64, math.SmallestNonzeroFloat64
	for _, weights := range [][]float64{
		{most, most, most}, {most, most, most, most}, {least, least, least}, {least, 1, most}, {least, least, most, most},
	} {
		f := newFleet(weights...)
		f.run(10*time.Second, none)
		f.run(time.Minute, func(i int) bool {
			in, all, heaviest := 0.0, 0.0, slices.Max(weights)
			for k, w := range weights {
				all += w / heaviest
				if !f.out(k) {
					in += w / heaviest
				}
			}
			if in < all/2*(1-1e-6) {
				t.Fatalf("weights %v: less than half of them is in service: %v", weights, f.told)
			}
			return i > 0
		})
	}
}

func TestServerThatFlapsIsOutMostOfTheTime(t *testing.T) {
	f := newFleet(equal(4)...)
	f.run(10*time.Second, none)
	calls, ejected := 0, 0
	for range 30 { // five minutes, half of which it fails
		calls += f.run(5*time.Second, func(i int) bool { return i == 0 })[0]
		if f.out(0) {
			ejected++
		}
		f.run(5*time.Second, none)
	}
	if calls > 30*12 || ejected < 29 {
		t.Errorf("in 150 s in which it fails it got %d calls, and was out at the end of %d of 30 such times", calls, ejected)
	}
}

func TestOneOfTenThousandIsEjected(t *testing.T) {
	f := newFleet(equal(10_000)...)
	f.run(time.Second, none)
	for range 3 {
		f.Report(7, true, f.now)
		for i := 100; i < 110; i++ {
			f.Report(i, false, f.now)
		}
		f.now += 100 * ms
		f.Tick(f.now)
	}
	if len(f.told) != 1 || f.told[0] != "7 ejected" {
		t.Errorf("told %v", f.told)
	}
}

func TestAllComeBackWhenTooManyAreOut(t *testing.T) {
	f := newFleet(equal(4)...)
	f.run(10*time.Second, none)
	f.run(time.Second, func(i int) bool { return i == 0 })
	if !f.out(0) {
		t.Fatal("a server that fails is not ejected")
	}
	f.members[1].Load.SetDown(true)
	f.run(200*ms, func(i int) bool { return i == 0 })
	if f.told[len(f.told)-1] != "0 ejected" {
		t.Errorf("with half of them out: %v", f.told)
	}
	f.members[2].Load.SetDown(true)
	f.Tick(f.now + 100*ms)
	if f.out(0) {
		t.Error("with three of four out the fourth has to do it all")
	}
}

func TestEjectedServerIsTriedWithSingleCallsAndReturnsAfterTwo(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	f.run(time.Second, func(i int) bool { return i == 0 })
	begun := f.now
	calls := f.run(time.Minute, func(i int) bool { return i == 0 })
	if calls[0] == 0 || calls[0] > 20 || !f.out(0) {
		t.Errorf("in a minute an ejected server got %d calls; it is out: %v", calls[0], f.out(0))
	}
	outage := f.now - begun
	n := 0
	for f.out(0) {
		n += f.run(10*ms, none)[0]
		if f.now-begun > 2*outage {
			t.Fatal("it does not return")
		}
	}
	if late := f.now - begun - outage; n != 2 || late > f.cfg.Longest+100*ms {
		t.Errorf("it came back %v after an outage of %v, after %d calls", late, outage, n)
	}
}

func TestNoSecondCallTriesAnEjectedServerWhileOneIsUnderWay(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	for range 3 {
		f.fail()
	}
	if !f.out(0) {
		t.Fatal("it is not ejected")
	}
	for f.Probe() != 0 {
		f.now += 100 * ms
		f.Tick(f.now)
	}
	f.members[0].Load.Reserve() // the call
	for range 100 {
		f.now += 100 * ms
		if f.Tick(f.now); f.Probe() >= 0 {
			t.Fatal("a second call is to try it")
		}
	}
	f.members[0].Load.Unreserve() // it ended without telling
	f.now += 100 * ms
	if f.Tick(f.now); f.Probe() != 0 {
		t.Error("after a call that told nothing no other is to try it")
	}
}

func TestServerThatFailsAgainIsSoonOutAgainAndForLonger(t *testing.T) {
	f := newFleet(equal(3)...)
	f.run(10*time.Second, none)
	f.run(8*time.Second, func(i int) bool { return i == 0 })
	for f.out(0) {
		f.run(10*ms, none)
	}
	n := 0
	for !f.out(0) {
		f.fail()
		n++
	}
	begun := f.now
	for f.Probe() < 0 {
		f.now += 10 * ms
		if f.now%(100*ms) == 0 {
			f.Tick(f.now)
		}
	}
	if n != 2 || f.now-begun < 700*ms {
		t.Errorf("it was out after %d calls, for %v", n, f.now-begun)
	}
}

func TestWhatTheLastEjectorHearsStillCounts(t *testing.T) {
	f := newFleet(equal(2)...)
	f.run(10*time.Second, none)
	f.Report(1, true, f.now)
	last := f.Ejector
	f.renew()
	for range 10 {
		last.Report(1, false, f.now) // calls that were under way
	}
	f.run(time.Second, none)
	f.run(time.Second, func(i int) bool { return i == 0 })
	if !f.out(0) {
		t.Error("a server that fails stays, since the other is thought to fail too")
	}
}

func TestRecordsOutliveTheEjector(t *testing.T) {
	f := newFleet(equal(4)...)
	f.run(10*time.Second, none)
	f.run(time.Second, func(i int) bool { return i == 2 })
	f.members = f.members[1:] // another leaves, and indices move
	f.renew()
	if !f.out(1) {
		t.Error("an ejected server is in service because another left")
	}
	calls := f.run(10*time.Second, none)
	if f.out(1) || calls[1] == 0 {
		t.Error("it does not return")
	}
}

func TestReportsOfServersThatAreNotThereDoNothing(t *testing.T) {
	f := newFleet(equal(2)...)
	for _, i := range []int{-1, 2, math.MaxInt, math.MinInt} {
		for range 10 {
			f.Report(i, true, f.now)
		}
	}
	newFleet().Report(0, true, 0)
	if len(f.told) > 0 {
		t.Errorf("told %v", f.told)
	}
}

func TestManyAtOnce(t *testing.T) {
	f := newFleet(equal(8)...)
	f.Ejector = eject.New(f.cfg, nil, f.members, func(*slots.Load, eject.Change) {})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			for k := range 20_000 {
				i := f.Probe()
				if i < 0 {
					i = r.IntN(8)
				}
				f.Report(i, i < 3 && r.IntN(2) == 0, time.Duration(k)*ms)
			}
		})
	}
	wg.Go(func() {
		for k := range 200 {
			f.Tick(time.Duration(k) * 100 * ms)
		}
	})
	wg.Wait()
	for k := range 10_000 { // all are well
		now := 20*time.Second + time.Duration(k)*10*ms
		f.Tick(now)
		for i := f.Probe(); i >= 0; i = f.Probe() {
			f.Report(i, false, now)
		}
	}
	for i := range f.members {
		if f.out(i) {
			t.Errorf("%d does not return", i)
		}
	}
}

func TestReportOfASuccessDoesNotAllocate(t *testing.T) {
	f := newFleet(equal(3)...)
	if n := testing.AllocsPerRun(100, func() { f.Report(0, false, f.now); f.Report(1, true, f.now); f.Probe() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
