package watch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/watch"
)

// entry is an entry of a set: what stands before the '=' is its key, and a '!'
// makes it a bad one.
type entry string

func same(a, b *entry) bool { return *a == *b }

func key(e entry) string {
	k, _, _ := strings.Cut(string(e), "=")
	return k
}

func check(e entry) error {
	if strings.Contains(string(e), "!") {
		return errors.New("bad entry")
	}
	return nil
}

// set makes a set of the words of s.
func set(s string) []entry {
	all := []entry{}
	for w := range strings.FieldsSeq(s) {
		all = append(all, entry(w))
	}
	return all
}

// words is the set in alphabetical order.
func words(set []entry) string {
	var all []string
	for _, e := range set {
		all = append(all, string(e))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// said is one thing that the loop said, and when.
type said struct {
	at   time.Duration
	what string // "set a b", "rejected a: why", "live", "lost: why"
}

// trial is a loop under test in a bubble. What it says is kept.
type trial struct {
	t     *testing.T
	begun time.Time
	stop  context.CancelFunc
	done  chan struct{}

	mu   sync.Mutex
	said []said
}

// try runs a loop until the test ends or stop is called.
func try(t *testing.T, grace time.Duration, w func(context.Context, func([]entry)) error) *trial {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &trial{t: t, begun: time.Now(), stop: stop, done: make(chan struct{})}
	l := watch.Loop[entry]{
		Watch: w, Key: key, Same: same, Check: check, Grace: grace,
		Apply:    func(set []entry) { r.note("set " + words(set)) },
		Rejected: func(e entry, err error) { r.note(fmt.Sprintf("rejected %s: %v", e, err)) },
		Changed: func(s watch.Status, err error) {
			switch s {
			case watch.Live:
				if err != nil {
					r.note("live, with an error")
				}
				r.note("live")
			case watch.Lost:
				r.note(fmt.Sprintf("lost: %v", err))
			default:
				r.note("an unknown status")
			}
		},
	}
	go func() {
		defer close(r.done)
		l.Run(ctx)
	}()
	t.Cleanup(r.end)
	return r
}

// end stops the loop and waits for it. A goroutine that it leaves behind ends
// the test: the bubble sees it.
func (r *trial) end() {
	r.stop()
	<-r.done
}

func (r *trial) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, said{time.Since(r.begun), what})
}

// all returns what was said that begins with prefix.
func (r *trial) all(prefix string) []said {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []said
	for _, s := range r.said {
		if strings.HasPrefix(s.what, prefix) {
			some = append(some, s)
		}
	}
	return some
}

// want fails the test unless exactly this was said, at these times.
func (r *trial) want(prefix string, want ...said) {
	r.t.Helper()
	if got := r.all(prefix); !slices.Equal(got, want) {
		r.t.Errorf("said  %v\nwant %v", got, want)
	}
}

// until sleeps until d after the trial began.
func (r *trial) until(d time.Duration) {
	time.Sleep(d - time.Since(r.begun))
	synctest.Wait()
}

// script is a registry that does steps, each at its time, and then nothing. A
// step reports a set, or loses the watch: then the script goes on with the
// next one.
type step struct {
	at  time.Duration
	say string // a set, or "lose"
}

func script(steps ...step) func(context.Context, func([]entry)) error {
	begun := time.Now()
	return func(ctx context.Context, report func([]entry)) error {
		for len(steps) > 0 {
			s := steps[0]
			if d := s.at - time.Since(begun); d > 0 { // else at once, without a pause
				if err := sleep(ctx, d); err != nil {
					return err
				}
			}
			steps = steps[1:]
			if s.say == "lose" {
				return errors.New("told to")
			}
			report(set(s.say))
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

const ms = time.Millisecond

func TestFirstReportIsTakenAtOnceAndThenTheWatchLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, script(step{ms, "a b"}))
		r.until(time.Hour)
		r.want("", said{ms, "set a b"}, said{ms, "live"})
	})
}

func TestFirstOfABurstIsTakenAtOnceAndThenTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, script(step{5 * ms, "a"}, step{6 * ms, "a b"}, step{7 * ms, "b"}, step{24 * ms, "b c"}))
		r.until(time.Hour)
		r.want("set", said{5 * ms, "set a"}, said{25 * ms, "set b c"})
	})
}

func TestReportAfterAQuietTimeIsTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, script(step{0, "a"}, step{20 * ms, "b"}, step{40 * ms, "c"}, step{59 * ms, "d"}))
		r.until(time.Hour)
		r.want("set", said{0, "set a"}, said{20 * ms, "set b"}, said{40 * ms, "set c"}, said{60 * ms, "set d"})
	})
}

func TestReportsWithoutEndAreTakenFiftyTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []step
		const every = 997 * time.Microsecond // never at the instant of a take
		for i := range 1000 {
			steps = append(steps, step{time.Duration(i) * every, fmt.Sprint(i)})
		}
		r := try(t, 0, script(steps...))
		r.until(time.Minute)
		sets := r.all("set")
		for i, s := range sets {
			if i > 0 && s.at-sets[i-1].at < 20*ms {
				t.Errorf("%v after %v: too soon", s, sets[i-1])
			}
			if n := int(s.at / every); s.what != fmt.Sprintf("set %d", min(n, 999)) {
				t.Errorf("at %v %q was taken, which is not the latest report", s.at, s.what)
			}
		}
		if n := len(sets); n != 51 || sets[n-1].what != "set 999" {
			t.Errorf("%d sets taken in a second, the last is %v", n, sets[n-1])
		}
	})
}

