package combine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

var errDown = errors.New("registry down")

// lost is a watcher that is always lost at once.
type lost struct{}

func (lost) Watch(context.Context, func([]discovery.Endpoint)) error { return errDown }

// hung is a watcher that never reports.
type hung struct{}

func (hung) Watch(ctx context.Context, _ func([]discovery.Endpoint)) error {
	<-ctx.Done()
	return ctx.Err()
}

// registry is a list that can be down; watches count those that run.
type registry struct {
	static.List
	mu      sync.Mutex
	down    chan struct{} // closed while it is down
	watches int
}

func newRegistry(addrs ...string) *registry {
	r := &registry{down: make(chan struct{})}
	r.set(addrs...)
	return r
}

func (r *registry) set(addrs ...string) {
	eps := make([]discovery.Endpoint, len(addrs))
	for i, a := range addrs {
		eps[i].Addr, eps[i].Zone, _ = strings.Cut(a, "/")
	}
	if err := r.Set(eps...); err != nil {
		panic(err)
	}
}

func (r *registry) fall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.down)
}

func (r *registry) rise() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = make(chan struct{})
}

func (r *registry) count(n int) (down <-chan struct{}, watches int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches += n
	return r.down, r.watches
}

// Authoritative takes back what the embedded list says: this is a registry.
func (r *registry) Authoritative() bool { return false }

func (r *registry) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	down, _ := r.count(+1)
	defer r.count(-1)
	select {
	case <-down:
		return errDown
	default:
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-down:
			cancel()
		case <-inner.Done():
		}
	}()
	_ = r.List.Watch(inner, report)
	cancel()
	<-done
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errDown
}

// watching is a Watch that runs in a bubble.
type watching struct {
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	sets []string // without those that repeat the one before
	last string
	err  error
}

func watch(t *testing.T, w discovery.Watcher) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	x := &watching{t: t, stop: cancel, done: make(chan struct{}), last: "none"}
	go func() {
		defer close(x.done)
		err := w.Watch(ctx, func(set []discovery.Endpoint) {
			var addrs []string
			for _, e := range set {
				a := e.Addr
				if e.Zone != "" {
					a += "/" + e.Zone
				}
				addrs = append(addrs, a)
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			if set := strings.Join(addrs, " "); set != x.last {
				x.sets, x.last = append(x.sets, set), set
			}
		})
		x.mu.Lock()
		defer x.mu.Unlock()
		x.err = err
	}()
	t.Cleanup(func() { cancel(); <-x.done })
	return x
}

// after lets d pass and expects that these other sets were reported since the
// last call.
func (x *watching) after(d time.Duration, want ...string) {
	x.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	if got := strings.Join(x.sets, " | "); got != strings.Join(want, " | ") {
		x.t.Errorf("reported %q, want %q", got, strings.Join(want, " | "))
	}
	x.sets = nil
}

// ended expects that the watch has returned for the reason.
func (x *watching) ended(want error) {
	x.t.Helper()
	synctest.Wait()
	select {
	case <-x.done:
		x.mu.Lock()
		defer x.mu.Unlock()
		if !errors.Is(x.err, want) {
			x.t.Errorf("Watch returned %v, want %v", x.err, want)
		}
	default:
		x.t.Errorf("Watch goes on, want %v", want)
	}
}

func TestUnionWaitsForAllAndUsesTheFirstOfEqualAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRegistry("a:1/first", "b:1"), newRegistry("a:1/second", "c:1")
		x := watch(t, combine.Union(a, b))
		x.after(0, "a:1/first b:1 c:1")
		a.set("b:1")
		x.after(0, "b:1 a:1/second c:1")
		b.set("a:1/second", "b:1", "c:1")
		x.after(0) // the same
	})
	synctest.Test(t, func(t *testing.T) {
		x := watch(t, combine.Union(newRegistry("a:1"), hung{}))
		x.after(time.Hour)
	})
}

func TestUnionKeepsTheSetOfALostRegistryAndFollowsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRegistry("a:1"), newRegistry("b:1")
		x := watch(t, combine.Union(a, b))
		x.after(0, "a:1 b:1")
		b.fall()
		x.after(time.Hour)
		a.set("a:2")
		x.after(0, "a:2 b:1")
		b.set("b:2")
		b.rise()
		x.after(time.Minute, "a:2 b:2")
		a.fall()
		b.fall()
		x.after(0)
		x.ended(errDown)
	})
}

