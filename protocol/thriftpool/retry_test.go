package thriftpool

import (
	"testing"
	"time"
)

func TestTheBudgetAllowsTwentyPercentPlusTenPerSecond(t *testing.T) {
	b := newBudget()
	now := b.at
	granted := 0
	drain := func() {
		for b.take(now) {
			granted++
		}
	}
	drain()
	if granted != budgetFloor*budgetWindow {
		t.Fatalf("%d retries at the start, want what ten seconds of the floor bring: 100", granted)
	}

	granted = 0
	for range 1000 { // 100 s, 1000 calls a second
		now = now.Add(100 * time.Millisecond)
		for n := uint32(1); n <= 96; n++ {
			b.count(n)
		}
		drain()
	}
	// 960 calls/s x 20 % + 10/s = 202/s; what is taken at once decays little.
	if granted < 19_800 || granted > 20_300 {
		t.Errorf("%d retries in 100 s at 960 calls/s, want about 20200", granted)
	}
}

func TestTheBudgetForgetsWhatWasNotUsed(t *testing.T) {
	b := newBudget()
	for range 1_000_000 / budgetBatch {
		b.calls.Add(budgetBatch)
	}
	now := b.at.Add(10 * time.Second)
	b.take(now)
	now = now.Add(100 * time.Second) // of no calls
	granted := 0
	for b.take(now) {
		granted++
	}
	if granted < 100 || granted > 115 {
		t.Errorf("%d retries after a long silence, want about 100", granted)
	}
}

func TestTheBudgetIsNotConfusedByAClockThatStands(t *testing.T) {
	b := newBudget()
	b.calls.Add(1 << 20)
	granted := 0
	for b.take(b.at) {
		granted++
	}
	if granted != 100 {
		t.Errorf("%d retries, want 100", granted)
	}
}
