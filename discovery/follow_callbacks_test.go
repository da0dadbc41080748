package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// ownWatcher reports sets of which some are the program's own decision.
type ownWatcher struct {
	watchFunc

	own bool
}

func (w *ownWatcher) Authoritative() bool { return w.own }

// followOwn lets do report sets, and says which of them are the program's own.
func followOwn(t *testing.T, do func(report func(text string, own bool))) []string {
	t.Helper()
	var sets []string
	synctest.Test(t, func(t *testing.T) {
		w := &ownWatcher{}
		w.watchFunc = func(ctx context.Context, report func([]discovery.Endpoint)) error {
			do(func(text string, own bool) {
				w.own = own
				report(set(text))
				w.own = false // it is asked within the report, or too late
			})
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			discovery.Follow(ctx, w, discovery.Follower{RemovalGrace: time.Minute, Changed: func(c discovery.Change) {
				sets = append(sets, inWords(c.Set))
			}})
		}()
		time.Sleep(30 * s) // half of the grace
		stop()
		<-done
	})
	return sets
}

func TestSetThatIsTheProgramsOwnDecisionCountsWithoutGrace(t *testing.T) {
	pause := func() { time.Sleep(s) }
	for _, c := range []struct {
		name string
		do   func(report func(string, bool))
		want []string
	}{
		{"its own", func(report func(string, bool)) {
			report("a b c", false)
			pause()
			report("a", true)
			pause()
			report("", true)
		}, []string{"a b c", "a", ""}},
		{"the registry's", func(report func(string, bool)) {
			report("a b c", true)
			pause()
			report("a", false)
		}, []string{"a b c"}},
		{"its own ends the grace of what the registry removed", func(report func(string, bool)) {
			report("a b c", false)
			pause()
			report("d", false)
			pause()
			report("d", true)
		}, []string{"a b c", "a b c d", "d"}},
		{"its own and then the registry's, in one burst", func(report func(string, bool)) {
			report("a b c", false)
			pause()
			report("d e f", true)
			report("d", false)
		}, []string{"a b c", "d e f"}},
		{"the same behind the first of a burst", func(report func(string, bool)) {
			report("a b c", false)
			time.Sleep(ms)
			report("d e f", true)
			report("d e f g", false)
			report("d", false)
		}, []string{"a b c", "d e f"}},
		{"the last of its own in one burst", func(report func(string, bool)) {
			report("a b c", false)
			time.Sleep(ms)
			report("d e f", true)
			report("g", true)
			report("g h", false)
		}, []string{"a b c", "g", "g h"}},
	} {
		for range 20 { // whether Follow is as fast as the reports is a matter of chance
			if got := followOwn(t, c.do); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: the sets are %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestReportedHasEachReportAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		within := false
		ctx, stop := context.WithCancel(t.Context())
		w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			for _, text := range []string{"a b", "a b", "! a a", ""} {
				within = true
				report(set(text))
				within = false
			}
			if len(got) < 6 {
				return errors.New("lost")
			}
			<-ctx.Done()
			return ctx.Err()
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			discovery.Follow(ctx, w, discovery.Follower{
				RemovalGrace: time.Minute,
				Reported: func(set []discovery.Endpoint) {
					if !within {
						t.Error("Reported was called outside of the report")
					}
					got = append(got, inWords(set))
				},
				Rejected: func(e discovery.Endpoint, err error) { t.Errorf("without Changed %v was checked: %v", e, err) },
				Lost:     func(error, time.Duration) { got = append(got, "lost") },
			})
		}()
		time.Sleep(time.Minute)
		stop()
		<-done
		want := []string{"a b", "a b", "! a a", "", "lost", "a b", "a b", "! a a", ""}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestCallbacksAreCalledOneAtATimeAndInOrder lets every callback take its time,
// so that the next report comes meanwhile.
func TestCallbacksAreCalledOneAtATimeAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside atomic.Int32
		var reported, used, lost int // numbers of reports, and of watches
		enter := func(what string) {
			if inside.Add(1) > 1 {
				t.Errorf("%s was called while another callback ran", what)
			}
			time.Sleep(3 * ms)
			inside.Add(-1)
		}
		n, watches := 0, 0
		w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			watches++
			for range 10 {
				n++
				report(set(fmt.Sprintf("a=%d !", n)))
				if err := sleep(ctx, 10*ms); err != nil {
					return err
				}
			}
			return nil
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		discovery.Follow(ctx, w, discovery.Follower{
			Reported: func(set []discovery.Endpoint) {
				enter("Reported")
				if reported++; set[0].Zone != fmt.Sprint(reported) {
					t.Errorf("report %d is %q", reported, set[0].Zone)
				}
			},
			Changed: func(c discovery.Change) {
				enter("Changed")
				if last := used; len(c.Set) != 1 || !scan(c.Set[0].Zone, &used) || used <= last || used > reported {
					t.Errorf("Changed has %q after %d, and %d were reported", inWords(c.Set), last, reported)
				}
			},
			Rejected: func(discovery.Endpoint, error) { enter("Rejected") },
			Lost: func(error, time.Duration) {
				enter("Lost")
				if lost++; lost != watches || used != n {
					t.Errorf("loss %d of watch %d after change %d of %d", lost, watches, used, n)
				}
			},
		})
		if lost < 5 {
			t.Errorf("%d losses; the test shows nothing", lost)
		}
	})
}

