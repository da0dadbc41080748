package static_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// watcher is what both kinds of list offer to core.New.
type watcher interface {
	core.Watcher
	Validate() error
}

var (
	_ watcher = (*static.Fixed)(nil)
	_ watcher = (*static.List)(nil)
)

// first returns the first report of a watch.
func first(t *testing.T, w core.Watcher) []core.Endpoint {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var got []core.Endpoint
	err := w.Watch(ctx, func(eps []core.Endpoint) {
		got = eps
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Watch returned %v, want %v", err, context.Canceled)
	}
	return got
}

func TestValidateNamesEachBadEntryAndWhy(t *testing.T) {
	for _, c := range []struct {
		name string
		eps  []core.Endpoint
		want []string // in the error; none means no error
	}{
		{name: "good", eps: []core.Endpoint{{Addr: "a:1"}, {Addr: "[::1]:1"}, {Addr: "unix:/run/a"}, {Addr: "a:2", Weight: 2}}},
		{name: "no port", eps: []core.Endpoint{{Addr: "a:1"}, {Addr: "10.0.0.1"}}, want: []string{"entry 2 of 2", `"10.0.0.1"`, "missing port"}},
		{name: "empty", eps: []core.Endpoint{{Addr: ""}}, want: []string{"entry 1 of 1", `""`}},
		{name: "bad port", eps: []core.Endpoint{{Addr: "a:http"}}, want: []string{"entry 1 of 1", `"http"`}},
		{name: "bad weight", eps: []core.Endpoint{{Addr: "a:1", Weight: math.NaN()}}, want: []string{"entry 1 of 1", "weight NaN"}},
		{name: "twice", eps: []core.Endpoint{{Addr: "a:1"}, {Addr: "b:1"}, {Addr: "a:1", Zone: "x"}}, want: []string{"entry 3 of 3", `"a:1"`, "entry 1"}},
		{name: "several", eps: []core.Endpoint{{Addr: "a"}, {Addr: "b:1"}, {Addr: "c:0"}}, want: []string{"entry 1 of 3", "entry 3 of 3"}},
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

func TestWatchOfABadListReturnsItsErrorAndReportsNothing(t *testing.T) {
	for _, w := range []watcher{static.Watcher("a:1", "nonsense"), static.NewList(core.Endpoint{Addr: "nonsense"})} {
		err := w.Watch(t.Context(), func(eps []core.Endpoint) { t.Errorf("%T reported %v", w, eps) })
		if err == nil || err.Error() != w.Validate().Error() {
			t.Errorf("%T: Watch returned %v, want %v", w, err, w.Validate())
		}
	}
}

func TestWatcherListsAddressesInOrder(t *testing.T) {
	got := first(t, static.Watcher("b:1", "a:1"))
	want := []core.Endpoint{{Addr: "b:1"}, {Addr: "a:1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reported %v, want %v", got, want)
	}
}

func TestListsKeepNothingOfWhatTheyAreGiven(t *testing.T) {
	given := func() []core.Endpoint {
		return []core.Endpoint{{Addr: "a:1", Zone: "z", Attrs: map[string]string{"k": "v"}}}
	}
	set := &static.List{}
	makers := map[string]func(...core.Endpoint) core.Watcher{
		"Endpoints": func(eps ...core.Endpoint) core.Watcher { return static.Endpoints(eps...) },
		"NewList":   func(eps ...core.Endpoint) core.Watcher { return static.NewList(eps...) },
		"Set": func(eps ...core.Endpoint) core.Watcher {
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

func TestSetOfABadListLeavesTheListAsItWas(t *testing.T) {
	list := static.NewList(core.Endpoint{Addr: "a:1"})
	if list.Set(core.Endpoint{Addr: "b:1"}, core.Endpoint{Addr: "b:1"}) == nil {
		t.Fatal("Set took a duplicate")
	}
	if got := first(t, list); len(got) != 1 || got[0].Addr != "a:1" {
		t.Errorf("reported %v", got)
	}
}

func TestSetMendsAListThatWasMadeOfBadEntries(t *testing.T) {
	list := static.NewList(core.Endpoint{Addr: "nonsense"})
	if err := list.Set(core.Endpoint{Addr: "a:1"}); err != nil {
		t.Fatal(err)
	}
	if err := list.Validate(); err != nil {
		t.Errorf("Validate: %v", err)
	}
	if got := first(t, list); len(got) != 1 || got[0].Addr != "a:1" {
		t.Errorf("reported %v", got)
	}
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
			_ = list.Watch(ctx, func(eps []core.Endpoint) {
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
				if err := list.Set(core.Endpoint{Addr: "a:1"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	set.Wait()
	if err := list.Set(core.Endpoint{Addr: "a:1"}, core.Endpoint{Addr: "b:1"}); err != nil {
		t.Fatal(err)
	}
	reached.Wait() // the test's own timeout is the limit
	cancel()
	ended.Wait()
}
