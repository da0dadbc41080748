package etcd_test

import (
	"context"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// A pool gets such a watcher as its first argument.
func ExampleWatcher() {
	w := etcd.Watcher([]string{"10.0.0.1:2379", "10.0.0.2:2379"}, "/services/echo/",
		etcd.WithFormat(format.Kratos("grpc")),
		etcd.WithCredentials(discovery.UserPassword("reader", discovery.NewSecret("env:ETCD_PASSWORD"))),
		etcd.WithTLS(discovery.TLS{ServerName: "etcd.internal"}))
	fmt.Println(w.(interface{ Validate() error }).Validate())
	// Output: etcd: credentials: discovery: a secret refers to the environment variable "ETCD_PASSWORD", which is not set
}

// A server is registered for as long as it wants calls.
func ExampleRegistrar() {
	serve := func() {}

	registrar := etcd.Registrar([]string{"10.0.0.1:2379"}, "/services/echo/")
	registration, err := discovery.Register(registrar, discovery.Endpoint{Addr: "10.0.0.7:9090", Zone: "a"})
	if err != nil {
		fmt.Println(err) // it can never work
		return
	}
	serve()
	_ = registration.Close(context.Background())
}

func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("etcd", etcd.Opener)
	_, err := mux.Open("etcd://10.0.0.1:2379/services/echo/?ttl=1s")
	fmt.Println(err)
	// Output: discovery: etcd://10.0.0.1:2379/services/echo/?ttl=...: parameter "ttl": "1s" is not a duration from 2s to 1h0m0s in whole seconds
}
