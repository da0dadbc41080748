package outlier_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

const (
	ms = time.Millisecond
	// baseEjectionTime and maxEjectionTime are the defaults of Config.
	baseEjectionTime = 400 * ms
	maxEjectionTime  = 30 * time.Second
)

// fleet is endpoints under a detector, with a clock.
type fleet struct {
	*outlier.Detector
	cfg      outlier.Config
	members  []balance.Member
	now      time.Duration
	changes  []string // as notified, by address
	why      []error
	lasted   []time.Duration
	evidence []outlier.Evidence
	r        *rand.Rand
}

// newFleet returns a fleet of an endpoint for each weight, with the default
// configuration. The address of an endpoint is its index.
func newFleet(weights ...float64) *fleet { return newFleetWith(outlier.Config{}, weights...) }

func newFleetWith(cfg outlier.Config, weights ...float64) *fleet {
	f := &fleet{cfg: cfg, r: rand.New(rand.NewPCG(1, 2))}
	for i, w := range weights {
		f.members = append(f.members, balance.NewMember(discovery.Endpoint{Addr: fmt.Sprint(i), Weight: w}, new(load.Load)))
	}
	f.rebuild()
	f.now = time.Hour // time begins somewhere
	f.Tick(f.now)
	return f
}

// healthyFleet returns n endpoints of equal weight after ten seconds in which all
// calls succeeded.
func healthyFleet(n int) *fleet {
	f := newFleet(equal(n)...)
	f.run(10*time.Second, none)
	return f
}

func equal(n int) []float64 { return slices.Repeat([]float64{1}, n) }

// rebuild makes a detector of the present members after the present one.
func (f *fleet) rebuild() { f.Detector = outlier.New(f.cfg, f.Detector, f.members, f.notify) }

func (f *fleet) notify(n outlier.Notice) {
	f.why, f.lasted, f.evidence = append(f.why, n.Cause), append(f.lasted, n.Duration), append(f.evidence, n.Evidence)
	f.changes = append(f.changes, n.Addr+[...]string{" ejected", " readmitted", " suppressed"}[n.Change])
}

func (f *fleet) ejected(i int) bool { return f.members[i].Load().Ejected() }

func (f *fleet) ejections() (n int) {
	for i := range f.members {
		if f.ejected(i) {
			n++
		}
	}
	return n
}

func (f *fleet) report(i int, failed bool, at time.Duration) {
	o := balance.OutcomeOK
	if failed {
		o = balance.OutcomeFailure
	}
	f.Report(i, o, at)
}

// tick lets a tenth of a second pass.
func (f *fleet) tick() {
	f.now += 100 * ms
	f.Tick(f.now)
}

// run makes calls for d, a hundred a second, in turn to the endpoints that are
// in service; fails decides the outcome of each. It makes the probes that are
// due, and returns how many calls each endpoint got.
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
			if k++; !f.ejected(k % len(f.members)) {
				i = k % len(f.members)
			}
		}
		if i >= 0 {
			calls[i]++
			f.report(i, fails(i), f.now)
		}
	}
	return calls
}

// rates makes the calls to endpoint i fail with the probability rates[i].
func (f *fleet) rates(rates ...float64) func(int) bool {
	return func(i int) bool { return f.r.Float64() < rates[i] }
}

func none(int) bool { return false }

func all(int) bool { return true }

func first(i int) bool { return i == 0 }

// fail makes one call to endpoint 0 that fails, and one to each other that
// succeeds.
func (f *fleet) fail() {
	f.report(0, true, f.now)
	for i := range f.members[1:] {
		f.report(i+1, false, f.now)
	}
}

// failures makes calls to endpoint 0 fail until it is ejected, and returns how
// many that took.
func (f *fleet) failures() (n int) {
	for ; !f.ejected(0) && n < 100; n++ {
		f.fail()
	}
	return n
}

// awaitProbe ticks until a probe of endpoint 0 is due, takes it, and returns how
// long that took.
func (f *fleet) awaitProbe() time.Duration {
	begun := f.now
	for f.Probe() != 0 {
		f.tick()
	}
	return f.now - begun
}

func TestServerThatFailsIsEjectedAfterThreeCalls(t *testing.T) {
	f := healthyFleet(3)
	for k := range 3 {
		if f.ejected(0) {
			t.Errorf("ejected after %d failures", k)
		}
		f.fail()
	}
	if !f.ejected(0) || f.ejected(1) || f.ejected(2) {
		t.Errorf("the endpoint that fails is not the one that is ejected: %v", f.changes)
	}
}

