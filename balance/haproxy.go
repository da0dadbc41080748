package balance

import (
	"errors"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// haproxyPoints is how many points a server of HAProxy has for each unit of weight.
const haproxyPoints = 16

// HAProxy returns a balancer that sends a keyed call to the server that HAProxy sends it
// to with "hash-type consistent" and its default hash function, sdbm with avalanche, in
// a backend that balances by a header, a URL parameter or another text. Calls without a
// key go as with [LeastInFlight].
//
// The key is that text (see core.WithKey). HAProxy places servers by their ids alone,
// never by their addresses: id returns the id of a server, which is the one that its
// "server" line has, or else its number among the lines of the backend, from 1. With
// the addresses in the order of the configuration:
//
//	balance.HAProxy(func(e discovery.Endpoint) uint32 {
//		return uint32(slices.Index(servers, e.Addr) + 1)
//	})
//
// A server with the id 0, which HAProxy does not give, is placed by its address. A nil
// function is an error of core.New. Weights are HAProxy's, whose default is 1: each unit
// is 16 points, so that shares differ by a fourth and more, as HAProxy's do.
//
// A key belongs to the nearer of the two points beside it. As with HAProxy, a server
// that is unavailable has no points: its keys go to the neighbors of its points. Until
// HAProxy's health check has found out, its redispatched calls go to any server.
//
// For another hash function, as with "hash-type consistent djb2", give [KeyHash]; the
// avalanche stays. Checked with HAProxy 2.6.12: the same server for 1000 of 1000 keys,
// with weights, with ids and with unavailable servers.
func HAProxy(id func(e discovery.Endpoint) uint32, opts ...RingOption) Balancer {
	c := newRingConfig(opts)
	err := c.sized("HAProxy")
	if c.name != nil {
		err = errors.Join(err, errors.New("balance: ServerName: HAProxy places servers by their ids"))
	}
	if id == nil {
		err = errors.Join(err, errors.New("balance: HAProxy: the function of ids is nil"))
		id = func(discovery.Endpoint) uint32 { return 0 }
	}
	return layout{
		name: sameName, keyHash: sdbm, nearest: true,
		place: func(hash uint64) uint64 { return place32(uint64(avalanche(uint32(hash)))) },
		layOut: func(servers []ringServer) (points []point) {
			count := counts(servers, haproxyPoints)
			for i, s := range servers {
				number := id(s.Endpoint)
				if number == 0 {
					number = uint32(Hash(s.Addr))
				}
				for k := range count[i] {
					points = append(points, point{place32(uint64(avalanche(number*4096 + uint32(k)))), s.member})
				}
			}
			return points
		},
	}.balancer(c, err)
}

// sdbm is the hash function of the library sdbm.
func sdbm(key string) uint64 {
	h := uint32(0)
	for i := range len(key) {
		h = uint32(key[i]) + h<<6 + h<<16 - h
	}
	return uint64(h)
}

// avalanche is Bob Jenkins's integer hash with six shifts
// (burtleburtle.net/bob/hash/integer.html), times a prime near three fourths of the
// ring.
func avalanche(a uint32) uint32 {
	a = a + 0x7ed55d16 + a<<12
	a = a ^ 0xc761c23c ^ a>>19
	a = a + 0x165667b1 + a<<5
	a = (a + 0xd3a2646c) ^ a<<9
	a = a + 0xfd7046c5 + a<<3
	a = a ^ 0xb55a4f09 ^ a>>16
	return a * 3221225473
}
