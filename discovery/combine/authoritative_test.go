package combine_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// inUse is a Follow with a removal grace of an hour that runs in a bubble.
type inUse struct {
	t *testing.T

	mu  sync.Mutex
	set []string
}

func use(t *testing.T, w discovery.Watcher) *inUse {
	t.Helper()
	x := &inUse{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		discovery.Follow(ctx, w, discovery.Follower{
			RemovalGrace: time.Hour,
			Changed: func(c discovery.Change) {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.set = nil
				for _, e := range c.Set {
					x.set = append(x.set, e.Addr)
				}
				slices.Sort(x.set)
			},
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return x
}

// after lets d pass and expects the set to be in use.
func (x *inUse) after(d time.Duration, want ...string) {
	x.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Equal(x.set, want) {
		x.t.Errorf("in use are %q, want %q", strings.Join(x.set, " "), strings.Join(want, " "))
	}
}

func newList(addrs ...string) *static.List {
	l := &static.List{}
	setList(l, addrs...)
	return l
}

func setList(l *static.List, addrs ...string) {
	eps := make([]discovery.Endpoint, len(addrs))
	for i, a := range addrs {
		eps[i].Addr = a
	}
	if err := l.Set(eps...); err != nil {
		panic(err)
	}
}

func TestCombinationsPassOnThatASetIsTheProgramsOwnDecision(t *testing.T) {
	all := func(discovery.Endpoint) bool { return true }
	for name, combined := range map[string]func(w discovery.Watcher) discovery.Watcher{
		"Filter": func(w discovery.Watcher) discovery.Watcher { return combine.Filter(w, all) },
		"Union":  func(w discovery.Watcher) discovery.Watcher { return combine.Union(w, newList("z:1")) },
		"Failover": func(w discovery.Watcher) discovery.Watcher {
			return combine.Failover(w, newRegistry("y:1"), time.Second)
		},
		"the secondary of Failover": func(w discovery.Watcher) discovery.Watcher {
			return combine.Failover(lost{}, w, 0)
		},
		"Remember": func(w discovery.Watcher) discovery.Watcher {
			return combine.Remember(w, remembered(t, ""), time.Minute, nil)
		},
		"Swap": func(w discovery.Watcher) discovery.Watcher { return combine.NewSwap(w) },
		"all of them": func(w discovery.Watcher) discovery.Watcher {
			return combine.Filter(combine.Union(combine.Failover(combine.NewSwap(w), hung{}, time.Hour)), all)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const z = "z:1"
			others := []string{}
			if name == "Union" {
				others = []string{z}
			}
			synctest.Test(t, func(t *testing.T) {
				l := newList("a:1", "b:1", "c:1", "d:1")
				x := use(t, combined(l))
				x.after(time.Second, append([]string{"a:1", "b:1", "c:1", "d:1"}, others...)...)
				setList(l, "a:1")
				x.after(time.Second, append([]string{"a:1"}, others...)...)
			})
			synctest.Test(t, func(t *testing.T) {
				r := newRegistry("a:1", "b:1", "c:1", "d:1")
				x := use(t, combined(r))
				x.after(time.Second, append([]string{"a:1", "b:1", "c:1", "d:1"}, others...)...)
				r.set("a:1")
				x.after(time.Second, append([]string{"a:1", "b:1", "c:1", "d:1"}, others...)...)
			})
		})
	}
}

// TestUnionWithARegistryIsNoDecisionOfTheProgram changes the list of a union while
// endpoints of its registry are kept for the grace.
func TestUnionWithARegistryIsNoDecisionOfTheProgram(t *testing.T) {
	for _, listFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l, r := newList("a:1"), newRegistry("d:1", "e:1", "f:1")
			w := combine.Union(r, l)
			if listFirst {
				w = combine.Union(l, r)
			}
			x := use(t, w)
			x.after(time.Second, "a:1", "d:1", "e:1", "f:1")
			r.set()
			x.after(time.Second, "a:1", "d:1", "e:1", "f:1")
			setList(l, "a:1", "b:1")
			x.after(time.Second, "a:1", "b:1", "d:1", "e:1", "f:1")
		})
	}
}

