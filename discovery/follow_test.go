package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func TestFirstReportCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(step{ms, "a b"}))
		r.until(time.Hour)
		r.want("", event{ms, "set a b"})
	})
}

func TestFirstReportOfABurstCountsAtOnceAndThenTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(step{5 * ms, "a"}, step{6 * ms, "a b"}, step{7 * ms, "b"}, step{24 * ms, "b c"}))
		r.until(time.Hour)
		r.want("set", event{5 * ms, "set a"}, event{25 * ms, "set b c"})
	})
}

func TestReportAfterAQuietTimeCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(step{0, "a"}, step{20 * ms, "b"}, step{40 * ms, "c"}, step{59 * ms, "d"}))
		r.until(time.Hour)
		r.want("set", event{0, "set a"}, event{20 * ms, "set b"}, event{40 * ms, "set c"}, event{60 * ms, "set d"})
	})
}

func TestReportsWithoutEndCountFiftyTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		const every = 997 * time.Microsecond // never at the instant of a change
		for i := range 1000 {
			steps = append(steps, step{time.Duration(i) * every, fmt.Sprint(i)})
		}
		r := follow(t, 0, script(steps...))
		r.until(time.Minute)
		sets := r.all("set")
		for i, e := range sets {
			if i > 0 && e.at-sets[i-1].at < 20*ms {
				t.Errorf("%v after %v: too soon", e, sets[i-1])
			}
			if n := int(e.at / every); e.what != fmt.Sprintf("set %d", min(n, 999)) {
				t.Errorf("at %v the set is %q, which is not the latest report", e.at, e.what)
			}
		}
		if n := len(sets); n != 51 || sets[n-1].what != "set 999" {
			t.Errorf("%d sets in a second, the last is %v", n, sets[n-1])
		}
	})
}

func TestEmptyReportIsASet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(step{0, ""}, step{s, "a"}, step{2 * s, ""}))
		r.until(time.Hour)
		r.want("set", event{0, "set "}, event{s, "set a"}, event{2 * s, "set "})
	})
}

func TestReportThatRepeatsTheSetIsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(
			step{0, "a b c"}, step{s, "a b c"}, step{2 * s, "c a b"}, // in any order
			step{3 * s, "c b! a b"}, step{4 * s, "c a b a"}, // with anything that does not count
			step{5 * s, "c a b=1"}, step{6 * s, "c a b=1"},
		))
		r.until(time.Hour)
		r.want("set", event{0, "set a b c"}, event{5 * s, "set a b=1 c"})
	})
}

func TestFirstReportAfterALossIsAChangeEvenIfNothingDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, time.Minute, script(step{0, "a b"}, step{s, "lose"}, step{time.Hour, "a b"}, step{2 * time.Hour, "a b"}))
		r.until(time.Hour - 1)
		r.want("", event{0, "set a b"}, event{s, "lost: as the script says"})
		r.until(3 * time.Hour)
		r.want("set", event{0, "set a b"}, event{time.Hour, "set a b"})
	})
}

func TestInvalidEntriesAndDuplicatesAreRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(step{0, "a=1 ! b a=2 b!x b c a=1"}, step{s, "!"}))
		r.until(time.Hour)
		r.want("",
			event{0, "rejected !: invalid"},
			event{0, "rejected a=2: duplicate"},
			event{0, "rejected b!x: invalid"},
			event{0, "rejected b: duplicate"},
			event{0, "rejected a=1: duplicate"},
			event{0, "set a=1 b c"},
			event{s, "rejected !: invalid"},
			event{s, "set "},
		)
	})
}

func TestInvalidEntryThatStaysIsRejectedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(
			step{0, "a ! b"}, step{s, "a ! b c"}, step{2 * s, "d a ! b c"}, step{3 * s, "d=1 a ! b c"}, step{4 * s, "a ! b c"},
			step{5 * s, "a b c"}, step{6 * s, "a b c !"}, step{7 * s, "a a b c !"}, step{8 * s, "a b c !"}, step{9 * s, "a=1 b c !"},
		))
		r.until(time.Hour)
		r.want("rejected", event{0, "rejected !: invalid"}, event{6 * s, "rejected !: invalid"},
			// A duplicate that comes or goes has all entries checked again.
			event{7 * s, "rejected a: duplicate"}, event{7 * s, "rejected !: invalid"}, event{8 * s, "rejected !: invalid"})
		r.want("set", event{0, "set a b"}, event{s, "set a b c"}, event{2 * s, "set a b c d"}, event{3 * s, "set a b c d=1"}, event{4 * s, "set a b c"},
			event{9 * s, "set a=1 b c"})
	})
}

// TestFirstEntryOfAnAddressCounts changes the entries around one that keeps its
// place, so that a comparison of what differs alone would not see it.
func TestFirstEntryOfAnAddressCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, 0, script(
			step{0, "a=1 b a=2"}, step{s, "b a=2"}, step{2 * s, "a=3 b a=2"}, step{3 * s, "a=3! b a=2"}, step{4 * s, "a=2 b a=2"},
			step{5 * s, "c b a=2"}, step{6 * s, "b a=4 a=2"}, step{7 * s, "b a=2"},
		))
		r.until(time.Hour)
		r.want("set", event{0, "set a=1 b"}, event{s, "set a=2 b"}, event{2 * s, "set a=3 b"}, event{3 * s, "set a=2 b"},
			event{5 * s, "set a=2 b c"}, event{6 * s, "set a=4 b"}, event{7 * s, "set a=2 b"})
	})
}

