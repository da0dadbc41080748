// Package integration tests the registries as they are: real servers in
// containers, which it kills, freezes, cuts off and wipes while servers that
// registered themselves are called through a pool. In none of this may a call
// fail that a healthy server could have answered.
//
//	make integration      # all of it, in a cluster of its own
//	make registries-up    # a cluster that stays, for the work on one test:
//	eval "$(integration/cluster env)"
//	go test -C integration -v -run Quorum
//
// A test is a row of REPORT.md, once for each registry; what they have in
// common is in rig_test.go, what sets a registry apart in registry_test.go.
// Tests that break a registry run in turn, and repair it before the next.
package integration
