package outlier_test

import (
	"slices"
	"testing"
	"time"
)

func TestEndpointEjectedByHandStaysOutUntilItIsReadmitted(t *testing.T) {
	f := healthyFleet(4)
	if err := f.Eject(1, f.now); err != nil {
		t.Fatal(err)
	}
	if err := f.Eject(1, f.now); err != nil { // is as it was
		t.Error(err)
	}
	if n := f.run(time.Hour, none)[1]; n != 0 || !f.ejected(1) {
		t.Errorf("it got %d calls in an hour", n)
	}
	f.rebuild()
	if n := f.run(time.Minute, none)[1]; n != 0 || !f.ejected(1) {
		t.Errorf("it got %d calls after a change of the set", n)
	}
	f.Readmit(1, f.now)
	f.Readmit(1, f.now) // is as it was
	if n := f.run(time.Minute, none)[1]; n == 0 {
		t.Error("it gets no calls after it was readmitted")
	}
	if want := []string{"1 ejected", "1 readmitted"}; !slices.Equal(f.changes, want) {
		t.Errorf("notices %q, want %q", f.changes, want)
	}
	if d := f.lasted[1]; d != time.Hour+time.Minute {
		t.Errorf("it was out for %v", d)
	}
}

func TestEndpointThatIsProbedCanBeEjectedByHand(t *testing.T) {
	f := healthyFleet(3)
	f.failures()
	if err := f.Eject(0, f.now); err != nil {
		t.Fatal(err)
	}
	if n := f.run(time.Hour, none)[0]; n != 0 {
		t.Errorf("it got %d probes", n)
	}
	f.failures() // those that come late
	f.Readmit(0, f.now)
	if n := f.run(time.Second, none)[0]; n == 0 || f.ejected(0) {
		t.Errorf("it got %d calls after it was readmitted", n)
	}
}

func TestEndpointThatFailsIsBackInServiceWhenReadmittedByHand(t *testing.T) {
	f := healthyFleet(3)
	f.failures()
	f.Readmit(0, f.now)
	if f.ejected(0) {
		t.Fatal("it is ejected")
	}
	f.run(time.Second, func(i int) bool { return i == 0 })
	if !f.ejected(0) {
		t.Error("it still fails and is not ejected again")
	}
}

func TestSoManyAreNotEjectedByHandThatTooManyAreOut(t *testing.T) {
	f := healthyFleet(4)
	for i := range 2 {
		if err := f.Eject(i, f.now); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Eject(2, f.now); err == nil || f.ejected(2) {
		t.Errorf("three of four are out: %v", err)
	}
	f.members[3].Load().SetDown(true)
	f.tick()
	if f.ejections() != 0 {
		t.Error("three of four are out, and those that were ejected stay so")
	}
	for _, i := range []int{-1, 4} {
		if f.Eject(i, f.now) == nil {
			t.Errorf("endpoint %d can be ejected", i)
		}
		f.Readmit(i, f.now)
	}
}
