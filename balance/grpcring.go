package balance

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Default sizes of a ring of gRPC.
const (
	grpcMinSize = 1024
	grpcMaxSize = 4096
)

// GRPCRing returns a balancer that sends a keyed call to the server that gRPC's
// ring_hash sends it to. Calls without a key go as with [LeastInFlight].
//
// The key is the value of the header that the policy hashes (see core.WithKey). A
// server's name is its address, or the hash key of the endpoint, for which give
// [ServerName]. Weights are the endpoints'. The ring has at least 1024 points, and up to
// 4096 if weights need it (see [RingSize]); more servers than that do not all have one.
//
// As with gRPC, the keys of a server that is unavailable go to the next points after its
// own. When servers join or leave, all that stay have more points or fewer: some keys
// move between those, as with gRPC.
//
// Checked with grpc-go 1.85.0: the same server for 1000 of 1000 keys, with weights, with
// hash keys and with unavailable servers.
func GRPCRing(opts ...RingOption) Balancer {
	c := newRingConfig(opts)
	minSize, maxSize := grpcMinSize, grpcMaxSize
	if c.minSize != 0 {
		minSize = c.minSize
	}
	if c.maxSize != 0 {
		maxSize = c.maxSize
	}
	err := c.err
	if minSize > maxSize {
		err = errors.Join(err, fmt.Errorf("balance: RingSize(%d, %d): the least size is more than the largest, %d", c.minSize, c.maxSize, maxSize))
	}
	return layout{
		name: sameName, keyHash: xxHash64, place: func(hash uint64) uint64 { return hash },
		layOut: func(servers []ringServer) []point { return grpcPoints(servers, float64(minSize), float64(maxSize)) },
	}.balancer(c, err)
}

// RingSize sets min_ring_size and max_ring_size of [GRPCRing], from 1 to 1048576. 0 is
// the default, 1024 and 4096. gRPC takes no larger ones than its own limit, which is 4096
// unless it is set otherwise. Sizes out of range, and any for another ring, are errors of
// core.New.
func RingSize(minSize, maxSize int) RingOption {
	return func(c *ringConfig) {
		if minSize < 0 || maxSize < 0 || minSize > maxPoints || maxSize > maxPoints {
			c.err = errors.Join(c.err, fmt.Errorf("balance: RingSize(%d, %d): must be from 1 to %d, or 0 for the default", minSize, maxSize, maxPoints))
			return
		}
		c.minSize, c.maxSize = minSize, maxSize
	}
}

// grpcPoints returns for each server the hashes of name_0, name_1 and so on. The
// fractions of points are carried over to the next server, by name.
func grpcPoints(servers []ringServer, minSize, maxSize float64) (points []point) {
	total, least := 0.0, 1.0
	for _, s := range servers {
		total += s.weight
	}
	part := func(s ringServer) float64 {
		if math.IsInf(total, 1) {
			return s.share
		}
		return s.weight / total
	}
	for _, s := range servers {
		least = min(least, part(s))
	}
	scale := min(math.Ceil(least*minSize)/least, maxSize)
	have, want := 0.0, 0.0
	for _, s := range servers {
		want += float64(scale * part(s))
		for k := 0; have < want; k++ {
			points = append(points, point{xxHash64(s.name + "_" + strconv.Itoa(k)), s.member})
			have++
		}
	}
	return points
}
