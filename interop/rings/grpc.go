package main

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"slices"
	"strings"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/ringhash" // registers ring_hash_experimental
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/resolver/ringhash"
)

// grpcRing has ring_hash with the header x-key.
type grpcRing struct{}

func (grpcRing) file() string { return "grpc.txt" }

func (grpcRing) version(context.Context) (string, error) {
	info, _ := debug.ReadBuildInfo()
	for _, dep := range info.Deps {
		if dep.Path == "google.golang.org/grpc" {
			return "grpc-go " + strings.TrimPrefix(dep.Version, "v") + " with ring_hash_experimental", nil
		}
	}
	return "", errors.New("the program has no gRPC")
}

func (grpcRing) tables() []table {
	tables := slices.DeleteFunc(usual(9006), func(t table) bool { return t.name == "keys that are not ASCII" }) // no header has one
	return append(tables, table{name: "hash keys of the endpoints", keys: "user:%d", servers: fleet(9006, true, names("cache-%d"))})
}

func (grpcRing) serve(ctx context.Context, servers []server) (stop func(), err error) {
	return listen(ctx, servers, func(_ int, ln net.Listener) (stop func()) {
		srv := grpc.NewServer()
		healthpb.RegisterHealthServer(srv, health.NewServer())
		go func() { _ = srv.Serve(ln) }() // ends with Stop
		return srv.Stop
	})
}

func (grpcRing) start(ctx context.Context, _ string, t table) (ask func(string) (string, error), stop func(), err error) {
	number := map[string]string{}
	var endpoints []resolver.Endpoint
	for i, s := range t.servers {
		number[s.addr] = digits[i : i+1]
		e := resolver.Endpoint{Addresses: []resolver.Address{{Addr: s.addr}}}
		if s.name != "" {
			e = ringhash.SetHashKey(e, s.name)
		}
		endpoints = append(endpoints, weight.Set(e, weight.EndpointInfo{Weight: uint32(s.weight)}))
	}
	r := manual.NewBuilderWithScheme("rings")
	r.InitialState(resolver.State{Endpoints: endpoints})
	conn, err := grpc.NewClient(
		"rings:///", grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"ring_hash_experimental":{"requestHashHeader":"x-key"}}]}`),
	)
	if err != nil {
		return nil, nil, err
	}
	client := healthpb.NewHealthClient(conn)
	return func(key string) (string, error) {
		var p peer.Peer
		_, err := client.Check(metadata.AppendToOutgoingContext(ctx, "x-key", key), &healthpb.HealthCheckRequest{}, grpc.Peer(&p))
		if err != nil {
			return "", err
		}
		return number[p.Addr.String()], nil
	}, func() { _ = conn.Close() }, nil
}
