// Command gomicro registers and finds servers with go-micro's registries for etcd and
// Consul.
package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/go-micro/plugins/v4/registry/consul"
	"github.com/go-micro/plugins/v4/registry/etcd"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	peer.Main(map[string]peer.Library{"etcd": library(etcd.NewRegistry), "consul": library(consul.NewRegistry)})
}

// A program of go-micro registers again and again, by default every 30 s for 90 s.
const (
	every = 3 * time.Second
	ttl   = 10 * time.Second
)

func library(newRegistry func(...registry.Option) registry.Registry) peer.Library {
	return peer.Library{
		Register: func(_ context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
			r := newRegistry(registry.Addrs(addr))
			node := &registry.Node{
				Id: service + "-" + s.Addr, Address: s.Addr,
				Metadata: map[string]string{"protocol": "grpc", "weight": strconv.Itoa(int(s.Weight)), "zone": s.Zone},
			}
			instance := &registry.Service{Name: service, Version: "v2", Nodes: []*registry.Node{node}}
			if err := r.Register(instance, registry.RegisterTTL(ttl)); err != nil {
				return nil, err
			}
			stopped, ended := make(chan struct{}), make(chan error)
			go func() { // ends with stop, which waits for it
				for {
					select {
					case <-stopped:
						ended <- r.Deregister(instance)
						return
					case <-time.After(every):
						_ = r.Register(instance, registry.RegisterTTL(ttl))
					}
				}
			}()
			return func() error { close(stopped); return <-ended }, nil
		},
		Watch: func(ctx context.Context, addr, service string, report func([]peer.Server)) error {
			r := newRegistry(registry.Addrs(addr))
			return peer.Poll(ctx, report, func() ([]peer.Server, error) {
				services, err := r.GetService(service)
				var all []peer.Server
				for _, s := range services {
					for _, n := range s.Nodes {
						all = append(all, peer.Server{Addr: n.Address, Weight: peer.Weight(n.Metadata["weight"]), Zone: n.Metadata["zone"]})
					}
				}
				return all, err
			})
		},
		Pick: func(_ context.Context, addr, service string) (func() (string, error), error) {
			next, err := selector.NewSelector(selector.Registry(newRegistry(registry.Addrs(addr)))).Select(service)
			if err != nil {
				return nil, err
			}
			return func() (string, error) {
				n, err := next()
				if err == nil && n == nil {
					err = errors.New("no node")
				}
				if err != nil {
					return "", err
				}
				return n.Address, nil
			}, nil
		},
	}
}
