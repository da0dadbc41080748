//go:build !embedetcd

package main

import "errors"

// startEtcd cannot: etcd's server takes minutes to build, so it is behind a
// build tag.
func startEtcd() (address string, stop func(), err error) {
	return "", nil, errors.New("etcd was not built into this program; make run REGISTRY=etcd does that")
}
