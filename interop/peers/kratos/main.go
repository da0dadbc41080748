// Command kratos registers and finds servers with kratos' registry for etcd.
package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	etcd "github.com/go-kratos/kratos/contrib/registry/etcd/v2"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/go-kratos/kratos/v2/selector"
	"github.com/go-kratos/kratos/v2/selector/wrr"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	peer.Main(map[string]peer.Library{"etcd": {Register: register, Watch: watch, Pick: pick}})
}

func open(addr string) (*etcd.Registry, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}})
	if err != nil {
		return nil, err
	}
	return etcd.New(client, etcd.RegisterTTL(10*time.Second)), nil
}

func register(ctx context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
	r, err := open(addr)
	if err != nil {
		return nil, err
	}
	instance := &registry.ServiceInstance{
		ID: "id-" + s.Addr, Name: service, Version: "v1", Endpoints: []string{"grpc://" + s.Addr + "?isSecure=false"},
		Metadata: map[string]string{"weight": strconv.Itoa(int(s.Weight)), "zone": s.Zone},
	}
	if err := r.Register(ctx, instance); err != nil {
		return nil, err
	}
	return func() error { return r.Deregister(ctx, instance) }, nil
}

func watch(ctx context.Context, addr, service string, report func([]peer.Server)) error {
	r, err := open(addr)
	if err != nil {
		return err
	}
	w, err := r.Watch(ctx, service)
	if err != nil {
		return err
	}
	for {
		instances, err := w.Next()
		if err != nil {
			return err
		}
		var all []peer.Server
		for _, in := range instances {
			if at := addrOf(in); at != "" {
				all = append(all, peer.Server{Addr: at, Weight: peer.Weight(in.Metadata["weight"]), Zone: in.Metadata["zone"]})
			}
		}
		report(all)
	}
}

// addrOf returns the address of an instance for gRPC.
func addrOf(in *registry.ServiceInstance) string {
	for _, e := range in.Endpoints {
		if at, ok := strings.CutPrefix(e, "grpc://"); ok {
			at, _, _ = strings.Cut(at, "?")
			return at
		}
	}
	return ""
}

// pick has the default selector of kratos' clients.
func pick(ctx context.Context, addr, service string) (func() (string, error), error) {
	r, err := open(addr)
	if err != nil {
		return nil, err
	}
	instances, err := r.GetService(ctx, service)
	if err != nil {
		return nil, err
	}
	var nodes []selector.Node
	for _, in := range instances {
		nodes = append(nodes, selector.NewNode("grpc", addrOf(in), in))
	}
	s := wrr.NewBuilder().Build()
	s.Apply(nodes)
	return func() (string, error) {
		n, done, err := s.Select(ctx)
		if err != nil {
			return "", err
		}
		done(ctx, selector.DoneInfo{})
		return n.Address(), nil
	}, nil
}