func TestNotifyNamesTheAddressTheChangeAndTheCause(t *testing.T) {
	f := healthyFleet(3)
	f.run(time.Second, func(i int) bool { return i == 1 })
	f.run(10*time.Second, none)
	if want := []string{"1 ejected", "1 readmitted"}; !slices.Equal(f.changes, want) {
		t.Errorf("notified of %v, want %v", f.changes, want)
	} else if f.why[0].Error() != "3 of its last 3 calls failed, where 0.2 % is usual" || f.lasted[0] < 300*ms || f.lasted[0] > 400*ms ||
		f.why[1].Error() != "2 probes were answered" || f.lasted[1] < 300*ms || f.lasted[1] > 2*time.Second {
		t.Errorf("the causes are %v, after %v", f.why, f.lasted)
	} else if out, back := f.evidence[0], f.evidence[1]; out.Calls != 3 || out.Failures != 3 || out.Likelihood < 1e7 || out.Baseline != 0.002 ||
		out.Probes != 0 || back.Probes < 2 || back.Failures < 3 {
		t.Errorf("the evidence is %+v and %+v", out, back)
	}
	f.changes = nil
	for _, i := range []int{1, 2} {
		f.members[i].Load().SetDown(true) // two of three are out of service already
	}
	f.Detector = outlier.New(f.cfg, nil, f.members, f.notify)
	for f.now += ms; len(f.changes) == 0 && f.now < 2*time.Hour; f.now += 100 * ms {
		f.fail()
	}
	if want := []string{"0 suppressed"}; !slices.Equal(f.changes, want) {
		t.Errorf("notified of %v, want %v", f.changes, want)
	}
}

func TestOutcomesOtherThanOKAndFailureSayNothing(t *testing.T) {
	f := healthyFleet(3)
	for range 100 {
		for _, o := range []balance.Outcome{
			balance.OutcomeOverload, balance.OutcomeNeutral, balance.OutcomeCanceled, balance.OutcomeDialFailure, balance.Outcome(99),
		} {
			f.Report(0, o, f.now)
			f.report(1, false, f.now)
			f.report(2, false, f.now)
		}
	}
	if f.Failing(0) || len(f.changes) > 0 {
		t.Errorf("endpoint 0 counts as failing: %v, changes %v", f.Failing(0), f.changes)
	}
	if n := f.failures(); n != 3 {
		t.Errorf("ejected after %d failures, want 3", n)
	}
}

func TestFailingIsWhatFailedItsLastCall(t *testing.T) {
	f := healthyFleet(3)
	if f.Failing(0) {
		t.Error("a healthy endpoint counts as failing")
	}
	f.report(0, true, f.now)
	if !f.Failing(0) || f.Failing(1) {
		t.Errorf("after one failure of endpoint 0: failing %v, %v", f.Failing(0), f.Failing(1))
	}
	f.report(0, false, f.now)
	if f.Failing(0) {
		t.Error("it still counts as failing after a success")
	}
	f.failures()
	if f.Failing(0) {
		t.Error("an ejected endpoint is not in service, hence none that fails")
	}
	if f.Failing(-1) || f.Failing(3) {
		t.Error("an index out of range counts as failing")
	}
}

func TestFailuresOfTheWholeFleetAreForgotten(t *testing.T) {
	troubled := func(peace time.Duration) int {
		f := newFleet(equal(5)...)
		f.run(time.Minute, none)
		f.run(30*time.Second, f.rates(0.2, 0.2, 0.2, 0.2, 0.2))
		f.Readmit(0, f.now) // should chance have ejected it
		f.run(peace, none)
		return f.failures()
	}
	soon, later, late := troubled(time.Second), troubled(30*time.Second), troubled(5*time.Minute)
	if soon <= later || later <= late || late != 3 {
		t.Errorf("1 s, 30 s and 5 min after a time in which every fifth call failed it is ejected after %d, %d and %d failures, want ever fewer, and 3",
			soon, later, late)
	}
}

