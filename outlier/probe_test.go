package outlier_test

import (
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/outlier"
)

func TestProbeThatTakesLongToFailIsFollowedByAPauseAsLong(t *testing.T) {
	f := healthyFleet(3)
	f.failures()
	for range 3 {
		f.awaitProbe()
		f.now += 2 * time.Second // until it fails
		f.report(0, true, f.now)
		if pause := f.awaitProbe(); pause < 2*time.Second {
			t.Errorf("a probe that took 2 s is followed by another after %v", pause)
		}
		f.report(0, true, f.now)
	}
}

// A hedged call that is canceled says nothing of the server.
func TestProbesThatWereCanceledDoNotLengthenThePause(t *testing.T) {
	f := healthyFleet(3)
	f.failures()
	probes := 0
	for range 20 {
		if f.now += 100 * ms; f.Probe() == 0 {
			probes++
		}
		f.Tick(f.now)
	}
	f.awaitProbe()
	f.now += ms
	f.report(0, true, f.now)
	if probes < 10 {
		t.Fatalf("%d probes without an outcome", probes)
	}
	f.wantProbeWithin(t, baseEjectionTime+100*ms)
}

// It fails when a probe is about to be due.
func TestCallFromBeforeTheEjectionIsNoProbe(t *testing.T) {
	f := healthyFleet(3)
	f.members[0].Load().Reserve() // hangs since before
	f.failures()
	for range 6 {
		f.tick()
	}
	f.members[0].Load().Unreserve()
	f.report(0, true, f.now)
	f.wantProbeWithin(t, 800*ms)
}

func TestProbeThatWaitedForACallerIsNotSlow(t *testing.T) {
	f := newFleetWith(outlier.Config{BaseEjectionTime: 5 * time.Second}, equal(3)...)
	f.run(10*time.Second, none)
	f.failures()
	for range 350 { // nobody calls
		f.tick()
	}
	if f.Probe() != 0 {
		t.Fatal("no probe is due")
	}
	f.now += ms
	f.report(0, true, f.now)
	f.wantProbeWithin(t, f.cfg.BaseEjectionTime+100*ms)
}

// wantProbeWithin fails the test unless a probe of endpoint 0 is due within d.
func (f *fleet) wantProbeWithin(t *testing.T, d time.Duration) {
	t.Helper()
	if pause := f.awaitProbe(); pause > d {
		t.Errorf("the next probe is due after %v, want at most %v", pause, d)
	}
}

// It also bounds how many calls an outage costs.
func TestEndOfAShortOutageIsNoticedSoonAndALongOneIsProbedSeldom(t *testing.T) {
	for _, c := range []struct {
		outage, late time.Duration
		probes       int
	}{{time.Second, 500 * ms, 4}, {3 * time.Second, 500 * ms, 11}, {30 * time.Second, 31 * time.Second, 16}, {5 * time.Minute, 31 * time.Second, 26}} {
		f := healthyFleet(3)
		calls := f.run(c.outage, first)[0]
		if !f.ejected(0) || calls > 3+c.probes {
			t.Errorf("in %v a server that fails got %d calls, want at most %d", c.outage, calls, 3+c.probes)
		}
		healthy := f.now
		for f.ejected(0) && f.now < healthy+time.Hour {
			f.run(10*ms, none)
		}
		if late := f.now - healthy; late > c.late {
			t.Errorf("after an outage of %v it is readmitted %v late", c.outage, late)
		}
	}
}

func TestMaxEjectionTimeBoundsThePauseOfALongOutage(t *testing.T) {
	for _, c := range []struct {
		cfg  outlier.Config
		most time.Duration
	}{
		{outlier.Config{}, maxEjectionTime},
		{outlier.Config{MaxEjectionTime: 5 * time.Second}, 5 * time.Second},
		{outlier.Config{BaseEjectionTime: time.Minute}, time.Minute}, // the default is no shorter
	} {
		f := newFleetWith(c.cfg, equal(3)...)
		f.run(10*time.Second, none)
		f.failures()
		longest := time.Duration(0)
		for end := f.now + time.Hour; f.now < end; {
			longest = max(longest, f.awaitProbe())
			f.report(0, true, f.now)
		}
		if longest < c.most*3/4 || longest > c.most+100*ms {
			t.Errorf("%+v: in an outage of an hour the longest time between probes is %v, want %v", c.cfg, longest, c.most)
		}
	}
}

func TestServerThatFlapsIsEjectedMostOfTheTime(t *testing.T) {
	f := healthyFleet(4)
	calls, ejected := 0, 0
	for range 30 { // five minutes, half of which it fails
		calls += f.run(5*time.Second, first)[0]
		if f.ejected(0) {
			ejected++
		}
		f.run(5*time.Second, none)
	}
	if calls > 30*12 || ejected < 29 {
		t.Errorf("in 150 s in which it fails it got %d calls, and was ejected at the end of %d of 30 such times", calls, ejected)
	}
}

