package xds

import (
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Assign shows what is made of an assignment.
func Assign(cla *endpointpb.ClusterLoadAssignment, opts ...Option) (map[string]discovery.Endpoint, map[string]error, error) {
	a := assign(cla, newConfig(nil, "", opts).allPriorities)
	return a.endpoints, a.skipped, a.warning
}

// Read finds a cluster in a response.
func Read(r *discoverypb.DiscoveryResponse, cluster string) (*endpointpb.ClusterLoadAssignment, error) {
	return (&config{cluster: cluster}).read(r)
}