func TestUnionNamesThreeOfItsLostRegistriesAndCountsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*registry
		var ws []discovery.Watcher
		for range 10 {
			r := newRegistry("a:1")
			all, ws = append(all, r), append(ws, r)
		}
		x := watch(t, combine.Union(ws...))
		x.after(time.Second, "a:1")
		for _, r := range all {
			r.fall()
		}
		x.after(0)
		x.ended(errDown)
		if got := x.err.Error(); strings.Count(got, errDown.Error()) != 3 || !strings.Contains(got, "and 7 more") {
			t.Errorf("got %q", got)
		}
	})
}

func TestUnionWithARegistryThatIsDownFromTheStartIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := watch(t, combine.Union(newRegistry("a:1"), lost{}))
		x.after(time.Second)
		x.ended(errDown)
	})
}

// refused is a registry that, after its first watch, refuses the program for good.
type refused struct {
	*registry
	seen atomic.Bool
}

func (r *refused) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if r.seen.Swap(true) {
		return discovery.Permanent(errDown)
	}
	return r.registry.Watch(ctx, report)
}

func TestTheLossOfOneOfSeveralIsTold(t *testing.T) {
	for name, combined := range map[string]func(member, other discovery.Watcher) discovery.Watcher{
		"union": func(member, other discovery.Watcher) discovery.Watcher { return combine.Union(other, member) },
		"failover": func(member, other discovery.Watcher) discovery.Watcher {
			return combine.Failover(member, other, time.Second)
		},
		"swap": func(member, other discovery.Watcher) discovery.Watcher {
			s := combine.NewSwap(other)
			time.AfterFunc(time.Second, func() { _ = s.Set(member) })
			_ = member.(*refused).seen.Swap(true) // it is refused from the beginning
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				member, other := &refused{registry: newRegistry("10.0.0.1:1")}, newRegistry("10.0.0.2:1")
				var told []error
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go discovery.Follow(ctx, combined(member, other), discovery.Follower{
					Changed:  func(discovery.Change) {},
					Retrying: func(err error) { told = append(told, err) },
				})
				time.Sleep(time.Minute)
				member.fall()
				time.Sleep(time.Hour)
				cancel()
				synctest.Wait()
				if len(told) < 50 || !errors.Is(told[len(told)-1], errDown) {
					t.Errorf("told %d times", len(told))
				}
			})
		})
	}
}

// odd is a registry that warns, with each watch.
type odd struct {
	*registry
	warning error
}

func (o odd) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	discovery.ReportWarning(ctx, o.warning)
	return o.registry.Watch(ctx, report)
}

func TestWarningsOfSeveralAreReportedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Value
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		follow := func(w discovery.Watcher) {
			go discovery.Follow(ctx, w, discovery.Follower{
				Changed: func(discovery.Change) {},
				Warned:  func(err error) { told.Store(fmt.Sprint(err)) },
			})
			time.Sleep(time.Second)
		}
		is := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := told.Load(); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		of := func(warning error) odd { return odd{newRegistry("10.0.0.1:1"), warning} }
		follow(combine.Union(of(errors.New("a")), of(nil), of(errors.New("c"))))
		is("a union", "a\nc")
		primary := of(nil)
		follow(combine.Failover(primary, of(errors.New("secondary")), time.Second))
		is("a failover with its primary", "<nil>")
		primary.fall()
		time.Sleep(time.Minute)
		is("with its secondary", "secondary")
		primary.rise()
		time.Sleep(time.Minute)
		is("with its primary again", "<nil>")
		cancel()
	})
}

func TestFailoverUsesTheSecondaryAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRegistry("a:1"), newRegistry("b:1")
		x := watch(t, combine.Failover(a, b, 10*time.Second))
		x.after(time.Hour, "a:1")
		if _, n := b.count(0); n != 0 {
			t.Error("the secondary is watched without need")
		}
		a.fall()
		x.after(9 * time.Second)
		x.after(time.Second, "b:1")
		b.set("b:2")
		x.after(0, "b:2")
		a.rise()
		x.after(time.Minute, "a:1")
		if _, n := b.count(0); n != 0 {
			t.Error("the secondary is still watched")
		}
		x.after(time.Hour) // so that the back-off begins anew
		a.fall()
		x.after(time.Second)
		a.rise() // in time
		x.after(time.Hour)
	})
}

