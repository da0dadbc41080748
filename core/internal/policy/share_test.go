package policy_test

import (
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// shares calls three equal servers one call at a time, 2000/s, for d; latency
// says how long the n-th call to server i takes.
func shares(p *policy.Picker, now *time.Duration, d time.Duration, seen []int, latency func(i, n int) time.Duration) []float64 {
	calls := make([]int, len(seen))
	total := 0
	for end := *now + d; *now < end; *now += 500 * time.Microsecond {
		if *now%(100*time.Millisecond) == 0 {
			p.Tick(*now)
		}
		i := p.Pick()
		p.Report(i, policy.Answered, latency(i, seen[i]), *now)
		seen[i]++
		calls[i]++
		total++
	}
	out := make([]float64, len(calls))
	for i, c := range calls {
		out[i] = float64(c) / float64(total)
	}
	return out
}

func three() *policy.Picker {
	return policy.New(policy.Default(), nil, []policy.Member{
		{Key: "a", Weight: 1, Load: new(slots.Load)},
		{Key: "b", Weight: 1, Load: new(slots.Load)},
		{Key: "c", Weight: 1, Load: new(slots.Load)},
	})
}

// A fresh process answers its very first call slowly (page faults, accept,
// first goroutines): 3 ms instead of 0.15 ms.
func TestOneSlowFirstAnswerDoesNotStarveAServer(t *testing.T) {
	p, now, seen := three(), time.Duration(0), make([]int, 3)
	first := true
	slowFirst := func(i, n int) time.Duration {
		if i == 0 && n == 0 && first {
			first = false
			return 3 * time.Millisecond
		}
		return 150 * time.Microsecond
	}
	shares(p, &now, time.Second, seen, slowFirst)
	for s := 1; s <= 60; s++ {
		if got := shares(p, &now, time.Second, seen, slowFirst); got[0] > 0.2 {
			if s > 2 {
				t.Errorf("its share is above 20 %% only after %d s", s)
			}
			return
		}
	}
	t.Error("its share is below 20 % after 60 s")
}

// Killed with a few calls in flight, back four seconds later.
func TestRevivedServerGetsItsShareBack(t *testing.T) {
	p, now, seen := three(), time.Duration(0), make([]int, 3)
	even := func(int, int) time.Duration { return 150 * time.Microsecond }
	shares(p, &now, 4*time.Second, seen, even)
	for range 8 { // the calls in flight at its death
		p.Report(0, policy.Failed, 150*time.Microsecond, now)
	}
	for s := 1; s <= 60; s++ {
		if got := shares(p, &now, time.Second, seen, even); got[0] > 0.25 {
			if s > 1 {
				t.Errorf("its share is above 25 %% only after %d s", s)
			}
			return
		}
	}
	t.Error("its share is below 25 % after 60 s")
}
