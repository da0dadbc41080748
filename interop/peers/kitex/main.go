// Command kitex registers and finds servers with kitex's registries and resolvers for
// etcd and Consul.
package main

import (
	"context"
	"net"

	"github.com/cloudwego/kitex/pkg/discovery"
	"github.com/cloudwego/kitex/pkg/loadbalance"
	"github.com/cloudwego/kitex/pkg/registry"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	consul "github.com/kitex-contrib/registry-consul"
	etcd "github.com/kitex-contrib/registry-etcd"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	peer.Main(map[string]peer.Library{
		"etcd": library(
			func(addr string) (registry.Registry, error) { return etcd.NewEtcdRegistry([]string{addr}) },
			func(addr string) (discovery.Resolver, error) { return etcd.NewEtcdResolver([]string{addr}) }),
		"consul": library(
			func(addr string) (registry.Registry, error) { return consul.NewConsulRegister(addr) },
			consul.NewConsulResolver),
	})
}

func library(newRegistry func(string) (registry.Registry, error), newResolver func(string) (discovery.Resolver, error)) peer.Library {
	resolve := func(ctx context.Context, r discovery.Resolver, service string) (discovery.Result, error) {
		return r.Resolve(ctx, r.Target(ctx, rpcinfo.NewEndpointInfo(service, "", nil, nil)))
	}
	return peer.Library{
		Register: func(_ context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
			r, err := newRegistry(addr)
			if err != nil {
				return nil, err
			}
			at, err := net.ResolveTCPAddr("tcp", s.Addr)
			if err != nil {
				return nil, err
			}
			info := &registry.Info{ServiceName: service, Addr: at, Weight: int(s.Weight), Tags: map[string]string{"zone": s.Zone}}
			if err := r.Register(info); err != nil {
				return nil, err
			}
			return func() error { return r.Deregister(info) }, nil
		},
		// Kitex resolves again every five seconds.
		Watch: func(ctx context.Context, addr, service string, report func([]peer.Server)) error {
			r, err := newResolver(addr)
			if err != nil {
				return err
			}
			return peer.Poll(ctx, report, func() ([]peer.Server, error) {
				result, err := resolve(ctx, r, service)
				var all []peer.Server
				for _, in := range result.Instances {
					zone, _ := in.Tag("zone")
					all = append(all, peer.Server{Addr: in.Address().String(), Weight: float64(in.Weight()), Zone: zone})
				}
				return all, err
			})
		},
		Pick: func(ctx context.Context, addr, service string) (func() (string, error), error) {
			r, err := newResolver(addr)
			if err != nil {
				return nil, err
			}
			result, err := resolve(ctx, r, service)
			if err != nil {
				return nil, err
			}
			result.Cacheable, result.CacheKey = true, service
			balancer := loadbalance.NewWeightedBalancer()
			return func() (string, error) {
				return balancer.GetPicker(result).Next(ctx, nil).Address().String(), nil
			}, nil
		},
	}
}
