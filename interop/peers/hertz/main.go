// Command hertz registers and finds servers with hertz' registries and resolvers for
// etcd, ZooKeeper and Consul.
package main

import (
	"context"
	"net"
	"time"

	"github.com/cloudwego/hertz/pkg/app/client/discovery"
	"github.com/cloudwego/hertz/pkg/app/client/loadbalance"
	"github.com/cloudwego/hertz/pkg/app/server/registry"
	"github.com/hashicorp/consul/api"
	"github.com/hertz-contrib/registry/consul"
	"github.com/hertz-contrib/registry/etcd"
	"github.com/hertz-contrib/registry/zookeeper"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	const session = 10 * time.Second
	peer.Main(map[string]peer.Library{
		"etcd": library(
			func(addr string) (registry.Registry, error) { return etcd.NewEtcdRegistry([]string{addr}) },
			func(addr string) (discovery.Resolver, error) { return etcd.NewEtcdResolver([]string{addr}) }),
		"zk": library(
			func(addr string) (registry.Registry, error) {
				return zookeeper.NewZookeeperRegistry([]string{addr}, session)
			},
			func(addr string) (discovery.Resolver, error) {
				return zookeeper.NewZookeeperResolver([]string{addr}, session)
			}),
		"consul": library(
			func(addr string) (registry.Registry, error) {
				client, err := api.NewClient(&api.Config{Address: addr})
				return consul.NewConsulRegister(client), err
			},
			func(addr string) (discovery.Resolver, error) {
				client, err := api.NewClient(&api.Config{Address: addr})
				return consul.NewConsulResolver(client), err
			}),
	})
}

func library(newRegistry func(string) (registry.Registry, error), newResolver func(string) (discovery.Resolver, error)) peer.Library {
	resolve := func(ctx context.Context, r discovery.Resolver, service string) (discovery.Result, error) {
		return r.Resolve(ctx, r.Target(ctx, &discovery.TargetInfo{Host: service}))
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
			result.CacheKey = service
			balancer := loadbalance.NewWeightedBalancer()
			balancer.Rebalance(result)
			return func() (string, error) { return balancer.Pick(result).Address().String(), nil }, nil
		},
	}
}
