package retry

import (
	"sync"
	"testing"
	"time"
)

// drain takes every token and returns their number.
func drain(b *budget, now time.Duration) int {
	n := 0
	for b.take(now) {
		n++
	}
	return n
}

func TestBudgetGivesTwentyPercentOfTheCallsPlusTenPerSecond(t *testing.T) {
	b := newBudget()
	if n := drain(b, 0); n != 100 {
		t.Fatalf("%d tokens at the start, want what ten seconds bring without calls: 100", n)
	}
	granted, now := 0, time.Duration(0)
	for range 1000 { // 100 s, 960 calls a second
		now += 100 * time.Millisecond
		b.count(96)
		granted += drain(b, now)
	}
	// 960 calls/s x 20 % + 10/s = 202/s; what is taken at once decays little.
	if granted < 19_800 || granted > 20_300 {
		t.Errorf("%d tokens in 100 s at 960 calls/s, want about 20,200", granted)
	}
}

func TestBudgetForgetsUnusedTokens(t *testing.T) {
	b := newBudget()
	b.count(1_000_000)
	b.take(10 * time.Second)
	if n := drain(b, 110*time.Second); n < 100 || n > 115 {
		t.Errorf("%d tokens after a long silence, want about 100", n)
	}
}

func TestBudgetGivesNothingMoreWhileTheClockStands(t *testing.T) {
	b := newBudget()
	b.count(1 << 20)
	if n := drain(b, 0); n != 100 {
		t.Errorf("%d tokens, want 100", n)
	}
}

func TestBudgetGivesNoTokenTwice(t *testing.T) {
	b := newBudget()
	var mu sync.Mutex
	var wg sync.WaitGroup
	granted := 0
	for range 8 {
		wg.Go(func() {
			n := drain(b, 0)
			mu.Lock()
			granted += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if granted != 100 {
		t.Errorf("%d tokens, want 100", granted)
	}
}
