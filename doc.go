// Package multipool is a pool of pools: one sub-pool of live connections per
// server, over a set of servers that streams in from a registry. Each call
// leases a connection to the server that is best placed to answer now.
//
// This package holds no code. Start with
//
//   - core: the pool, its leases, and the contracts Watcher, Dialer, Balancer
//     and Observer. It imports the standard library and nothing else;
//   - discovery: where the set of servers comes from;
//   - protocol: connections of a protocol, and clients that call through a pool;
//   - examples: programs to run, the shortest being examples/quickstart;
//   - bench: the comparison with other pools.
//
// Whatever has a dependency of its own is a module of its own, so that this
// module has none. DESIGN.md tells how the parts work together.
package multipool
