package grpcresolver

import (
	"math"

	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// fraction is what the least weight of a set becomes, at least, in which not all are
// whole numbers: weights are rounded by less than a thousandth.
const fraction = 1000

// weights returns what makes gRPC's weights of those of the set: a factor for all.
// gRPC's are whole numbers, whose sum must fit 32 bits.
func weights(set []discovery.Endpoint) func(discovery.Endpoint) uint32 {
	least, largest, total, whole := 1.0, 1.0, 0.0, true
	for _, e := range set {
		w := relative(e)
		least, largest = min(least, w), max(largest, w)
		whole = whole && w == math.Trunc(w)
	}
	for _, e := range set {
		total += relative(e) / largest // which may be the largest number there is
	}
	factor := largest
	if !whole {
		factor *= fraction / least
	}
	factor = min(factor, math.MaxInt32/total) // half, since the least are rounded up
	return func(e discovery.Endpoint) uint32 {
		return uint32(max(1, math.Round(relative(e)/largest*factor)))
	}
}

// relative returns the capacity of a server.
func relative(e discovery.Endpoint) float64 {
	if e.Weight == 0 {
		return 1
	}
	return e.Weight
}

// place sets what ring_hash and pick_first read of a server: its weight, and its address
// as the name that has its place on the ring.
func place(re resolver.Endpoint, e discovery.Endpoint, w uint32) resolver.Endpoint {
	re = weight.Set(re, weight.EndpointInfo{Weight: w})
	return ringhash.SetHashKey(re, e.Addr)
}
