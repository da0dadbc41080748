package discovery_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// pauses runs a watch that lasts as long as each of lasts says and is then
// lost, and returns the pauses between them.
func pauses(t *testing.T, lasts ...time.Duration) []time.Duration {
	t.Helper()
	var all []time.Duration
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var lost time.Time
		k := 0
		w := watchFunc(func(ctx context.Context, _ func([]discovery.Endpoint)) error {
			if k > 0 {
				if d := time.Since(lost); d != all[k-1] {
					t.Errorf("a pause of %v was announced, and lasted %v", all[k-1], d)
				}
			}
			if k == len(lasts) {
				<-ctx.Done()
				return ctx.Err()
			}
			k++
			return errors.Join(sleep(ctx, lasts[k-1]), errors.New("lost"))
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			discovery.Follow(ctx, w, discovery.Follower{Lost: func(_ error, pause time.Duration) {
				lost = time.Now()
				all = append(all, pause)
			}})
		}()
		time.Sleep(24 * time.Hour)
		stop()
		<-done
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

func TestFollowWithAnEndedContextDoesNotWatch(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	discovery.Follow(ctx, watchFunc(func(context.Context, func([]discovery.Endpoint)) error {
		t.Error("a watch began")
		return nil
	}), discovery.Follower{})
}

func TestEndOfTheContextEndsFollowAndIsNoLoss(t *testing.T) {
	for _, c := range []struct {
		name  string
		watch watchFunc
	}{
		{"while the watch waits", func(ctx context.Context, report func([]discovery.Endpoint)) error {
			report(set("a"))
			<-ctx.Done()
			return ctx.Err()
		}},
		{"with a report at that instant", func(ctx context.Context, report func([]discovery.Endpoint)) error {
			report(set("a"))
			<-ctx.Done()
			report(set("b"))
			return nil
		}},
		{"with a report while the context ends", func(ctx context.Context, report func([]discovery.Endpoint)) error {
			for ctx.Err() == nil {
				report(set("a"))
				_ = sleep(ctx, time.Microsecond)
			}
			report(set("a"))
			return ctx.Err()
		}},
		{"with a panic", func(ctx context.Context, report func([]discovery.Endpoint)) error {
			report(set("a"))
			<-ctx.Done()
			panic("ended")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := follow(t, 0, c.watch)
				r.until(10 * ms)
				begun := time.Now()
				r.end()
				if d := time.Since(begun); d > 0 {
					t.Errorf("Follow returned %v after the end of its context", d)
				}
				if lost := r.all("lost"); len(lost) > 0 {
					t.Errorf("got %v", lost)
				}
				if sets := r.all("set"); sets[0].what != "set a" {
					t.Errorf("got %v", sets)
				}
			})
		})
	}
}

func TestEndOfTheContextCutsThePauseShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		r := follow(t, 0, func(context.Context, func([]discovery.Endpoint)) error {
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
			t.Errorf("Follow returned %v after the end of its context", d)
		}
	})
}

// TestWatcherThatIgnoresItsContextHoldsFollowUp: if Follow returned before the
// watch, nobody would wait for its goroutine.
func TestWatcherThatIgnoresItsContextHoldsFollowUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := follow(t, 0, func(_ context.Context, report func([]discovery.Endpoint)) error {
			report(set("a"))
			<-release
			return nil
		})
		r.until(s)
		r.stop()
		r.until(time.Hour)
		select {
		case <-r.done:
			t.Error("Follow returned before the watch")
		default:
		}
		close(release)
		<-r.done
	})
}

// TestReportAfterTheWatchHasReturnedIsIgnored: such a report breaks the
// contract. It must neither count nor hold its caller up.
func TestReportAfterTheWatchHasReturnedIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late sync.WaitGroup
		watches := 0
		r := follow(t, 0, func(ctx context.Context, report func([]discovery.Endpoint)) error {
			if watches++; watches == 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			report(set("a"))
			for range 3 { // and from several goroutines
				late.Go(func() {
					time.Sleep(s)
					for range 1000 {
						report(set("late"))
					}
				})
			}
			return errors.New("lost")
		})
		r.until(2 * s) // the second watch runs
		r.end()
		late.Wait()
		for _, e := range r.all("set") {
			if e.what != "set a" {
				t.Errorf("%v was reported after the watch had returned", e)
			}
		}
		if watches != 2 {
			t.Fatalf("%d watches; the test shows nothing", watches)
		}
	})
}

// TestReportsFromSeveralGoroutinesHarmNobody: the contract says one, but a
// watcher that does not know that must not hang.
func TestReportsFromSeveralGoroutinesHarmNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, func(ctx context.Context, report func([]discovery.Endpoint)) error {
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
		r.until(s)
		if sets := r.all("set"); sets[len(sets)-1].what != "set last" {
			t.Errorf("got %v", sets)
		}
	})
}