func TestFirstSetOfAWatcherThatSwapWasGivenCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRegistry("d:1", "e:1", "f:1")
		s := combine.NewSwap(newRegistry("a:1", "b:1", "c:1"))
		x, y := use(t, s), use(t, s) // in every pool that it is the watcher of
		x.after(time.Second, "a:1", "b:1", "c:1")
		if err := s.Set(b); err != nil {
			t.Fatal(err)
		}
		x.after(time.Second, "d:1", "e:1", "f:1")
		y.after(0, "d:1", "e:1", "f:1")
		b.set("d:1") // the second set is the registry's word
		x.after(time.Second, "d:1", "e:1", "f:1")
		y.after(0, "d:1", "e:1", "f:1")
	})
}

// TestWatcherThatSwapWasGivenWhileItWasLostCountsAtOnce sets the watcher between
// two Watches.
func TestWatcherThatSwapWasGivenWhileItWasLostCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry("a:1", "b:1", "c:1")
		s := combine.NewSwap(a)
		x := use(t, s)
		x.after(time.Second, "a:1", "b:1", "c:1")
		a.fall()
		x.after(time.Minute, "a:1", "b:1", "c:1")
		b := newRegistry("d:1", "e:1", "f:1")
		if err := s.Set(b); err != nil {
			t.Fatal(err)
		}
		x.after(time.Minute, "d:1", "e:1", "f:1")
		b.fall()
		x.after(time.Second, "d:1", "e:1", "f:1")
		b.set("d:1")
		b.rise()
		x.after(time.Minute, "d:1", "e:1", "f:1") // begun again, it is not put in anew
	})
}

func TestFailingOverIsNoDecisionOfTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRegistry("a:1", "b:1", "c:1"), newList("d:1")
		x := use(t, combine.Failover(a, b, time.Second))
		x.after(time.Second, "a:1", "b:1", "c:1")
		a.fall()
		x.after(2*time.Second, "a:1", "b:1", "c:1", "d:1")
		setList(b, "e:1") // but this is one
		x.after(time.Second, "e:1")
	})
}

func TestWhatIsRememberedIsNoDecisionOfTheProgram(t *testing.T) {
	file := remembered(t, `[{"Addr":"a:1"},{"Addr":"b:1"},{"Addr":"c:1"}]`)
	synctest.Test(t, func(t *testing.T) {
		r := newRegistry("d:1", "e:1", "f:1")
		r.fall()
		s := combine.NewSwap(newRegistry("x:1", "y:1", "z:1"))
		x := use(t, s)
		x.after(time.Second, "x:1", "y:1", "z:1")
		memory := combine.Remember(r, file, 0, nil)
		if err := s.Set(memory); err != nil {
			t.Fatal(err)
		}
		x.after(time.Second, "a:1", "b:1", "c:1") // because of Set
		r.rise()
		x.after(time.Minute, "a:1", "b:1", "c:1", "d:1", "e:1", "f:1")
	})
}

// TestAuthoritativeIsTrueOnlyIfItIsForAllReportsUnderWay asks a Swap of which
// two Watches report.
func TestAuthoritativeIsTrueOnlyIfItIsForAllReportsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := combine.NewSwap(newRegistry("a:1"))
		if s.Authoritative() {
			t.Error("true, and nothing is reported")
		}
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		done := make(chan struct{}, 2)
		go func() { // in its first report, which is not decided by the program
			_ = s.Watch(ctx, func([]discovery.Endpoint) { <-release })
			done <- struct{}{}
		}()
		synctest.Wait()
		var answers []bool
		if err := s.Set(newList("b:1")); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = s.Watch(ctx, func([]discovery.Endpoint) {
				answers = append(answers, s.Authoritative())
				close(release)
				time.Sleep(time.Second) // until only this report is left
				answers = append(answers, s.Authoritative())
			})
			done <- struct{}{}
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(answers, []bool{false, true}) {
			t.Errorf("the answers are %v", answers)
		}
		cancel()
		<-done
		<-done
	})
}
