package static_test

import (
	"context"
	"fmt"
	"log"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// A fixed list is the simplest watcher of a pool.
func ExampleWatcher() {
	pool, err := core.New(static.Watcher("10.0.0.1:9090", "10.0.0.2:9090"), pooltest.NewFleet())
	if err != nil {
		log.Fatal(err)
	}
	err = pool.WaitReady(context.Background())
	fmt.Println(pool.Len(), "servers", err, pool.Close(context.Background()))
	// Output: 2 servers <nil> <nil>
}

// Endpoints lists servers with weights, zones and attributes. Mistakes are errors of
// core.New.
func ExampleEndpoints() {
	w := static.Endpoints(
		discovery.Endpoint{Addr: "10.0.0.1:9090", Weight: 2, Zone: "east"},
		discovery.Endpoint{Addr: "10.0.0.2"},
	)
	_, err := core.New(w, pooltest.NewFleet())
	fmt.Println(err)
	// Output: core: the watcher is not valid: static: entry 2 of 2: discovery: endpoint "10.0.0.2": address is not host:port: missing port in address
}

// A program that learns of its servers in a way of its own sets a List.
func ExampleList() {
	var list static.List
	if err := list.Set(discovery.Endpoint{Addr: "10.0.0.1:9090"}); err != nil {
		log.Fatal(err)
	}
	pool, err := core.New(&list, pooltest.NewFleet())
	if err != nil {
		log.Fatal(err)
	}
	err = pool.WaitReady(context.Background())
	fmt.Println(pool.Len(), "server", err, pool.Close(context.Background()))
	// Output: 1 server <nil> <nil>
}

// A list may be a line of configuration, like any other registry.
func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	w, err := mux.Open("static://10.0.0.1:9090,10.0.0.2:9090")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	err = w.Watch(ctx, func(eps []discovery.Endpoint) {
		fmt.Println(len(eps), "servers")
		stop()
	})
	fmt.Println(err)
	// Output:
	// 2 servers
	// context canceled
}
