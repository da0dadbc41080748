package consul_test

import (
	"context"
	"fmt"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// A pool gets such a watcher as its first argument.
func ExampleWatcher() {
	w := consul.Watcher([]string{"127.0.0.1:8500"}, "echo",
		consul.WithTag("v1"), consul.WithCredentials(discovery.NewSecret("file:/run/secrets/consul")))
	fmt.Println(w.(interface{ Validate() error }).Validate())
	// Output: consul: credentials: discovery: a secret refers to a file that cannot be read: open /run/secrets/consul: no such file or directory
}

// A server is registered for as long as it wants calls.
func ExampleRegistrar() {
	serve := func() {}

	registrar := consul.Registrar([]string{"127.0.0.1:8500"}, "echo", consul.WithTag("v1"))
	registration, err := discovery.Register(registrar, discovery.Endpoint{Addr: "10.0.0.7:9090", Zone: "a"})
	if err != nil {
		fmt.Println(err) // it can never work
		return
	}
	serve()
	_ = registration.Close(context.Background())
}

// Callers of rpcx find the server that this registers.
func ExampleWithPrefix() {
	registrar := consul.Registrar([]string{"127.0.0.1:8500"}, "",
		consul.WithPrefix("rpcx_test/Arith"), consul.WithFormat(format.Rpcx("")))
	err := discovery.CanRegister(registrar, discovery.Endpoint{Addr: "10.0.0.7:8972", Weight: 3})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("consul", consul.Opener)
	_, err := mux.Open("consul://127.0.0.1:8500/echo?tag=v1&ttl=1ms")
	fmt.Println(err)
	// Output: discovery: consul://127.0.0.1:8500/echo?tag=...&ttl=...: parameter "ttl": "1ms" is not a duration from 2s to 1h0m0s in whole seconds
}
