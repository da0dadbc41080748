// Package grpcresolver lets clients of gRPC find their servers through the same
// registries as pools do: it makes a resolver.Builder of any core.Watcher. gRPC keeps
// its own connections and its own balancing.
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
// # What gRPC is told
//
// The watch is begun again with back-off when it is lost, and the last known servers
// are kept meanwhile, as in a pool: gRPC is told of the error, which ends up in calls
// only where there is no server to call. When more than half of the servers vanish at
// once they are kept for [Grace]. A set that did not change is not sent again.
//
// What the registry says of a server, its weight among it, is in the attributes of the
// resolver.Endpoint, for balancers; [FromEndpoint] and [FromAddress] read it. When only
// that changes, no connection is closed. gRPC's own policies do not look at weights.
//
// # TLS
//
// As always with gRPC, all servers must prove to be the authority of the target, which
// here is the last part of its path, "echo" above, and can be set with
// grpc.WithAuthority.
package grpcresolver