func scan(text string, n *int) bool {
	_, err := fmt.Sscan(text, n)
	return err == nil
}

func TestFollowerWithoutCallbacksFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		w := watchFunc(func(_ context.Context, report func([]discovery.Endpoint)) error {
			runs++
			report(set("a ! a"))
			return nil
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		discovery.Follow(ctx, w, discovery.Follower{})
		if runs < 5 {
			t.Errorf("%d watches in a minute", runs)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		discovery.Follow(ctx, script(step{0, "a ! a"}, step{s, "lose"}), discovery.Follower{
			Changed: func(discovery.Change) { changes++ },
		})
		if changes != 1 {
			t.Errorf("%d changes", changes)
		}
	})
}

// TestWatcherThatReturnsAtOnceForEverCostsNothing lets days pass.
func TestWatcherThatReturnsAtOnceForEverCostsNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func() error
	}{
		{"with nil", func() error { return nil }},
		{"with an error", func() error { return errors.New("no") }},
		{"with a panic", func() error { panic("no") }},
	} {
		for _, reports := range []int{0, 100} {
			synctest.Test(t, func(t *testing.T) {
				many := make([]discovery.Endpoint, reports)
				for i := range many {
					many[i].Addr = fmt.Sprintf("10.0.0.1:%d", i+1)
				}
				var watches, changes atomic.Int64
				w := watchFunc(func(_ context.Context, report func([]discovery.Endpoint)) error {
					n := watches.Add(1)
					if reports > 0 {
						report(many[n%2:]) // a change each time
					}
					return c.end()
				})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					discovery.Follow(ctx, w, discovery.Follower{
						RemovalGrace: time.Minute,
						Changed:      func(discovery.Change) { changes.Add(1) },
					})
				}()
				time.Sleep(24 * time.Hour)
				before := heap()
				n := watches.Load()
				time.Sleep(24 * time.Hour)
				grown := heap() - before
				stop()
				<-done
				n = watches.Load() - n
				// A pause is 15 s in the mean.
				if most := int64(2 * 24 * 60 * 4); n > most || n < most/4 {
					t.Errorf("%s: %d watches in a day", c.name, n)
				}
				if reports > 0 && changes.Load() < n {
					t.Errorf("%s: %d changes in %d watches", c.name, changes.Load(), n)
				}
				if grown > 1<<20 {
					t.Errorf("%s: %d bytes more after a day", c.name, grown)
				}
			})
		}
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
