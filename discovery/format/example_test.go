package format_test

import (
	"fmt"
	"log"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// A format reads what another program has written in a registry.
func ExampleNamed() {
	f, err := format.Named("curator")
	if err != nil {
		log.Fatal(err)
	}
	eps, err := f.Decode("/services/echo/4f2a", []byte(`{"name":"echo","id":"4f2a","address":"10.0.0.1","port":9090,"payload":null}`))
	fmt.Println(eps[0].Addr, err)

	_, err = format.Named("serverset2")
	fmt.Println(err != nil) // it lists the names that there are
	// Output:
	// 10.0.0.1:9090 <nil>
	// true
}

// It also writes them. What it has no place for is an error.
func ExampleFormat() {
	f := format.GRPCNaming()
	key, value, err := f.Encode("/services/echo", discovery.Endpoint{Addr: "10.0.0.1:9090"})
	fmt.Println(key, string(value), err)
	// Output: 10.0.0.1:9090 {"Op":0,"Addr":"10.0.0.1:9090","Metadata":null} <nil>
}
