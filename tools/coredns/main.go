// The coredns command is CoreDNS with the plugins that the tests of discovery/dns use.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"  // answers whose TTL counts down
	_ "github.com/coredns/coredns/plugin/errors" // the log
	_ "github.com/coredns/coredns/plugin/file"   // zones
)

func main() {
	dnsserver.Directives = []string{"errors", "cache", "file"} // in the order of a question's way
	coremain.Run()
}
