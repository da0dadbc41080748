// Command grpcnaming registers and finds servers as programs with etcd's own client for
// gRPC do, package naming/endpoints. It attaches a key to a lease of ten seconds.
package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/minicaptain/multi_connection_pool/interop/peer"
)

func main() {
	peer.Main(map[string]peer.Library{"etcd": {Register: register, Watch: watch, Serve: serve, Pick: pick}})
}

func open(registry string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{registry}})
}

func register(ctx context.Context, registry, service string, s peer.Server) (stop func() error, err error) {
	client, err := open(registry)
	if err != nil {
		return nil, err
	}
	m, err := endpoints.NewManager(client, service)
	if err != nil {
		return nil, err
	}
	lease, err := client.Grant(ctx, 10)
	if err != nil {
		return nil, err
	}
	alive, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return nil, err
	}
	go func() { // ends with the client
		for range alive { //nolint:revive // nobody needs the answers
		}
	}()
	key := service + "/" + s.Addr
	e := endpoints.Endpoint{Addr: s.Addr, Metadata: map[string]string{"weight": strconv.FormatFloat(s.Weight, 'g', -1, 64), "zone": s.Zone}}
	if err := m.AddEndpoint(ctx, key, e, clientv3.WithLease(lease.ID)); err != nil {
		return nil, err
	}
	return func() error { return errors.Join(m.DeleteEndpoint(ctx, key), client.Close()) }, nil
}

func watch(ctx context.Context, registry, service string, report func([]peer.Server)) error {
	client, err := open(registry)
	if err != nil {
		return err
	}
	m, err := endpoints.NewManager(client, service)
	if err != nil {
		return err
	}
	updates, err := m.NewWatchChannel(ctx)
	if err != nil {
		return err
	}
	set := map[string]peer.Server{}
	for batch := range updates {
		for _, u := range batch {
			if u.Op == endpoints.Delete {
				delete(set, u.Key)
				continue
			}
			s := peer.Server{Addr: u.Endpoint.Addr}
			if meta, ok := u.Endpoint.Metadata.(map[string]any); ok {
				switch w := meta["weight"].(type) {
				case string:
					s.Weight, _ = strconv.ParseFloat(w, 64)
				case float64:
					s.Weight = w
				}
				s.Zone, _ = meta["zone"].(string)
			}
			set[u.Key] = s
		}
		var all []peer.Server
		for _, s := range set {
			all = append(all, s)
		}
		report(all)
	}
	return errors.New("the watch has ended")
}

// serve answers every call of gRPC with an empty message.
func serve(ctx context.Context, addr, _ string) (io.Closer, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		return errors.Join(stream.RecvMsg(&emptypb.Empty{}), stream.SendMsg(&emptypb.Empty{}))
	}))
	go func() { _ = s.Serve(ln) }() // ends with the listener
	return ln, nil
}

// pick has gRPC's round robin, which does not know weights, over etcd's resolver, once a
// second has passed, for each connection counts as soon as it is ready.
func pick(ctx context.Context, registry, service string) (func() (string, error), error) {
	client, err := open(registry)
	if err != nil {
		return nil, err
	}
	builder, err := resolver.NewBuilder(client)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("etcd:///"+service, grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		return nil, err
	}
	next := func() (string, error) {
		var at grpcpeer.Peer
		if err := conn.Invoke(ctx, "/interop/Where", &emptypb.Empty{}, &emptypb.Empty{}, grpc.Peer(&at), grpc.WaitForReady(true)); err != nil {
			return "", err
		}
		return at.Addr.String(), nil
	}
	for begun := time.Now(); time.Since(begun) < time.Second; {
		if _, err := next(); err != nil {
			return nil, err
		}
	}
	return next, nil
}
