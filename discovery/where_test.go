package discovery_test

import (
	"context"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// cluster is a registry of a cluster of databases.
type cluster struct{ list *static.List }

func (c cluster) Watcher(*discovery.URL) (discovery.Watcher, error) { return c.list, nil }

// members are its servers.
func members() []discovery.Endpoint {
	return []discovery.Endpoint{
		{Addr: "a:1", Zone: "eu", Attrs: map[string]string{"role": "master"}},
		{Addr: "b:1", Zone: "eu", Weight: 2, Attrs: map[string]string{"role": "replica"}},
		{Addr: "c:1", Zone: "us", Attrs: map[string]string{"role": "replica", "canary": "true"}},
		{Addr: "d:1", Zone: "us", Attrs: map[string]string{"role": "sync_standby"}},
	}
}

// openCluster opens a URL of the cluster.
func openCluster(t *testing.T, query string, eps ...discovery.Endpoint) (discovery.Watcher, *static.List) {
	t.Helper()
	list := static.NewList(eps...)
	var mux discovery.Mux
	mux.Handle("cluster", func(*discovery.Params) discovery.Backend { return cluster{list} })
	w, err := mux.Open("cluster://h?" + query)
	if err != nil {
		t.Fatal(err)
	}
	return w, list
}

// first returns the first report of w.
func first(t *testing.T, w discovery.Watcher) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got := "nothing"
	_ = w.Watch(ctx, func(set []discovery.Endpoint) {
		all := make([]string, len(set))
		for i, e := range set {
			all[i] = e.Addr
		}
		got = strings.Join(all, " ")
		cancel()
	})
	return got
}

func TestWhereKeepsTheServersThatMatchEachName(t *testing.T) {
	for query, want := range map[string]string{
		"":                                 "a:1 b:1 c:1 d:1",
		"where=role:master":                "a:1",
		"where=role:replica":               "b:1 c:1",
		"where=role:replica&where=zone:us": "c:1",
		"where=role:replica&where=role:sync_standby": "b:1 c:1 d:1",
		"where=canary:":     "a:1 b:1 d:1",
		"where=canary:true": "c:1",
		"where=weight:1":    "a:1 c:1 d:1",
		"where=weight:2.0":  "b:1",
		"where=role:Master": "",
		"where=role:a:b":    "",
	} {
		w, _ := openCluster(t, query, members()...)
		if got := first(t, w); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestConditionsThatAreNoneAreErrors(t *testing.T) {
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	for _, c := range []string{"role", ":master", "weight:", "weight:heavy", ""} {
		if _, err := mux.Open("static://h:1?where=" + c); err == nil || !strings.Contains(err.Error(), "is not name:value") {
			t.Errorf("%q: error %v", c, err)
		}
	}
	if w, err := mux.Open("static://h:1?where=zone:"); err != nil {
		t.Error(err)
	} else if got := first(t, w); got != "h:1" {
		t.Errorf("got %q", got)
	}
}

func TestWhereThatMatchesNothingIsNamed(t *testing.T) {
	w, list := openCluster(t, "where=role:primary&where=zone:eu", members()...)
	warnings := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		discovery.Follow(ctx, w, discovery.Follower{Warned: func(err error) { warnings <- err }})
	}()
	want := `none of the 4 servers is where=role:primary&where=zone:eu; 2 of 4 have role:"replica"; 1 of 4 have role:"master"; ` +
		`1 of 4 have role:"sync_standby"; 2 of 4 have zone:"eu"; 2 of 4 have zone:"us"`
	if err := <-warnings; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the warning is %v, want %s", err, want)
	}
	if err := list.Set(discovery.Endpoint{Addr: "e:1", Zone: "eu", Attrs: map[string]string{"role": "primary"}}); err != nil {
		t.Fatal(err)
	}
	if err := <-warnings; err != nil {
		t.Errorf("when one matches, the warning is %v", err)
	}
	cancel()
	<-ended
}

func TestFilteredWatcherIsStillTheOther(t *testing.T) {
	w, _ := openCluster(t, "where=role:master", members()...)
	if a, ok := w.(interface{ Authoritative() bool }); !ok || !a.Authoritative() {
		t.Error("sets of the program are not its own any more")
	}
	if v, ok := w.(interface{ Validate() error }); !ok || v.Validate() != nil {
		t.Error("it cannot be validated")
	}
}
