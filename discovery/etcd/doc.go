// Package etcd discovers and registers servers in etcd.
//
//	watcher := etcd.Watcher([]string{"10.0.0.1:2379", "10.0.0.2:2379"}, "/services/echo/")
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	etcd://10.0.0.1:2379,10.0.0.2:2379/services/echo/?format=kratos&ttl=5s
//	etcd://root:env%3AETCD_PASSWORD@etcd.example.com/services/echo/?tls=true
//
// A server is a key under the prefix. The format says how it is written. A
// registrar attaches its key to a lease, so that etcd deletes the key when the
// program is gone.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher], [Registrar] and URLs have the same ones. A watcher
// ignores what concerns only registrars, and the reverse.
//
//	option                      parameter                     default
//	WithFormat                  format                        naming
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
//	-                           prefix                        -
//	-                           where                         -
//
// Without Allow, the registry may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
//
// The parameter where filters the set: see [discovery.Mux.Open]. What OnSkipped is
// called with is also in the warnings of a watch: see [discovery.ReportWarning].
//
// The parameter prefix replaces the URL's path, for a prefix that does not
// begin with a slash.
//
// # Connections
//
// All watchers and registrars in a process that have the same servers,
// credentials, TLS and timeout share one client: a connection to each address of
// the servers, and one stream for all watches. The client lives as long as one
// of them watches or registers. It reads the files of certificates for each
// connection, and so uses renewed ones.
//
// # URL parameters
//
//   - format: how keys and values are written (one of name, value, go-kit, go-zero,
//     serverset, shallow-party, nerve, curator, dubbo, naming, kratos, kitex-etcd,
//     kitex-zk, hertz-etcd, hertz-zk, micro, rpcx, goframe-etcd, goframe-zk, patroni,
//     kafka, solr, hbase, clickhouse, consul; default naming).
//   - credentials: user:password, instead of those in front of the hosts (secret, env:NAME
//     or file:PATH).
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
//   - prefix: prefix of the keys, instead of the URL's path; for a prefix without a leading
//     slash (text).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package etcd

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