func TestFailoverDoesNotWaitForAPrimaryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := watch(t, combine.Failover(hung{}, newRegistry("b:1"), 10*time.Second))
		x.after(9 * time.Second)
		x.after(time.Second, "b:1")
	})
}

func TestFailoverReturnsTheLossOfBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRegistry("a:1"), newRegistry("b:1")
		x := watch(t, combine.Failover(a, b, time.Second))
		x.after(0, "a:1")
		a.fall()
		x.after(time.Second, "b:1")
		b.fall()
		x.after(0)
		x.ended(errDown)
	})
}

func TestFilterReportsOnlyWhatItKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRegistry("a:1/x", "b:1/y")
		x := watch(t, combine.Filter(a, func(e discovery.Endpoint) bool { return e.Zone == "x" }))
		x.after(0, "a:1/x")
		a.set("a:1/x", "b:2/y")
		x.after(0)
		a.set("b:2/y")
		x.after(0, "")
		a.fall()
		x.ended(errDown)
	})
}

func TestSwapKeepsTheOldSetUntilTheNewWatcherReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newRegistry("a:1"), newRegistry("b:1")
		b.fall()
		s := combine.NewSwap(a)
		x := watch(t, s)
		x.after(0, "a:1")
		if err := s.Set(b); err != nil {
			t.Fatal(err)
		}
		x.after(time.Hour)
		a.set("a:2")
		x.after(0, "a:2")
		b.rise()
		x.after(time.Minute, "b:1")
		if _, n := a.count(0); n != 0 {
			t.Error("the old registry is still watched")
		}
		a.set("a:3")
		x.after(time.Hour)
		b.fall()
		x.ended(errDown)
	})
}

func TestTheLastOfSeveralSwapsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newRegistry("b:1"), newRegistry("c:1")
		b.fall()
		s := combine.NewSwap(newRegistry("a:1"))
		x := watch(t, s)
		x.after(0, "a:1")
		for _, w := range []discovery.Watcher{b, c} {
			if err := s.Set(w); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		b.rise()
		x.after(time.Hour, "c:1")
		if _, n := b.count(0); n != 0 {
			t.Error("the one between is still watched")
		}
	})
}

func TestSwapBeginsWithTheLastWatcherThatWasSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := combine.NewSwap(newRegistry("a:1"))
		if err := s.Set(newRegistry("b:1")); err != nil {
			t.Fatal(err)
		}
		x := watch(t, s)
		x.after(time.Hour, "b:1")
	})
}

func TestValidateReportsTheMistakesOfTheWatchers(t *testing.T) {
	bad, good := static.Watcher("nowhere"), static.Watcher("a:1")
	for name, w := range map[string]discovery.Watcher{
		"union":             combine.Union(good, bad),
		"empty union":       combine.Union(),
		"union of nil":      combine.Union(good, nil),
		"primary":           combine.Failover(bad, good, 0),
		"secondary":         combine.Failover(good, bad, 0),
		"negative time":     combine.Failover(good, good, -1),
		"filter":            combine.Filter(bad, func(discovery.Endpoint) bool { return true }),
		"filter of nothing": combine.Filter(good, nil),
		"swap":              combine.NewSwap(bad),
	} {
		if err := w.(interface{ Validate() error }).Validate(); err == nil {
			t.Errorf("%s is valid", name)
		}
	}
	s := combine.NewSwap(good)
	if s.Set(bad) == nil || s.Set(nil) == nil || s.Validate() != nil {
		t.Error("a bad watcher was set")
	}
}

type place struct {
	discovery.Watcher

	name string
}

func (p place) String() string { return p.name }

func TestPlacesOfTheWatchersAreNamed(t *testing.T) {
	a, b, none := place{name: "zk /a"}, place{name: "etcd /b/"}, static.Watcher("a:1")
	for want, w := range map[string]discovery.Watcher{
		"zk /a and etcd /b/":     combine.Union(a, none, b),
		"zk /a or else etcd /b/": combine.Failover(a, b, 0),
		"zk /a":                  combine.Filter(combine.Remember(a, "file", 0, nil), nil),
		"":                       combine.Filter(none, nil),
	} {
		if got := w.(interface{ String() string }).String(); got != want {
			t.Errorf("it is %q, want %q", got, want)
		}
	}
}
