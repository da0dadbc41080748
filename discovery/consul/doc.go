// Package consul discovers and registers servers in Consul.
//
//	watcher := consul.Watcher([]string{"127.0.0.1:8500"}, "echo", consul.WithTag("v1"))
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	consul://127.0.0.1:8500/echo?tag=v1&ttl=5s
//	consul://10.0.0.1,10.0.0.2/echo?datacenter=east&credentials=env:CONSUL_TOKEN&tls=true
//
// A server is an instance of a service whose checks are not critical. Its
// weight is that of its worst check, as in Consul's DNS answers. An instance
// with a socket path is reached through that. Proxies and gateways of the
// service mesh that have the service's name are no servers. A registrar
// registers an instance with the local agent. The instance has a check that
// becomes critical when the agent no longer hears from the program.
//
// # Permissions
//
// A watcher's token needs to read the service and the nodes of its instances,
// and a registrar's to read and write the service. What a token may not read,
// Consul leaves out of its answers. Watch returns an error then, and never a
// smaller set. Consul 1.11 and later mark such answers. With older versions, a
// watcher asks for the token's permissions when the instances of a node vanish
// or when there is none. A client agent before 1.11 answers that from what it
// knew of the token up to 30 s ago, and what is hidden from the start, beside
// other instances, shows only with 1.11.
//
// # Connections
//
// A watch has one connection to its agent, on which it waits, and a registration
// has one. All watches of an agent in a process share one more, and all
// registrations up to eight, if they have the same timeout and TLS. An agent allows 200
// connections to all programs of a host, unless its limits say otherwise
// (http_max_conns_per_client).
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher], [Registrar] and URLs have the same ones. A watcher
// ignores what concerns only registrars, and the reverse.
//
//	option            parameter          default
//	WithCredentials   credentials        -
//	WithTLS           tls                false
//	                  tls_ca             -
//	                  tls_cert           -
//	                  tls_key            -
//	                  tls_server_name    -
//	Allow             allow              -
//	Deny              deny               -
//	OnSkipped         -                  -
//	Timeout           timeout            5s
//	TTL               ttl                10s
//	DeregisterAfter   deregister_after   1m0s
//	Wait              wait               1m0s
//	Passing           passing            false
//	WithTag           tag                -
//	WithAddress       address            -
//	WithDatacenter    datacenter         -
//	WithNamespace     namespace          -
//
// Without Allow, the registry may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
//
// Without credentials, the token is that of the environment variable
// CONSUL_HTTP_TOKEN_FILE, which names a file, or CONSUL_HTTP_TOKEN, as in all
// programs that use Consul. The parameter tag may be repeated, like its option.
// Consul has its own format of entries, so there is no option for it.
package consul