func TestAllAreReadmittedWhenTooManyAreOutOfService(t *testing.T) {
	f := healthyFleet(4)
	f.run(time.Second, first)
	if !f.ejected(0) {
		t.Fatal("a server that fails is not ejected")
	}
	f.members[1].Load().SetDown(true)
	f.run(200*ms, first)
	if f.changes[len(f.changes)-1] != "0 ejected" {
		t.Errorf("with half of them out of service: %v", f.changes)
	}
	f.members[2].Load().SetDown(true)
	f.Tick(f.now + 100*ms)
	if f.ejected(0) {
		t.Error("with three of four out of service the fourth gets all calls")
	}
	if f.changes[len(f.changes)-1] != "0 readmitted" {
		t.Errorf("changes %v", f.changes)
	}
}

func TestEjectedServerIsProbedWithSingleCallsAndReadmittedAfterTwo(t *testing.T) {
	f := healthyFleet(3)
	f.run(time.Second, first)
	begun := f.now
	calls := f.run(time.Minute, first)
	if calls[0] == 0 || calls[0] > 20 || !f.ejected(0) {
		t.Errorf("in a minute an ejected server got %d calls; it is ejected: %v", calls[0], f.ejected(0))
	}
	outage := f.now - begun
	n := 0
	for f.ejected(0) {
		n += f.run(10*ms, none)[0]
		if f.now-begun > 2*outage {
			t.Fatal("it is not readmitted")
		}
	}
	if late := f.now - begun - outage; n != 2 || late > maxEjectionTime+100*ms {
		t.Errorf("it was readmitted %v after an outage of %v, after %d calls", late, outage, n)
	}
}

func TestNoSecondProbeIsDueWhileOneIsUnderWay(t *testing.T) {
	f := healthyFleet(3)
	f.failures()
	if !f.ejected(0) {
		t.Fatal("it is not ejected")
	}
	f.awaitProbe()
	f.members[0].Load().Reserve() // the call
	for range 100 {
		if f.tick(); f.Due().Load() != 0 || f.Probe() >= 0 {
			t.Fatal("a second probe is due")
		}
	}
	f.members[0].Load().Unreserve() // it ended without a report
	if f.tick(); f.Due().Load() == 0 || f.Probe() != 0 {
		t.Error("after a call without a report no other probe is due")
	}
}

func TestServerThatFailsAgainIsSoonEjectedAgainAndForLonger(t *testing.T) {
	f := healthyFleet(3)
	f.run(8*time.Second, first)
	for f.ejected(0) {
		f.run(10*ms, none)
	}
	n := f.failures()
	begun := f.now
	for f.Probe() < 0 {
		f.now += 10 * ms
		if f.now%(100*ms) == 0 {
			f.Tick(f.now)
		}
	}
	if n != 2 || f.now-begun < 700*ms {
		t.Errorf("it was ejected after %d calls, for %v", n, f.now-begun)
	}
}

// The only endpoint in service breaks, while the others are left alone after a long
// outage: they are asked at once.
func TestEjectedServersAreProbedSoonWhereTheLastOneFails(t *testing.T) {
	f := healthyFleet(2)
	f.run(20*time.Second, first)
	if !f.ejected(0) {
		t.Fatal("not ejected")
	}
	f.run(time.Second, func(i int) bool { return i == 1 })
	if f.ejected(0) || !f.ejected(1) {
		t.Errorf("a second after the other broke: %v", f.changes)
	}
}

// Most of those in service break, so that nobody is to blame, while the others have
// recovered.
func TestEjectedServersAreProbedSoonWhereMostFail(t *testing.T) {
	f := healthyFleet(4)
	f.run(20*time.Second, func(i int) bool { return i < 2 })
	if f.ejections() != 2 {
		t.Fatalf("%v", f.changes)
	}
	f.run(2*time.Second, func(i int) bool { return i >= 2 })
	if f.ejected(0) || f.ejected(1) || !f.ejected(2) || !f.ejected(3) {
		t.Errorf("two seconds after the others broke: %v", f.changes)
	}
}

// As long as all are broken, a probe takes a call that would fail anyway, or perhaps not.
func TestEjectedServersAreProbedNoMoreThanAfterAShortOutageWhereAllFail(t *testing.T) {
	f := healthyFleet(2)
	f.run(20*time.Second, first)
	calls := f.run(10*time.Second, all)
	if most := int(10*time.Second/(3*baseEjectionTime/4)) + 1; calls[0] < 10 || calls[0] > most {
		t.Errorf("%d of %d calls were probes of the first, want 10 to %d", calls[0], calls[0]+calls[1], most)
	}
	if err := f.Eject(0, f.now); err != nil {
		t.Fatal(err)
	}
	if calls := f.run(10*time.Second, func(i int) bool { return i == 1 }); calls[0] != 0 {
		t.Errorf("%d calls to an endpoint that was ejected by hand", calls[0])
	}
}
