package grpcresolver_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/grpcresolver"
)

// A client of gRPC finds its servers in a registry, which its target names.
func ExampleMux() {
	addr, stop := startHealth()
	defer stop()

	var mux discovery.Mux
	mux.Handle("static", static.Opener) // or zk, etcd, consul, dns
	conn, err := grpc.NewClient("multipool:static://"+addr,
		grpc.WithResolvers(grpcresolver.Mux(&mux)),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		log.Println(err)
		return
	}
	answer, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err, conn.Close())
	// Output: SERVING <nil> <nil>
}

// Any watcher will do; the target then only names the service.
func ExampleOf() {
	addr, stop := startHealth()
	defer stop()

	conn, err := grpc.NewClient("multipool:///echo",
		grpc.WithResolvers(grpcresolver.Of(static.Watcher(addr))),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		log.Println(err)
		return
	}
	answer, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err, conn.Close())
	// Output: SERVING <nil> <nil>
}

// startHealth starts a server of gRPC's health service.
func startHealth() (addr string, stop func()) {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	done := make(chan struct{})
	go func() { // until stop
		defer close(done)
		_ = s.Serve(ln)
	}()
	return ln.Addr().String(), func() {
		s.Stop()
		<-done
	}
}