func TestSliceOfAReportIsNeitherKeptNorModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine := set("a ! b c")
		r := follow(t, 0, func(ctx context.Context, report func([]discovery.Endpoint)) error {
			report(set("first"))
			report(mine) // counts later, as part of a burst
			if inWords(mine) != "! a b c" {
				t.Errorf("report changed its argument to %v", mine)
			}
			clear(mine)
			<-ctx.Done()
			return ctx.Err()
		})
		r.until(s)
		if sets := r.all("set"); sets[len(sets)-1].what != "set a b c" {
			t.Errorf("the sets are %v", sets)
		}
	})
}

func TestSetReportedJustBeforeTheWatchEndsCountsBeforeTheLoss(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  event
	}{
		{"the first", []step{{ms, "a"}, {ms, "lose"}}, event{ms, "set a"}},
		{"after a quiet time", []step{{0, "a"}, {s, "b"}, {s, "lose"}}, event{s, "set b"}},
		{"the last of a burst", []step{{0, "a"}, {ms, "b"}, {ms, "lose"}}, event{ms, "set b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 20 { // the report and the end are seen in a random order
				synctest.Test(t, func(t *testing.T) {
					r := follow(t, 0, script(c.steps...))
					r.until(time.Hour)
					all := r.all("")
					if n := len(all); n < 2 || all[n-2] != c.want || !strings.HasPrefix(all[n-1].what, "lost") {
						t.Errorf("got %v, want %v and the loss at last", all, c.want)
					}
				})
			}
		})
	}
}

// TestReportAndEndDuringACallbackAreBothSeen: which of the two is seen first is
// a matter of chance.
func TestReportAndEndDuringACallbackAreBothSeen(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			watches, last := 0, ""
			w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
				if watches++; watches > 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				report(set("a"))
				synctest.Wait() // until Changed runs
				report(set("b"))
				return errors.New("lost")
			})
			done := make(chan struct{})
			go func() {
				defer close(done)
				discovery.Follow(ctx, w, discovery.Follower{Changed: func(c discovery.Change) {
					last = inWords(c.Set)
					time.Sleep(s)
				}})
			}()
			time.Sleep(time.Minute)
			stop()
			<-done
			if last != "b" {
				t.Errorf("the last set is %q", last)
			}
		})
	}
}

func TestWatcherDoesNotWaitForChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var reported atomic.Bool
		sets := ""
		w := watchFunc(func(ctx context.Context, report func([]discovery.Endpoint)) error {
			report(set("a"))
			synctest.Wait() // until Changed runs
			for i := range 100 {
				report(set(fmt.Sprint(i)))
			}
			reported.Store(true)
			<-ctx.Done()
			return ctx.Err()
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			discovery.Follow(ctx, w, discovery.Follower{Changed: func(c discovery.Change) {
				time.Sleep(s)
				if sets += inWords(c.Set) + ";"; !reported.Load() {
					t.Error("the watcher waits")
				}
			}})
		}()
		time.Sleep(time.Minute)
		stop()
		<-done
		if sets != "a;99;" {
			t.Errorf("the sets are %q", sets)
		}
	})
}

func TestLostWatchKeepsItsLastSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := follow(t, time.Minute, script(step{0, "a b"}, step{s, "lose"}, step{time.Hour, "a b c"}))
		r.until(time.Hour - 1)
		r.want("", event{0, "set a b"}, event{s, "lost: as the script says"})
		r.until(time.Hour)
		r.want("set", event{0, "set a b"}, event{time.Hour, "set a b c"})
	})
}

func TestEveryWayToEndAWatchIsALoss(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func() error
		want string
	}{
		{"an error", func() error { return errors.New("session expired") }, "lost: session expired"},
		{"nil", func() error { return nil }, "lost: the watcher returned without an error"},
		{"a panic", func() error { panic("nil map") }, "lost: the watcher panicked: nil map"},
		{"a panic with an error", func() error { panic(errors.New("inner")) }, "lost: the watcher panicked: inner"},
		{"the end of its goroutine", func() error { runtime.Goexit(); return nil }, "lost: the watcher ended its goroutine"},
		{"a context's error of its own", func() error { return context.Canceled }, "lost: context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				r := follow(t, 0, func(ctx context.Context, report func([]discovery.Endpoint)) error {
					runs++
					report(set("a"))
					if runs == 1 {
						return c.end()
					}
					<-ctx.Done()
					return ctx.Err()
				})
				r.until(time.Minute)
				if lost := r.all("lost"); len(lost) != 1 || !strings.HasPrefix(lost[0].what, c.want) {
					t.Errorf("got %v, want %q", lost, c.want)
				}
				if runs != 2 {
					t.Errorf("the watch was begun %d times", runs)
				}
			})
		})
	}
}
