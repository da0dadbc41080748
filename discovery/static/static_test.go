package static_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// watcher is what a pool uses of both kinds of list.
type watcher interface {
	discovery.Watcher
	Validate() error
}

var (
	_ watcher = (*static.Fixed)(nil)
	_ watcher = (*static.List)(nil)
)

// first returns the first report of a watch.
func first(t *testing.T, w discovery.Watcher) []discovery.Endpoint {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var got []discovery.Endpoint
	err := w.Watch(ctx, func(eps []discovery.Endpoint) {
		got = eps
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Watch returned %v, want %v", err, context.Canceled)
	}
	return got
}

func TestValidateNamesEachInvalidEntryAndWhy(t *testing.T) {
	for _, c := range []struct {
		name string
		eps  []discovery.Endpoint
		want []string // in the error; none means no error
	}{
		{name: "good", eps: []discovery.Endpoint{{Addr: "a:1"}, {Addr: "[::1]:1"}, {Addr: "unix:/run/a"}, {Addr: "a:2", Weight: 2}}},
		{name: "no port", eps: []discovery.Endpoint{{Addr: "a:1"}, {Addr: "10.0.0.1"}}, want: []string{"entry 2 of 2", `"10.0.0.1"`, "missing port"}},
		{name: "empty", eps: []discovery.Endpoint{{Addr: ""}}, want: []string{"entry 1 of 1", `""`}},
		{name: "bad port", eps: []discovery.Endpoint{{Addr: "a:http"}}, want: []string{"entry 1 of 1", `"http"`}},
		{name: "bad weight", eps: []discovery.Endpoint{{Addr: "a:1", Weight: math.NaN()}}, want: []string{"entry 1 of 1", "weight NaN"}},
		{name: "twice", eps: []discovery.Endpoint{{Addr: "a:1"}, {Addr: "b:1"}, {Addr: "a:1", Zone: "x"}}, want: []string{"entry 3 of 3", `"a:1"`, "entry 1"}},
		{name: "several", eps: []discovery.Endpoint{{Addr: "a"}, {Addr: "b:1"}, {Addr: "c:0"}}, want: []string{"entry 1 of 3", "entry 3 of 3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(what string, err error) {
				t.Helper()
				if (err != nil) != (len(c.want) > 0) {
					t.Fatalf("%s: error %v, want one with %q", what, err, c.want)
				}
				for _, part := range c.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: error %q does not say %q", what, err, part)
					}
				}
			}
			check("Endpoints", static.Endpoints(c.eps...).Validate())
			check("NewList", static.NewList(c.eps...).Validate())
			check("Set", static.NewList().Set(c.eps...))
		})
	}
}

func TestFixedListWithoutServersIsAMistake(t *testing.T) {
	if static.Watcher().Validate() == nil {
		t.Error("Watcher() is valid")
	}
	if err := static.NewList().Validate(); err != nil {
		t.Errorf("NewList() is not valid: %v", err)
	}
}

func TestWatchOfAnInvalidListReturnsItsErrorAndReportsNothing(t *testing.T) {
	for _, w := range []watcher{static.Watcher("a:1", "nonsense"), static.NewList(discovery.Endpoint{Addr: "nonsense"})} {
		err := w.Watch(t.Context(), func(eps []discovery.Endpoint) { t.Errorf("%T reported %v", w, eps) })
		if err == nil || err.Error() != w.Validate().Error() {
			t.Errorf("%T: Watch returned %v, want %v", w, err, w.Validate())
		}
	}
}

func TestWatcherListsAddressesInOrder(t *testing.T) {
	got := first(t, static.Watcher("b:1", "a:1"))
	want := []discovery.Endpoint{{Addr: "b:1"}, {Addr: "a:1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reported %v, want %v", got, want)
	}
}

