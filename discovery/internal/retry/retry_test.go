package retry_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/retry"
)

// pauses runs a task that lasts as long as lasts says, time after time, and
// returns the pauses between the runs: as announced, and as they were.
func pauses(t *testing.T, lasts ...time.Duration) []time.Duration {
	t.Helper()
	var all []time.Duration
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var ended time.Time
		run := 0
		_ = retry.Forever(ctx, func(ctx context.Context) error {
			if run > 0 {
				if got := time.Since(ended); got != all[run-1] {
					t.Errorf("a pause of %v was announced and %v was made", all[run-1], got)
				}
			}
			if run == len(lasts) {
				cancel()
				return nil
			}
			time.Sleep(lasts[run])
			run++
			return errors.New("lost")
		}, func(_ error, pause time.Duration) {
			ended = time.Now()
			all = append(all, pause)
		})
	})
	return all
}

func wantJitter(t *testing.T, what string, pauses []time.Duration, bound time.Duration) {
	t.Helper()
	var low, high bool
	for _, p := range pauses {
		if p <= 0 || p > bound {
			t.Errorf("%s: a pause of %v, want above 0 and at most %v", what, p, bound)
		}
		low = low || p < bound/4
		high = high || p > bound*3/4
	}
	if !low || !high {
		t.Errorf("%s: the pauses are not spread over 0..%v: %v", what, bound, pauses)
	}
}

func TestPauseDoublesFromATenthOfASecondToHalfAMinute(t *testing.T) {
	byRun := make([][]time.Duration, 12)
	for range 100 {
		for i, p := range pauses(t, make([]time.Duration, len(byRun))...) {
			byRun[i] = append(byRun[i], p)
		}
	}
	bound := 100 * time.Millisecond
	for i, ps := range byRun {
		wantJitter(t, "pause "+string(rune('a'+i)), ps, bound)
		bound = min(2*bound, 30*time.Second)
	}
}

func TestPauseIsShortAgainAfterFiveSeconds(t *testing.T) {
	var stable, shaky []time.Duration
	for range 100 {
		lasts := make([]time.Duration, 10)
		lasts[9] = 5 * time.Second
		stable = append(stable, pauses(t, lasts...)[9])
		lasts[9]--
		shaky = append(shaky, pauses(t, lasts...)[9])
	}
	wantJitter(t, "after five seconds", stable, 100*time.Millisecond)
	wantJitter(t, "after a moment less", shaky, 30*time.Second)
}

func TestAnyEndOfTheTaskIsAnErrorAndItIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := []struct {
			end  func() error
			want string
		}{
			{func() error { return errors.New("registry down") }, "registry down"},
			{func() error { return nil }, "it ended without an error"},
			{func() error { panic("out of range") }, "it panicked: out of range"},
			{func() error { runtime.Goexit(); return nil }, "it ended its goroutine"},
		}
		ctx, cancel := context.WithCancel(t.Context())
		run := 0
		err := retry.Forever(ctx, func(context.Context) error {
			if run == len(ends) {
				cancel()
				return errors.New("the last")
			}
			run++
			return ends[run-1].end()
		}, func(err error, _ time.Duration) {
			if want := ends[run-1].want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("the end is told as %q, want %q", err, want)
			}
		})
		if run != len(ends) || err == nil || err.Error() != "the last" {
			t.Errorf("%d runs, and at last error %v", run, err)
		}
	})
}

func TestEndOfTheContextCutsThePauseShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		err := retry.Forever(ctx, func(context.Context) error { return errors.New("lost") },
			func(error, time.Duration) { cancel() })
		if err != nil || time.Since(begun) > 0 {
			t.Errorf("error %v after %v", err, time.Since(begun))
		}
	})
}

func TestAnEndedContextBeginsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := retry.Forever(ctx, func(context.Context) error {
		t.Error("the task was begun")
		return nil
	}, nil)
	if err != nil {
		t.Errorf("error %v", err)
	}
}