func TestReportOfNothingIsASet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, script(step{0, ""}, step{time.Second, "a"}, step{2 * time.Second, ""}))
		r.until(time.Hour)
		r.want("set", said{0, "set "}, said{time.Second, "set a"}, said{2 * time.Second, "set "})
	})
}

func TestBadEntriesAndDuplicatesAreDroppedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, 0, script(step{0, "a=1 ! b a=2 b!x b c a=1"}, step{time.Second, "!"}))
		r.until(time.Hour)
		r.want("",
			said{0, "rejected !: bad entry"},
			said{0, "rejected a=2: duplicate entry"},
			said{0, "rejected b!x: bad entry"},
			said{0, "rejected b: duplicate entry"},
			said{0, "rejected a=1: duplicate entry"},
			said{0, "set a=1 b c"},
			said{0, "live"},
			said{time.Second, "rejected !: bad entry"},
			said{time.Second, "set "},
			said{time.Second, "live"},
		)
	})
}

func TestSliceOfAReportIsNeitherKeptNorChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine := set("a ! b c")
		r := try(t, 0, func(ctx context.Context, report func([]entry)) error {
			report(set("first"))
			report(mine) // taken later, as part of a burst
			if !slices.Equal(mine, set("a ! b c")) {
				t.Errorf("report changed its argument to %v", mine)
			}
			clear(mine)
			<-ctx.Done()
			return ctx.Err()
		})
		r.until(time.Second)
		if sets := r.all("set"); sets[len(sets)-1].what != "set a b c" {
			t.Errorf("%v was taken", sets)
		}
	})
}

func TestSetReportedJustBeforeTheWatchEndsIsNotLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  said
	}{
		{"the first", []step{{ms, "a"}, {ms, "lose"}}, said{ms, "set a"}},
		{"after a quiet time", []step{{0, "a"}, {time.Second, "b"}, {time.Second, "lose"}}, said{time.Second, "set b"}},
		{"the last of a burst", []step{{0, "a"}, {ms, "b"}, {ms, "lose"}}, said{20 * ms, "set b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 20 { // the report and the end are seen in a random order
				synctest.Test(t, func(t *testing.T) {
					r := try(t, 0, script(c.steps...))
					r.until(time.Hour)
					if sets := r.all("set"); len(sets) == 0 || sets[len(sets)-1] != c.want {
						t.Errorf("%v was taken, want %v at last", sets, c.want)
					}
				})
			}
		})
	}
}

// TestSetAndEndThatComeWhileTheLastSetIsTakenOverAreBothSeen: which of the two
// is seen first is a matter of chance.
func TestSetAndEndThatComeWhileTheLastSetIsTakenOverAreBothSeen(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			watches, last := 0, ""
			l := watch.Loop[entry]{
				Watch: func(ctx context.Context, report func([]entry)) error {
					if watches++; watches > 1 {
						<-ctx.Done()
						return ctx.Err()
					}
					report(set("a"))
					synctest.Wait() // until it is being taken over
					report(set("b"))
					return errors.New("lost")
				},
				Key: key, Same: same, Check: check, Rejected: func(entry, error) {}, Changed: func(watch.Status, error) {},
				Apply: func(set []entry) {
					last = words(set)
					time.Sleep(s)
				},
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				l.Run(ctx)
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

func TestLostWatchKeepsItsLastSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := try(t, time.Minute, script(step{0, "a b"}, step{time.Second, "lose"}, step{time.Hour, "a b c"}))
		r.until(time.Hour - 1)
		r.want("", said{0, "set a b"}, said{0, "live"}, said{time.Second, "lost: told to"})
		r.until(time.Hour)
		r.want("set", said{0, "set a b"}, said{time.Hour, "set a b c"})
		r.want("live", said{0, "live"}, said{time.Hour, "live"})
	})
}

func TestEveryWayToEndAWatchIsALoss(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func() error
		want string
	}{
		{"an error", func() error { return errors.New("session expired") }, "lost: session expired"},
		{"nil", func() error { return nil }, "lost: the watch ended without an error"},
		{"a panic", func() error { panic("nil map") }, "lost: the watcher panicked: nil map\ngoroutine "},
		{"a panic with an error", func() error { panic(errors.New("inner")) }, "lost: the watcher panicked: inner\ngoroutine "},
		{"the end of its goroutine", func() error { runtime.Goexit(); return nil }, "lost: the watcher ended its goroutine"},
		{"a context's error of its own", func() error { return context.Canceled }, "lost: context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				r := try(t, 0, func(ctx context.Context, report func([]entry)) error {
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
					t.Errorf("said %v, want %q", lost, c.want)
				}
				if runs != 2 {
					t.Errorf("the watch was begun %d times", runs)
				}
			})
		})
	}
}
