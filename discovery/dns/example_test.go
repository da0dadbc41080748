package dns_test

import (
	"fmt"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
)

// A pool gets such a watcher as its first argument: each address of the name is a
// server.
func ExampleWatcher() {
	w := dns.Watcher(nil, "echo.default.svc.cluster.local:9090", dns.Allow("10.0.0.0/8"))
	fmt.Println(w)
	// Output: dns echo.default.svc.cluster.local:9090
}

func ExampleOpener() {
	var mux discovery.Mux
	mux.Handle("dns", dns.Opener)
	w, err := mux.Open("dns://10.0.0.2,10.0.0.3/_echo._tcp.example.com?min_ttl=5s")
	fmt.Println(w, err)
	_, err = mux.Open("dns:///10.0.0.7:9090")
	fmt.Println(err)
	// Output:
	// dns _echo._tcp.example.com at 10.0.0.2:53,10.0.0.3:53 <nil>
	// discovery: dns:///10.0.0.7:9090: dns: 10.0.0.7 is an address, which needs no DNS; list it in a static:// URL
}
