// Command rpcx registers and finds servers with rpcx's plugins for ZooKeeper, etcd and
// Consul.
package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	consulclient "github.com/rpcxio/rpcx-consul/client"
	consulserver "github.com/rpcxio/rpcx-consul/serverplugin"
	etcdclient "github.com/rpcxio/rpcx-etcd/client"
	etcdserver "github.com/rpcxio/rpcx-etcd/serverplugin"
	zkclient "github.com/rpcxio/rpcx-zookeeper/client"
	zkserver "github.com/rpcxio/rpcx-zookeeper/serverplugin"
	"github.com/smallnest/rpcx/client"
	"github.com/smallnest/rpcx/log"
	"github.com/smallnest/rpcx/server"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

// base is the path of services in rpcx's own examples.
const base = "/rpcx_test"

func main() {
	log.SetDummyLogger()
	peer.Main(map[string]peer.Library{
		"zk": library(func(addr, at string) plugin {
			return &zkserver.ZooKeeperRegisterPlugin{ServiceAddress: at, ZooKeeperServers: []string{addr}, BasePath: base, UpdateInterval: time.Second}
		}, func(addr, service string) (client.ServiceDiscovery, error) {
			return zkclient.NewZookeeperDiscovery(base, service, []string{addr}, nil)
		}),
		"etcd": library(func(addr, at string) plugin {
			return &etcdserver.EtcdV3RegisterPlugin{ServiceAddress: at, EtcdServers: []string{addr}, BasePath: base, UpdateInterval: time.Second, Expired: 10 * time.Second}
		}, func(addr, service string) (client.ServiceDiscovery, error) {
			return etcdclient.NewEtcdV3Discovery(base, service, []string{addr}, true, nil)
		}),
		"consul": library(func(addr, at string) plugin {
			return &consulserver.ConsulRegisterPlugin{ServiceAddress: at, ConsulServers: []string{addr}, BasePath: base, UpdateInterval: time.Second, Expired: 20 * time.Second}
		}, func(addr, service string) (client.ServiceDiscovery, error) {
			return consulclient.NewConsulDiscovery(base, service, []string{addr}, nil)
		}),
	})
}

// plugin is what the plugins of a server have in common.
type plugin interface {
	Start() error
	Register(name string, rcvr any, metadata string) error
	Unregister(name string) error
	Stop() error
}

func library(newPlugin func(addr, at string) plugin, newDiscovery func(addr, service string) (client.ServiceDiscovery, error)) peer.Library {
	return peer.Library{
		Register: func(_ context.Context, addr, service string, s peer.Server) (stop func() error, err error) {
			p := newPlugin(addr, "tcp@"+s.Addr)
			if err := p.Start(); err != nil {
				return nil, err
			}
			if err := p.Register(service, nil, fmt.Sprintf("weight=%v&zone=%s", s.Weight, s.Zone)); err != nil {
				return nil, err
			}
			return p.Stop, nil
		},
		Watch: func(ctx context.Context, addr, service string, report func([]peer.Server)) error {
			d, err := newDiscovery(addr, service)
			if err != nil {
				return err
			}
			return peer.Poll(ctx, report, func() ([]peer.Server, error) {
				var all []peer.Server
				for _, pair := range d.GetServices() {
					_, at, _ := strings.Cut(pair.Key, "@")
					meta, err := url.ParseQuery(pair.Value)
					if err != nil {
						return nil, err
					}
					all = append(all, peer.Server{Addr: at, Weight: peer.Weight(meta.Get("weight")), Zone: meta.Get("zone")})
				}
				return all, nil
			})
		},
		Serve: serve,
		Pick: func(ctx context.Context, addr, service string) (func() (string, error), error) {
			d, err := newDiscovery(addr, service)
			if err != nil {
				return nil, err
			}
			c := client.NewXClient(service, client.Failtry, client.WeightedRoundRobin, d, client.DefaultOption)
			return func() (addr string, err error) {
				err = c.Call(ctx, "Where", struct{}{}, &addr)
				return addr, err
			}, nil
		},
	}
}

// where is a service that says at which address it was called.
type where struct{ addr string }

// Where implements a method of rpcx.
func (w where) Where(_ context.Context, _ struct{}, addr *string) error {
	*addr = w.addr
	return nil
}

func serve(_ context.Context, addr, service string) (io.Closer, error) {
	s := server.NewServer()
	if err := s.RegisterName(service, where{addr}, ""); err != nil {
		return nil, err
	}
	go func() { _ = s.Serve("tcp", addr) }() // ends when it is closed
	<-s.Started
	return s, nil
}
