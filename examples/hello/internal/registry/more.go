//go:build registries

package registry

import (
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
)

// more adds the schemes of etcd and Consul.
func more(m *discovery.Mux) {
	m.Handle("etcd", etcd.Opener)
	m.Handle("consul", consul.Opener)
}
