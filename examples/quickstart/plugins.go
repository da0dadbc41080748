//go:build registries

package main

import (
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

const hasRegistries = true

// mux knows every registry.
func mux() *discovery.Mux {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	m.Handle("zk", zk.Opener)
	m.Handle("etcd", etcd.Opener)
	m.Handle("consul", consul.Opener)
	return &m
}
