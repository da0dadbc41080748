// Package scale plays large fleets: pools of package core over a network and a registry in memory, in simulated time. It
// counts what hundreds of clients do to a registry and to servers when something happens to all of them at once.
//
//	go test ./scale -run Tables -count=1 -timeout=0 -args -long -n 200 -o RESULTS.md
//
// Time is that of testing/synctest, and random numbers of the run have a seed, but those that balancers draw have none. The
// registry is in registry_test.go, the network in network_test.go, what happens in scenario_test.go.
package scale
