package grpcresolver

import (
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/core"
)

// FromEndpoint returns what the registry says of a server: for balancers that look at
// its weight, zone or attributes. It is false for endpoints of other resolvers.
func FromEndpoint(e resolver.Endpoint) (core.Endpoint, bool) { return read(e.Attributes) }

// FromAddress is [FromEndpoint] for balancers that were written for addresses.
func FromAddress(a resolver.Address) (core.Endpoint, bool) {
	return read(a.BalancerAttributes) //nolint:staticcheck // deprecated for those that know of endpoints
}

// key is under which attributes hold an entry.
type key struct{}

// entry is an endpoint that attributes can compare.
type entry struct{ core.Endpoint }

// Equal is called by attributes.Attributes.
func (e entry) Equal(o any) bool {
	other, ok := o.(entry)
	return ok && e.Endpoint.Equal(other.Endpoint)
}

// String is for gRPC's log and for channelz.
func (e entry) String() string { return e.Addr }

func attributesOf(e core.Endpoint) *attributes.Attributes { return attributes.New(key{}, entry{e}) }

func read(a *attributes.Attributes) (core.Endpoint, bool) {
	e, ok := a.Value(key{}).(entry)
	return e.Endpoint, ok
}
