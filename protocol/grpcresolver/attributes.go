package grpcresolver

import (
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// FromEndpoint returns the server as the registry has it, for balancers that look at its
// weight, zone or attributes. It returns false for an endpoint of another resolver.
func FromEndpoint(e resolver.Endpoint) (discovery.Endpoint, bool) { return read(e.Attributes) }

// FromAddress is [FromEndpoint] for balancers that were written for addresses.
func FromAddress(a resolver.Address) (discovery.Endpoint, bool) {
	return read(a.BalancerAttributes) //nolint:staticcheck // deprecated for those that know of endpoints
}

// key is the key of an entry in attributes.
type key struct{}

// entry is an endpoint that attributes can compare.
type entry struct{ discovery.Endpoint }

// Equal is called by attributes.Attributes.
func (e entry) Equal(o any) bool {
	other, ok := o.(entry)
	return ok && e.Endpoint.Equal(other.Endpoint)
}

// String is for gRPC's log and for channelz.
func (e entry) String() string { return e.Addr }

func attributesOf(e discovery.Endpoint) *attributes.Attributes {
	return attributes.New(key{}, entry{e})
}

func read(a *attributes.Attributes) (discovery.Endpoint, bool) {
	e, ok := a.Value(key{}).(entry)
	return e.Endpoint, ok
}
