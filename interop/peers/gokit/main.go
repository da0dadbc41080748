// Command gokit registers and finds servers with go-kit's package sd, in ZooKeeper, etcd
// and Consul.
package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/consul"
	"github.com/go-kit/kit/sd/etcdv3"
	"github.com/go-kit/kit/sd/zk"
	"github.com/go-kit/log"
	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	peer.Main(map[string]peer.Library{
		"zk": library(func(addr, service, at string) (sd.Registrar, error) {
			client, err := zk.NewClient([]string{addr}, log.NewNopLogger(), zk.SessionTimeout(10*time.Second))
			return zk.NewRegistrar(client, zk.Service{Path: "/services", Name: service, Data: []byte(at)}, log.NewNopLogger()), err
		}, func(_ context.Context, addr, service string) (sd.Instancer, error) {
			client, err := zk.NewClient([]string{addr}, log.NewNopLogger())
			if err != nil {
				return nil, err
			}
			return zk.NewInstancer(client, "/services/"+service, log.NewNopLogger())
		}),
		"etcd": library(func(addr, service, at string) (sd.Registrar, error) {
			client, err := etcdv3.NewClient(context.Background(), []string{addr}, etcdv3.ClientOptions{})
			return etcdv3.NewRegistrar(client, etcdv3.Service{
				Key: "/services/" + service + "/" + at, Value: at, TTL: etcdv3.NewTTLOption(3*time.Second, 10*time.Second),
			}, log.NewNopLogger()), err
		}, func(ctx context.Context, addr, service string) (sd.Instancer, error) {
			client, err := etcdv3.NewClient(ctx, []string{addr}, etcdv3.ClientOptions{})
			if err != nil {
				return nil, err
			}
			return etcdv3.NewInstancer(client, "/services/"+service+"/", log.NewNopLogger())
		}),
		"consul": library(func(addr, service, at string) (sd.Registrar, error) {
			client, err := api.NewClient(&api.Config{Address: addr})
			if err != nil {
				return nil, err
			}
			host, p, err := net.SplitHostPort(at)
			if err != nil {
				return nil, err
			}
			port, err := strconv.Atoi(p)
			return consul.NewRegistrar(consul.NewClient(client), &api.AgentServiceRegistration{
				ID: service + "-" + at, Name: service, Address: host, Port: port,
				Check: &api.AgentServiceCheck{TCP: at, Interval: "1s"}, // go-kit leaves it to the program
			}, log.NewNopLogger()), err
		}, func(_ context.Context, addr, service string) (sd.Instancer, error) {
			client, err := api.NewClient(&api.Config{Address: addr})
			if err != nil {
				return nil, err
			}
			return consul.NewInstancer(consul.NewClient(client), log.NewNopLogger(), service, nil, true), nil
		}),
	})
}

func library(newRegistrar func(addr, service, at string) (sd.Registrar, error), newInstancer func(ctx context.Context, addr, service string) (sd.Instancer, error)) peer.Library {
	return peer.Library{
		Register: func(_ context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
			r, err := newRegistrar(addr, service, s.Addr)
			if err != nil {
				return nil, err
			}
			r.Register()
			return func() error { r.Deregister(); return nil }, nil
		},
		Watch: func(ctx context.Context, addr, service string, report func([]peer.Server)) error {
			i, err := newInstancer(ctx, addr, service)
			if err != nil {
				return err
			}
			events := make(chan sd.Event, 1)
			i.Register(events)
			for e := range events {
				var all []peer.Server
				for _, at := range e.Instances {
					all = append(all, peer.Server{Addr: at})
				}
				report(all)
			}
			return errors.New("the watch has ended")
		},
	}
}
