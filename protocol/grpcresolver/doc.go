// Package grpcresolver lets clients of gRPC find their servers through the same
// registries as pools do: it makes a resolver.Builder of any discovery.Watcher. gRPC
// keeps its own connections and its own balancing.
//
//	var mux discovery.Mux
//	mux.Handle("zk", zk.Opener)
//	...
//	cc, err := grpc.NewClient("multipool:zk://h1:2181,h2:2181/services/echo",
//		grpc.WithResolvers(grpcresolver.Mux(&mux)),
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
//		...
//	)
//
// Without a policy such as round_robin, gRPC sends all calls to one of the servers.
//
// # What gRPC gets
//
// discovery.Follow runs the watch, as in a pool: a watch that is lost is begun again with
// back-off, and the last servers stay in use. gRPC gets the error, and fails calls with
// it only while there is no server. When more than half of the servers vanish at once
// they stay for [RemovalGrace]. A set that did not change is not sent again.
//
// The order of the servers is random, and another one for each builder: with a policy
// that goes by it, not all clients choose the same server. It stays as it is when other
// servers come and go.
//
// Weight, zone and attributes of a server are in the attributes of its
// resolver.Endpoint, for balancers; [FromEndpoint] and [FromAddress] read them. When only
// they change, no connection is closed.
//
// gRPC's own policies read weights where they have a use for them: ring_hash, and
// pick_first with shuffleAddressList. gRPC's weights are whole numbers: those of a
// registry are passed on as they are if all are whole, else multiplied by one factor.
// On the ring of ring_hash a server has the place of its address, which is the same in
// every client.
//
// # TLS
//
// As always with gRPC, each server proves to be the authority of the target. This is the
// last part of its path, "echo" above, unless grpc.WithAuthority sets it.
package grpcresolver
