//go:build registries

package registry

import (
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
	"github.com/minicaptain/multi_connection_pool/discovery/xds"
)

// more adds the schemes of etcd, Consul, Kubernetes and xDS.
func more(m *discovery.Mux) {
	m.Handle("etcd", etcd.Opener)
	m.Handle("consul", consul.Opener)
	m.Handle("k8s", kubernetes.Opener)
	m.Handle("xds", xds.Opener)
}
