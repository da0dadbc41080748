// Package registry says which registries the hello programs know: ZooKeeper, and with
// the build tag registries etcd and Consul too.
package registry

import (
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// Default is where servers are found if nothing else is said: an ephemeral node each,
// below this one.
const Default = "zk://127.0.0.1:2181/hello_server"

// Mux opens the URLs of registries.
func Mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("zk", zk.Opener)
	more(&m)
	return &m
}