// The cost of a call that timed out keeps all others away; only an ejected
// server is probed on time.
func TestServerThatIsShunnedForOneFailureIsEjected(t *testing.T) {
	for _, c := range []struct {
		name  string
		cost  uint64
		calls int // that the others get in 100 ms
		found int // the one of these that is a success of the server; -1 is none
		want  bool
	}{
		{"many calls went elsewhere", 1000, 50, -1, true},
		{"its turn has not come yet", 1000, 5, -1, false},
		{"it has answered since", 1000, 50, 0, false},
		{"its cost is too low to keep calls away", 700, 50, -1, false},
		{"the balancer knows no costs", 0, 50, -1, false},
	} {
		f := newFleet(equal(3)...)
		for i, cost := range []uint64{c.cost, 100, 100} {
			f.members[i].Load().Cost.Store(min(c.cost, cost))
		}
		f.run(10*time.Second, none)
		f.report(0, true, f.now)
		for k := range c.calls {
			f.report(1+k%2, false, f.now+ms)
			if k == c.found {
				f.report(0, false, f.now+ms)
			}
		}
		f.tick() // may still count what came before the failure
		f.now += 300 * ms
		for k := range c.calls {
			f.report(1+k%2, false, f.now)
		}
		f.Tick(f.now)
		if f.ejected(0) != c.want || f.ejected(1) || f.ejected(2) {
			t.Errorf("%s: changes %v", c.name, f.changes)
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
		for !f.ejected(0) {
			n++
			f.report(0, f.r.Float64() < 0.3, f.now)
			for i := 1; i < 5; i++ {
				f.report(i, false, f.now)
			}
			if f.now += 50 * ms; f.now%(100*ms) == 0 {
				f.Tick(f.now)
			}
			if n > 1000 {
				t.Fatal("a server that fails every third call stays in service")
			}
		}
		total += n
	}
	if total > 100*60 {
		t.Errorf("the ejection took %d calls on average, want a few tens", total/100)
	}
}

func TestServersThatFailAsOftenAsTheOthersStay(t *testing.T) {
	for _, rate := range []float64{0.001, 0.01, 0.1, 0.3} {
		f := newFleet(equal(10)...)
		f.run(5*time.Second, f.rates(slices.Repeat([]float64{0.001}, 10)...))
		for to := 0.001; to < rate; to *= 1.1 { // not all of a sudden
			f.run(20*time.Second, f.rates(slices.Repeat([]float64{to}, 10)...))
		}
		f.changes = nil
		f.run(10*time.Minute, f.rates(slices.Repeat([]float64{rate}, 10)...))
		if len(f.changes) > 0 {
			t.Errorf("at a failure rate of %v, in 60,000 calls: %v", rate, f.changes)
		}
	}
}

func TestNobodyIsEjectedWhenAllFail(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 100} {
		f := healthyFleet(n)
		f.run(20*time.Second, all)
		if k := f.ejections(); k > 0 {
			t.Errorf("%d of %d are ejected: %v", k, n, f.changes)
		}
	}
}

func TestNobodyIsEjectedForAnOutageOfAllOnceTheOthersAreHealthy(t *testing.T) {
	f := healthyFleet(5)
	f.run(12*time.Second, all)
	for range 20 { // the last of them costs so much that nobody calls it yet
		for range 50 {
			for i := range 4 {
				f.report(i, false, f.now)
			}
		}
		f.tick()
	}
	if len(f.changes) > 0 {
		t.Errorf("after all were healthy again: %v", f.changes)
	}
}

func TestNoMoreThanTheMaxEjectionPercentIsEjected(t *testing.T) {
	for _, c := range []struct {
		percent      int
		weights      []float64
		failing, max int // endpoints that fail, and how many of them are ejected at most
	}{
		{0, equal(10), 5, 5},
		{0, equal(10), 7, 0}, // most of the others fail too
		{0, equal(3), 2, 1},
		{0, equal(2), 1, 1},
		{0, equal(1), 1, 0},
		{0, []float64{3, 1, 1}, 1, 0},
		{0, []float64{1, 1, 3}, 2, 2},
		{20, equal(10), 5, 2},
		{99, equal(10), 4, 4},
		{1, equal(10), 1, 0},
	} {
		f := newFleetWith(outlier.Config{MaxEjectionPercent: c.percent}, c.weights...)
		f.run(10*time.Second, none)
		reached := 0
		f.run(time.Minute, func(i int) bool {
			reached = max(reached, f.ejections())
			return i < c.failing
		})
		if reached != c.max {
			t.Errorf("%d %%, weights %v: with %d that fail up to %d are ejected, want %d", c.percent, c.weights, c.failing, reached, c.max)
		}
	}
}

// One after the other, so that each of them is the exception when it fails.
func TestDefaultMaxEjectionPercentIsHalfOfTheWeight(t *testing.T) {
	f := healthyFleet(10)
	for failing := range 7 {
		f.run(10*time.Second, func(i int) bool { return i <= failing })
		if n := f.ejections(); n > 5 || failing < 5 && n != failing+1 {
			t.Errorf("of %d that fail %d are ejected, want at most 5: %v", failing+1, n, f.changes)
		}
	}
}

