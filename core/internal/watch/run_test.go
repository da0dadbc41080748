package watch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/watch"
)

// pauses runs a watch that lasts as long as each of lasts says and is then
// lost, and returns the pauses between them.
func pauses(t *testing.T, lasts ...time.Duration) []time.Duration {
	t.Helper()
	var all []time.Duration
	synctest.Test(t, func(t *testing.T) {
		var lost time.Time
		k := 0
		r := try(t, 0, func(ctx context.Context, _ func([]entry)) error {
			if k > 0 {
				all = append(all, time.Since(lost))
			}
			if k == len(lasts) {
				<-ctx.Done()
				return ctx.Err()
			}
			k++
			err := sleep(ctx, lasts[k-1])
			lost = time.Now()
			return errors.Join(err, errors.New("lost"))
		})
		r.until(24 * time.Hour)
	})
	if len(all) != len(lasts) {
		t.Fatalf("%d pauses after %d losses", len(all), len(lasts))
	}
	return all
}

// wantJitter fails the test unless the pauses are spread over all of 0..bound.
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
	byLoss := make([][]time.Duration, 13)
	for range 100 {
		for k, p := range pauses(t, make([]time.Duration, len(byLoss))...) {
			byLoss[k] = append(byLoss[k], p)
		}
	}
	bound := 100 * time.Millisecond
	for k, ps := range byLoss {
		wantJitter(t, "pause "+string(rune('a'+k)), ps, bound)
		bound = min(2*bound, 30*time.Second)
	}
}

func TestPauseIsShortAgainAfterFiveSeconds(t *testing.T) {
	var stable, next, shaky []time.Duration
	for range 100 {
		losses := make([]time.Duration, 12)
		losses[9] = 5 * time.Second
		ps := pauses(t, losses...)
		stable, next = append(stable, ps[9]), append(next, ps[10])
		losses[9]--
		shaky = append(shaky, pauses(t, losses...)[9])
	}
	wantJitter(t, "after five seconds", stable, 100*time.Millisecond)
	wantJitter(t, "the one after that", next, 200*time.Millisecond)
	wantJitter(t, "after a moment less", shaky, 30*time.Second)
}

func TestRunWithAnEndedContextDoesNotWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		l := watch.Loop[entry]{Watch: func(context.Context, func([]entry)) error {
			t.Error("a watch began")
			return nil
		}}
		l.Run(ctx)
	})
}

func TestEndOfTheContextEndsRunAndIsNoLoss(t *testing.T) {
	for _, c := range []struct {
		name  string
		watch func(context.Context, func([]entry)) error
	}{
		{"while the watch waits", func(ctx context.Context, report func([]entry)) error {
			report(set("a"))
			<-ctx.Done()
			return ctx.Err()
		}},
		{"with a report at that instant", func(ctx context.Context, report func([]entry)) error {
			report(set("a"))
			<-ctx.Done()
			report(set("b"))
			return nil
		}},
		{"with a report while the context ends", func(ctx context.Context, report func([]entry)) error {
			for ctx.Err() == nil {
				report(set("a"))
				_ = sleep(ctx, time.Microsecond)
			}
			report(set("a"))
			return ctx.Err()
		}},
		{"with a panic", func(ctx context.Context, report func([]entry)) error {
			report(set("a"))
			<-ctx.Done()
			panic("ended")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := try(t, 0, c.watch)
				r.until(10 * ms)
				begun := time.Now()
				r.end()
				if d := time.Since(begun); d > 0 {
					t.Errorf("Run returned %v after the end of its context", d)
				}
				if lost := r.all("lost"); len(lost) > 0 {
					t.Errorf("said %v", lost)
				}
				if sets := r.all("set"); sets[0].what != "set a" {
					t.Errorf("said %v", sets)
				}
			})
		})
	}
}

func TestEndOfTheContextCutsThePauseShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		r := try(t, 0, func(context.Context, func([]entry)) error {
			lost++
			return errors.New("lost")
		})
		for len(r.all("lost")) < 12 { // the pauses are of some seconds now
			time.Sleep(ms)
			synctest.Wait()
		}
		begun := time.Now()
		r.end()
		if d := time.Since(begun); d > 0 {
			t.Errorf("Run returned %v after the end of its context", d)
		}
	})
}

// TestWatchThatIgnoresItsContextHoldsRun: Run may not return before the watch,
// or a goroutine would be left that nobody waits for.
func TestWatchThatIgnoresItsContextHoldsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := try(t, 0, func(_ context.Context, report func([]entry)) error {
			report(set("a"))
			<-release
			return nil
		})
		r.until(s)
		r.stop()
		r.until(time.Hour)
		select {
		case <-r.done:
			t.Error("Run returned before the watch")
		default:
		}
		close(release)
		<-r.done
	})
}

// TestReportAfterTheWatchHasReturnedIsIgnored: it breaks the contract, and
// must neither be believed nor hold whoever does it.
func TestReportAfterTheWatchHasReturnedIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late sync.WaitGroup
		watches := 0
		r := try(t, 0, func(ctx context.Context, report func([]entry)) error {
			watches++
			report(set("a"))
			for range 3 { // and from several goroutines at that
				late.Go(func() {
					time.Sleep(time.Second)
					for range 1000 {
						report(set("late"))
					}
				})
			}
			if watches == 1 {
				return errors.New("lost")
			}
			<-ctx.Done()
			return ctx.Err()
		})
		r.until(500 * ms)
		r.end()
		late.Wait()
		for _, s := range r.all("set") {
			if s.what != "set a" {
				t.Errorf("%v was taken after the watch had returned", s)
			}
		}
		if watches != 2 {
			t.Fatalf("%d watches; the test shows nothing", watches)
		}
	})
}

// TestReportsFromSeveralGoroutinesHarmNobody: the contract says one, but a
// watcher that does not know is not to hang.
func TestReportsFromSeveralGoroutinesHarmNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, func(ctx context.Context, report func([]entry)) error {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 500 {
						report(set("a"))
					}
				})
			}
			wg.Wait()
			report(set("last"))
			<-ctx.Done()
			return ctx.Err()
		})
		r.until(time.Second)
		if sets := r.all("set"); sets[len(sets)-1].what != "set last" {
			t.Errorf("said %v", sets)
		}
	})
}
