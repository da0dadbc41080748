package zk_test

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// A pool gets such a watcher as its first argument.
func ExampleWatcher() {
	w := zk.Watcher([]string{"10.0.0.1:2181"}, "/services/echo", zk.WithFormat(format.Curator("")))
	fmt.Println(w.(interface{ Validate() error }).Validate())
	// Output: <nil>
}

// A server is registered for as long as it takes calls.
func ExampleRegistrar() {
	registrar := zk.Registrar([]string{"10.0.0.1:2181", "10.0.0.2:2181"}, "/services/echo",
		zk.WithFormat(format.GRPCNaming()),
		zk.SessionTimeout(5*time.Second),
		zk.WithCredentials(discovery.UserPassword("echo", discovery.NewSecret("env:ZK_PASSWORD"))),
		zk.WithTLS(discovery.TLS{ServerName: "zk.internal"}),
		zk.WithACL(zk.ACLCreatorAllRead))
	registration, err := discovery.Register(registrar, discovery.Endpoint{Addr: "10.0.0.7:9090", Weight: 2})
	if err != nil {
		fmt.Println(err) // it can never work
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := registration.Close(ctx); err != nil {
		fmt.Println(err)
	}
}

func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("zk", zk.Opener)
	for _, p := range mux.Params("zk") {
		fmt.Printf("%s (%s)\n", p.Name, p.Default)
	}
	_, err := mux.Open("zk://10.0.0.1:2181/services/echo?sesion_timeout=5s")
	fmt.Println(err != nil)
	// Output:
	// format (name)
	// credentials ()
	// tls (false)
	// tls_ca ()
	// tls_cert ()
	// tls_key ()
	// tls_server_name ()
	// allow_plaintext_credentials (false)
	// allow ()
	// deny ()
	// session_timeout (10s)
	// chroot ()
	// acl (open)
	// where ()
	// true
}
