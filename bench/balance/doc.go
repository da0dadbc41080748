// Package balance measures what each balancer of the project does with calls over pools of package core: their shares against
// theory, after a restart, with a canary, and the keys that move when the set of servers changes.
//
//	go test ./balance -run Tables -count=1 -args -long -o RESULTS.md
//
// Connections are dialed, and are net.Pipes to servers in this process; time is that of testing/synctest, so that the tables
// are the same on every machine, except for the random numbers that balancers draw. Balancers are in arm_test.go, servers in
// server_test.go.
package balance
