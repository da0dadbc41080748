package xds_test

import (
	"fmt"
	"log"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/xds"
)

func Example() {
	var mux discovery.Mux
	mux.Handle("xds", xds.Opener)
	watcher, err := mux.Open("xds://10.0.0.1,10.0.0.2:15010/echo?node=front-7&where=version:v2")
	if err != nil {
		log.Fatal(err) // a mistake in the URL; nothing was asked yet
	}
	fmt.Println(watcher) // for core.New
	// Output: xds echo at 10.0.0.1:18000,10.0.0.2:15010 where version:v2
}
