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
// # Servers in the key-value store
//
// rpcx has its servers there, and Patroni its members. With a prefix, a watcher reads
// the keys below it in any format of keys and values, and follows their changes:
//
//	consul://127.0.0.1:8500/?prefix=rpcx_test/Arith&format=rpcx
//	consul://127.0.0.1:8500/?prefix=service/main/members&format=patroni
//
// Keys have no checks: a server is there as long as its key. A registrar with the same URL
// puts the key, with what the format writes, and binds it to a session, so that Consul
// deletes the key when the program is gone: between one and two TTLs after the program
// was last heard, 10 to 20 s by default. An agent or a server that is away for less than
// the TTL costs no registration, and with several agents, the registrar goes on with the
// next one. A program that was killed and is started again takes its own key over at
// once, in one step. A key that somebody deletes, releases or overwrites is put back. The
// key of a later registration, with a session of its own, is a conflict and stays: see
// [discovery.ErrConflict]. Register returns an error when the session has not been
// renewed for its TTL, or is gone.
//
// Sessions of other programs may have a lock delay, 15 s unless they say otherwise. Once
// Consul has ended such a session, nobody gets its keys for that time, registrars included.
// The sessions of registrars have none.
//
// # Permissions
//
// A watcher's token needs to read the service and the nodes of its instances,
// and a registrar's to read and write the service. With a prefix, a watcher's needs to read
// the keys below it, and a registrar's to write them, and to write sessions of the agent's
// node (session:write).
//
// What a token may not read, Consul leaves out of its answers. Watch returns an error then,
// and never a smaller set. Consul 1.11 and later mark such answers. With older versions, a
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
// # Large services
//
// Consul answers each change with all instances of a service. A watch recognizes those
// that are unchanged by a hash of their bytes and decodes only the others, so that one
// change among 10,000 costs it and its pool about 20 ms of CPU time, a fifth of what
// decoding all of them costs. It keeps some 80 bytes per instance for that.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher], [Registrar] and URLs have the same ones. A watcher
// ignores what concerns only registrars, and the reverse.
//
//	option                      parameter                     default
//	WithFormat                  format                        consul
//	WithCredentials             credentials                   -
//	WithTLS                     tls                           false
//	                            tls_ca                        -
//	                            tls_cert                      -
//	                            tls_key                       -
//	                            tls_server_name               -
//	AllowPlaintextCredentials   allow_plaintext_credentials   false
//	Allow                       allow                         -
//	Deny                        deny                          -
//	OnSkipped                   -                             -
//	Timeout                     timeout                       5s
//	TTL                         ttl                           10s
//	DeregisterAfter             deregister_after              1m0s
//	Wait                        wait                          1m0s
//	Passing                     passing                       false
//	WithTag                     tag                           -
//	WithAddress                 address                       -
//	WithPrefix                  prefix                        -
//	WithDatacenter              datacenter                    -
//	WithNamespace               namespace                     -
//	-                           where                         -
//
// Without Allow, the registry may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
//
// The parameter where filters the set: see [discovery.Mux.Open]. What OnSkipped is
// called with is also in the warnings of a watch: see [discovery.ReportWarning].
//
// Without credentials, the token is that of the environment variable
// CONSUL_HTTP_TOKEN_FILE, which names a file, or CONSUL_HTTP_TOKEN, as in all
// programs that use Consul. The parameter tag may be repeated, like its option.
//
// Consul has its own format of instances. The format says how a framework uses it:
// kratos, kratos:grpc, kitex, hertz, micro or goframe; see [format.Consul].
//
// # URL parameters
//
//   - format: whose instances these are, for the framework's weights, zones and addresses
//     (one of consul, kratos, kitex, hertz, micro, goframe, name, value, go-kit, go-zero,
//     serverset, shallow-party, nerve, curator, dubbo, naming, kitex-etcd, kitex-zk,
//     hertz-etcd, hertz-zk, rpcx, goframe-etcd, goframe-zk, patroni, kafka, solr, hbase,
//     clickhouse; default consul).
//   - credentials: the token; empty means that of CONSUL_HTTP_TOKEN_FILE or
//     CONSUL_HTTP_TOKEN (secret, env:NAME or file:PATH).
//   - tls: whether connections use TLS (true or false; default false).
//   - tls_ca: file (PEM) of the authorities that may sign the servers' certificates; empty
//     means the system's (text).
//   - tls_cert: file (PEM) of the client's own certificate (text).
//   - tls_key: file (PEM) of the key of tls_cert (text).
//   - tls_server_name: name in the servers' certificates, if it is not the listed one
//     (text).
//   - allow_plaintext_credentials: whether credentials may be sent without TLS to servers
//     on other hosts (true or false; default false).
//   - allow: address, prefix, name or socket, with or without ports, that the registry may
//     name; empty means every host and no socket (rule, may be repeated).
//   - deny: address, prefix, name or socket, with or without ports, that the registry may
//     not name (rule, may be repeated).
//   - timeout: how long a server may take to answer, connecting included (duration from
//     100ms to 1m0s; default 5s).
//   - ttl: how long an entry outlives its program (duration from 2s to 1h0m0s in whole
//     seconds; default 10s).
//   - deregister_after: how long an instance is critical before the agent removes it
//     (duration from 1m0s to 168h0m0s; default 1m0s).
//   - wait: how long one request waits for a change (duration from 1s to 10m0s; default
//     1m0s).
//   - passing: whether to leave out instances that warn (true or false; default false).
//   - tag: tag that an instance must have; a registrar adds it (text, may be repeated).
//   - address: which tagged address of an instance to use, such as wan; empty means its
//     plain one (text).
//   - prefix: prefix of keys in the key-value store, instead of a service, which is empty
//     then (text).
//   - datacenter: datacenter to watch; empty means the agent's (text).
//   - namespace: namespace of Consul Enterprise; empty means the token's (text).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package consul

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
