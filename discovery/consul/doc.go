// Package consul discovers and registers servers in Consul.
//
//	watcher := consul.Watcher("127.0.0.1:8500", "echo", consul.Tag("v1"))
//
// or, with every option as a parameter, through a [discovery.Mux]:
//
//	mux.Handle("consul", consul.Opener)
//	mux.Open("consul://127.0.0.1:8500/echo?tag=v1&dc=east&token=env:CONSUL_TOKEN")
//
// A server is an instance of a service whose checks are not critical. Its
// weight is that of its worst check, as in Consul's answers by DNS. A registrar
// registers an instance with the agent beside it, with a check that is
// critical as soon as the program is not heard of.
//
// Where no token is given, it is the one in CONSUL_HTTP_TOKEN or in the file
// CONSUL_HTTP_TOKEN_FILE, as with all programs that talk to Consul.
package consul
