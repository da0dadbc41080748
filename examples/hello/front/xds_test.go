//go:build registries

package main

import (
	"net"
	"strconv"
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cache "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	xdsserver "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"

	"github.com/minicaptain/multi_connection_pool/examples/internal/process"
)

// The control plane is go-control-plane's, in this process.
func TestFrontFindsServersByXDS(t *testing.T) {
	program := process.Build(t, "github.com/minicaptain/multi_connection_pool/examples/hello/server")
	server := process.Start(t, program, func(port string) []string {
		return []string{"-addr", "127.0.0.1:" + port, "-registry", ""}
	})
	host, port, _ := net.SplitHostPort(server.Addr)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	clusters := cache.NewLinearCache(resource.EndpointType, cache.WithInitialResources(map[string]types.Resource{
		"hello": &endpointpb.ClusterLoadAssignment{ClusterName: "hello", Endpoints: []*endpointpb.LocalityLbEndpoints{{
			LbEndpoints: []*endpointpb.LbEndpoint{{HostIdentifier: &endpointpb.LbEndpoint_Endpoint{Endpoint: &endpointpb.Endpoint{
				Address: &corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: &corepb.SocketAddress{
					Address: host, PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: uint32(number)},
				}}},
			}}}},
		}}},
	}))
	plane, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	discoverypb.RegisterAggregatedDiscoveryServiceServer(s, xdsserver.NewServer(t.Context(), clusters, nil))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(plane) }()
	greetBy(t, "xds://"+plane.Addr().String()+"/hello")
	s.Stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
