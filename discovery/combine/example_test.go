package combine_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// show prints the first set that a watcher reports.
func show(w discovery.Watcher) {
	ctx, stop := context.WithCancel(context.Background())
	err := w.Watch(ctx, func(eps []discovery.Endpoint) {
		for _, e := range eps {
			fmt.Print(e.Addr, " ")
		}
		stop()
	})
	fmt.Println(err)
}

// Several registries may be one line of configuration.
func ExampleOpen() {
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	mux.Handle("file", file.Opener)

	w, err := combine.Open(&mux, "static://a:1 and static://b:1,c:1 or else after 1m file:///var/lib/echo/servers")
	if err != nil {
		log.Fatal(err)
	}
	show(w)
	// Output: a:1 b:1 c:1 context canceled
}

// During a move, clients use the servers of the old registry and of the new one.
func ExampleUnion() {
	show(combine.Union(static.Watcher("a:1", "b:1"), static.Watcher("b:1", "c:1")))
	// Output: a:1 b:1 c:1 context canceled
}

// A filter keeps part of a registry's servers.
func ExampleFilter() {
	all := static.Endpoints(
		discovery.Endpoint{Addr: "a:1", Attrs: map[string]string{"version": "1"}},
		discovery.Endpoint{Addr: "b:1", Attrs: map[string]string{"version": "2"}},
	)
	show(combine.Filter(all, func(e discovery.Endpoint) bool { return e.Attrs["version"] == "2" }))
	// Output: b:1 context canceled
}

// silent is a registry that does not answer.
type silent struct{}

func (silent) Watch(ctx context.Context, _ func([]discovery.Endpoint)) error {
	<-ctx.Done()
	return ctx.Err()
}

// The last set is kept in a file, and used by a program that starts while the registry is
// down.
func ExampleRemember() {
	dir, err := os.MkdirTemp("", "remember")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "echo.json")

	show(combine.Remember(static.Watcher("a:1"), path, 0, nil))
	show(combine.Remember(silent{}, path, 0, nil))
	// Output:
	// a:1 context canceled
	// a:1 context canceled
}

// The registry of a running pool is exchanged.
func ExampleSwap() {
	swap := combine.NewSwap(static.Watcher("a:1"))
	ctx, stop := context.WithCancel(context.Background())
	err := swap.Watch(ctx, func(eps []discovery.Endpoint) {
		fmt.Println(eps[0].Addr)
		if eps[0].Addr == "b:1" {
			stop()
		} else if err := swap.Set(static.Watcher("b:1")); err != nil {
			fmt.Println(err)
		}
	})
	fmt.Println(err)
	// Output:
	// a:1
	// b:1
	// context canceled
}

// When the primary registry is lost, the secondary one counts.
func ExampleFailover() {
	show(combine.Failover(silent{}, static.Watcher("a:1"), 0))
	// Output: a:1 context canceled
}
