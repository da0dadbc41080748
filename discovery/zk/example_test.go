package zk_test

import (
	"context"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// A server makes itself known for as long as it takes calls.
func ExampleRegistrar() {
	registrar := zk.Registrar([]string{"10.0.0.1:2181", "10.0.0.2:2181"}, "/services/echo",
		zk.Format(format.Naming()),
		zk.SessionTimeout(5*time.Second),
		zk.Digest("echo", discovery.NewSecret("env:ZK_PASSWORD")),
		zk.Access(zk.CreatorAllRead))
	registration := discovery.Register(registrar, core.Endpoint{Addr: "10.0.0.7:9090", Weight: 2})

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := registration.Close(ctx); err != nil {
		fmt.Println(err)
	}
}

// The parameters of URLs describe themselves.
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
	// session_timeout (10s)
	// chroot ()
	// auth ()
	// acl (open)
	// tls (false)
	// tls_ca ()
	// tls_cert ()
	// tls_key ()
	// tls_server_name ()
	// true
}