func TestExtremeWeightsLeaveEnoughInService(t *testing.T) {
	most, least := math.MaxFloat64, math.SmallestNonzeroFloat64
	for _, weights := range [][]float64{
		{most, most, most}, {most, most, most, most}, {least, least, least}, {least, 1, most}, {least, least, most, most},
	} {
		f := newFleet(weights...)
		f.run(10*time.Second, none)
		f.run(time.Minute, func(i int) bool {
			in, total, heaviest := 0.0, 0.0, slices.Max(weights)
			for k, w := range weights {
				total += w / heaviest
				if !f.ejected(k) {
					in += w / heaviest
				}
			}
			if in < total/2*(1-1e-6) {
				t.Fatalf("weights %v: less than half of them is in service: %v", weights, f.changes)
			}
			return i > 0
		})
	}
}

func TestOneOfTenThousandIsEjected(t *testing.T) {
	f := newFleet(equal(10_000)...)
	f.run(time.Second, none)
	for range 3 {
		f.report(7, true, f.now)
		for i := 100; i < 110; i++ {
			f.report(i, false, f.now)
		}
		f.tick()
	}
	if len(f.changes) != 1 || f.changes[0] != "7 ejected" {
		t.Errorf("changes %v", f.changes)
	}
}

func TestWhatTheLastDetectorLearnsStillCounts(t *testing.T) {
	f := healthyFleet(2)
	f.report(1, true, f.now)
	last := f.Detector
	f.rebuild()
	for range 10 {
		last.Report(1, balance.OutcomeOK, f.now) // calls that were under way
	}
	f.run(time.Second, none)
	f.run(time.Second, first)
	if !f.ejected(0) {
		t.Error("a server that fails stays in service, since the other counts as failing too")
	}
}

func TestRecordsOutliveTheDetector(t *testing.T) {
	f := healthyFleet(4)
	f.run(time.Second, func(i int) bool { return i == 2 })
	f.members = f.members[1:] // another leaves, and indices move
	f.rebuild()
	if !f.ejected(1) {
		t.Error("an ejected server is in service because another left")
	}
	calls := f.run(10*time.Second, none)
	if f.ejected(1) || calls[1] == 0 {
		t.Error("it is not readmitted")
	}
	if want := []string{"2 ejected", "2 readmitted"}; !slices.Equal(f.changes, want) {
		t.Errorf("changes %v, want %v", f.changes, want)
	}
}

func TestEjectionByTheLastDetectorIsKnownToTheNext(t *testing.T) {
	f := newFleet(equal(4)...)
	last := f.Detector
	f.rebuild() // before anything was reported
	for range 100 {
		for i := range f.members { // calls that were under way
			last.Report(i, [...]balance.Outcome{balance.OutcomeFailure, balance.OutcomeOK, balance.OutcomeOK, balance.OutcomeOK}[i], f.now)
		}
	}
	if !f.ejected(0) {
		t.Fatal("an endpoint that fails stays in service")
	}
	if calls := f.run(10*time.Second, none); f.ejected(0) || calls[0] == 0 {
		t.Errorf("it is not probed and readmitted, after %d calls", calls[0])
	}
}

func TestReportsOfUnknownIndicesDoNothing(t *testing.T) {
	f := newFleet(equal(2)...)
	for _, i := range []int{-1, 2, math.MaxInt, math.MinInt} {
		for range 10 {
			f.report(i, true, f.now)
		}
	}
	newFleet().report(0, true, 0)
	if len(f.changes) > 0 {
		t.Errorf("changes %v", f.changes)
	}
}

func TestDetectorMayBeUsedByManyAtOnce(t *testing.T) {
	f := newFleet(equal(8)...)
	f.Detector = outlier.New(f.cfg, nil, f.members, func(outlier.Notice) {})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			for k := range 20_000 {
				i := f.Probe()
				if i < 0 {
					i = r.IntN(8)
				}
				f.report(i, i < 3 && r.IntN(2) == 0, time.Duration(k)*ms)
			}
		})
	}
	wg.Go(func() {
		for k := range 200 {
			f.Tick(time.Duration(k) * 100 * ms)
		}
	})
	wg.Wait()
	for k := range 10_000 { // all are healthy
		now := 20*time.Second + time.Duration(k)*10*ms
		f.Tick(now)
		for i := f.Probe(); i >= 0; i = f.Probe() {
			f.report(i, false, now)
		}
	}
	for i := range f.members {
		if f.ejected(i) {
			t.Errorf("endpoint %d is not readmitted", i)
		}
	}
}

func TestReportDoesNotAllocate(t *testing.T) {
	f := newFleet(equal(3)...)
	if n := testing.AllocsPerRun(100, func() { f.report(0, false, f.now); f.report(1, true, f.now); f.Probe() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
