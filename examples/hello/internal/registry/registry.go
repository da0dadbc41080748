// Package registry opens the registries of the hello programs: lists, DNS and ZooKeeper, and
// with the build tag registries also etcd, Consul, Kubernetes and xDS.
package registry

import (
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// Default is the URL of the default registry: each server is an ephemeral node below
// this one.
const Default = "zk://127.0.0.1:2181/hello_server"

// Mux returns a Mux for the URLs of these registries.
func Mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	m.Handle("file", file.Opener)
	m.Handle("dns", dns.Opener)
	m.Handle("zk", zk.Opener)
	more(&m)
	return &m
}
