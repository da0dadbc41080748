package kubernetes_test

import (
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
)

// A pool gets such a watcher as its first argument: each ready pod of the Service is a
// server.
func ExampleWatcher() {
	w := kubernetes.Watcher("shop/echo:grpc", kubernetes.Allow("10.0.0.0/8"))
	fmt.Println(w)
	// Output: k8s shop/echo:grpc
}

func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("k8s", kubernetes.Opener)
	_, err := mux.Open("k8s:///echo:grpc?kubeconfig=/etc/echo/kubeconfig")
	fmt.Println(err)
	// Output: discovery: k8s:///echo:grpc?kubeconfig=...: kubernetes: "echo:grpc" is not namespace/service:port
}

// A program that has a configuration of client-go uses that.
func ExampleWithConfig() {
	config := &rest.Config{Host: "https://10.0.0.1:6443", BearerTokenFile: "/etc/echo/token"}
	fmt.Println(kubernetes.Watcher("shop/echo", kubernetes.WithConfig(config)))
	// Output: k8s shop/echo
}
