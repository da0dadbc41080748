package etcd_test

import (
	"context"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// A pool gets such a watcher as its first argument.
func ExampleWatcher() {
	w := etcd.Watcher([]string{"10.0.0.1:2379", "10.0.0.2:2379"}, "/services/echo/",
		etcd.Format(format.Kratos("grpc")),
		etcd.User("reader", discovery.NewSecret("env:ETCD_PASSWORD")))
	fmt.Println(w.(interface{ Validate() error }).Validate())
	// Output: <nil>
}

// A server is registered for as long as it wants calls.
func ExampleRegistrar() {
	serve := func() {}

	registrar := etcd.Registrar([]string{"10.0.0.1:2379"}, "/services/echo/")
	registration := discovery.Register(registrar, core.Endpoint{Addr: "10.0.0.7:9090", Zone: "a"})
	serve()
	_ = registration.Close(context.Background())
}

func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("etcd", etcd.Opener)
	_, err := mux.Open("etcd://10.0.0.1:2379/services/echo/?ttl=1s")
	fmt.Println(err)
	// Output: discovery: etcd://10.0.0.1:2379/services/echo/?ttl=...: parameter "ttl": "1s" is not a duration from 2s to 1h0m0s
}