func TestListsKeepCopiesOfTheirArguments(t *testing.T) {
	given := func() []discovery.Endpoint {
		return []discovery.Endpoint{{Addr: "a:1", Zone: "z", Attrs: map[string]string{"k": "v"}}}
	}
	set := &static.List{}
	makers := map[string]func(...discovery.Endpoint) discovery.Watcher{
		"Endpoints": func(eps ...discovery.Endpoint) discovery.Watcher { return static.Endpoints(eps...) },
		"NewList":   func(eps ...discovery.Endpoint) discovery.Watcher { return static.NewList(eps...) },
		"Set": func(eps ...discovery.Endpoint) discovery.Watcher {
			if err := set.Set(eps...); err != nil {
				t.Fatal(err)
			}
			return set
		},
	}
	for name, make := range makers {
		eps := given()
		w := make(eps...)
		eps[0].Attrs["k"] = "changed"
		eps[0].Addr = "changed:1"
		if got := first(t, w); !reflect.DeepEqual(got, given()) {
			t.Errorf("%s: reported %v after its argument was changed", name, got)
		}
	}
}

func TestSetOfInvalidEndpointsLeavesTheListAsItWas(t *testing.T) {
	list := static.NewList(discovery.Endpoint{Addr: "a:1"})
	if list.Set(discovery.Endpoint{Addr: "b:1"}, discovery.Endpoint{Addr: "b:1"}) == nil {
		t.Fatal("Set took a duplicate")
	}
	if got := first(t, list); len(got) != 1 || got[0].Addr != "a:1" {
		t.Errorf("reported %v", got)
	}
}

func TestSetReplacesInvalidEntriesOfNewList(t *testing.T) {
	list := static.NewList(discovery.Endpoint{Addr: "nonsense"})
	if err := list.Set(discovery.Endpoint{Addr: "a:1"}); err != nil {
		t.Fatal(err)
	}
	if err := list.Validate(); err != nil {
		t.Errorf("Validate: %v", err)
	}
	if got := first(t, list); len(got) != 1 || got[0].Addr != "a:1" {
		t.Errorf("reported %v", got)
	}
}

func TestWhatSetRemovesIsOutOfUseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := static.NewList(discovery.Endpoint{Addr: "a:1"}, discovery.Endpoint{Addr: "b:1"}, discovery.Endpoint{Addr: "c:1"})
		ctx, stop := context.WithCancel(t.Context())
		var sets []int
		done := make(chan struct{})
		go func() {
			defer close(done)
			discovery.Follow(ctx, list, discovery.Follower{
				RemovalGrace: time.Hour,
				Changed:      func(c discovery.Change) { sets = append(sets, len(c.Set)) },
			})
		}()
		for _, left := range [][]discovery.Endpoint{{{Addr: "a:1"}}, nil} {
			time.Sleep(time.Second)
			if err := list.Set(left...); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		stop()
		<-done
		if !slices.Equal(sets, []int{3, 1, 0}) {
			t.Errorf("the sets had %d endpoints", sets)
		}
	})
}

func TestConcurrentWatchesOfOneListAllReachTheLastSet(t *testing.T) {
	const watches, setters, sets = 8, 4, 200
	var list static.List
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var reached, ended sync.WaitGroup
	for range watches {
		reached.Add(1)
		ended.Go(func() {
			seen := false
			_ = list.Watch(ctx, func(eps []discovery.Endpoint) {
				if len(eps) == 2 && !seen { // only the last set has two entries
					seen = true
					reached.Done()
				}
			})
		})
	}
	var set sync.WaitGroup
	for range setters {
		set.Go(func() {
			for range sets {
				if err := list.Set(discovery.Endpoint{Addr: "a:1"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	set.Wait()
	if err := list.Set(discovery.Endpoint{Addr: "a:1"}, discovery.Endpoint{Addr: "b:1"}); err != nil {
		t.Fatal(err)
	}
	reached.Wait() // the test's own timeout is the limit
	cancel()
	ended.Wait()
}
