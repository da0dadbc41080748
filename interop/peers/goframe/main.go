// Command goframe registers and finds servers with GoFrame's registries for etcd and
// Consul.
package main

import (
	"context"

	"github.com/gogf/gf/contrib/registry/consul/v2"
	"github.com/gogf/gf/contrib/registry/etcd/v2"
	"github.com/gogf/gf/v2/net/gsel"
	"github.com/gogf/gf/v2/net/gsvc"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	peer.Main(map[string]peer.Library{
		"etcd":   library(func(addr string) (gsvc.Registry, error) { return etcd.New(addr), nil }),
		"consul": library(func(addr string) (gsvc.Registry, error) { return consul.New(consul.WithAddress(addr)) }),
	})
}

// prefix is of keys in etcd.
func prefix(service string) string { return "/service/default/default/" + service + "/" }

func library(newRegistry func(addr string) (gsvc.Registry, error)) peer.Library {
	search := func(ctx context.Context, r gsvc.Registry, service string) ([]gsvc.Service, error) {
		return r.Search(ctx, gsvc.SearchInput{Prefix: prefix(service), Name: service})
	}
	return peer.Library{
		Register: func(ctx context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
			r, err := newRegistry(addr)
			if err != nil {
				return nil, err
			}
			instance, err := r.Register(ctx, &gsvc.LocalService{
				Name: service, Version: gsvc.DefaultVersion, Endpoints: gsvc.NewEndpoints(s.Addr),
				Metadata: gsvc.Metadata{gsvc.MDWeight: int(s.Weight), "zone": s.Zone},
			})
			if err != nil {
				return nil, err
			}
			return func() error { return r.Deregister(ctx, instance) }, nil
		},
		Watch: func(ctx context.Context, addr, service string, report func([]peer.Server)) error {
			r, err := newRegistry(addr)
			if err != nil {
				return err
			}
			return peer.Poll(ctx, report, func() ([]peer.Server, error) {
				services, err := search(ctx, r, service)
				var all []peer.Server
				for _, s := range services {
					for _, e := range s.GetEndpoints() {
						zone, _ := s.GetMetadata()["zone"].(string)
						all = append(all, peer.Server{Addr: e.String(), Weight: peer.Weight(s.GetMetadata()[gsvc.MDWeight]), Zone: zone})
					}
				}
				return all, err
			})
		},
		Pick: func(ctx context.Context, addr, service string) (func() (string, error), error) {
			r, err := newRegistry(addr)
			if err != nil {
				return nil, err
			}
			services, err := search(ctx, r, service)
			if err != nil {
				return nil, err
			}
			var nodes gsel.Nodes
			for _, s := range services {
				for _, e := range s.GetEndpoints() {
					nodes = append(nodes, node{s, e.String()})
				}
			}
			selector := gsel.NewBuilderWeight().Build()
			if err := selector.Update(ctx, nodes); err != nil {
				return nil, err
			}
			return func() (string, error) {
				n, done, err := selector.Pick(ctx)
				if err != nil {
					return "", err
				}
				if done != nil {
					done(ctx, gsel.DoneInfo{})
				}
				return n.Address(), nil
			}, nil
		},
	}
}

// node is a server as GoFrame's clients give it to their selector.
type node struct {
	service gsvc.Service
	addr    string
}

func (n node) Service() gsvc.Service { return n.service }
func (n node) Address() string       { return n.addr }
