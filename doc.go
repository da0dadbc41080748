// Package multipool is a pool of pools: one sub-pool of live connections per
// server, over a set of servers that streams in from a registry. Each call
// leases a connection to the server that is best placed to answer now.
//
// This package holds no code. Start with
//
//   - core: the pool, its leases, and the contract Dialer;
//   - discovery: the contracts Watcher and Registrar, and the registries;
//   - balance: the contract Balancer, and the balancers;
//   - outlier, retry: outlier detection; repeated and hedged calls;
//   - protocol: connections of a protocol, and clients that call through a pool;
//   - config: a pool from a file and the environment;
//   - examples: programs to run, the shortest being examples/readme;
//   - bench: the comparison with other pools;
//   - findings: surprises of the libraries and servers around it, each a script.
//
// A package with a dependency is in a module of its own, so that this module has
// none. DESIGN.md describes how the parts work together.
package multipool
