package budget_test

import (
	"sync"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/budget"
)

// drain takes all there is.
func drain(b *budget.Budget, now time.Duration) int {
	n := 0
	for b.Take(now) {
		n++
	}
	return n
}

func TestBudgetAllowsTwentyPercentPlusTenPerSecond(t *testing.T) {
	b := budget.New()
	if n := drain(b, 0); n != 100 {
		t.Fatalf("%d retries at the start, want what ten seconds of the floor bring: 100", n)
	}
	granted, now := 0, time.Duration(0)
	for range 1000 { // 100 s, 960 calls a second
		now += 100 * time.Millisecond
		b.Count(96)
		granted += drain(b, now)
	}
	// 960 calls/s x 20 % + 10/s = 202/s; what is taken at once decays little.
	if granted < 19_800 || granted > 20_300 {
		t.Errorf("%d retries in 100 s at 960 calls/s, want about 20200", granted)
	}
}

func TestBudgetForgetsWhatWasNotUsed(t *testing.T) {
	b := budget.New()
	b.Count(1_000_000)
	b.Take(10 * time.Second)
	if n := drain(b, 110*time.Second); n < 100 || n > 115 {
		t.Errorf("%d retries after a long silence, want about 100", n)
	}
}

func TestBudgetIsNotConfusedByAClockThatStands(t *testing.T) {
	b := budget.New()
	b.Count(1 << 20)
	if n := drain(b, 0); n != 100 {
		t.Errorf("%d retries, want 100", n)
	}
}

func TestBudgetGrantsNoTokenTwice(t *testing.T) {
	b := budget.New()
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
		t.Errorf("%d retries, want 100", granted)
	}
}
