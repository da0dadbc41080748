// Package zk discovers and registers servers in ZooKeeper.
//
//	pool, err := core.New(zk.Watcher([]string{"10.0.0.1:2181", "10.0.0.2:2181"}, "/services/echo"), dialer)
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	zk://10.0.0.1:2181,10.0.0.2:2181/services/echo?session_timeout=5s
//	zk://user:env%3AZK_PASSWORD@zk.example.com/services/echo?format=curator&chroot=/tenant&tls=true
//
// A server is a child of the node at a path. The format says how it is written. Of the
// format clickhouse, for a path that ends in /replicas, the child has its address in a node
// below it, and is a server while another one exists there.
// A registrar makes ephemeral nodes, so that ZooKeeper deletes them when the
// program is gone.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher], [Registrar] and URLs have the same ones. A watcher
// ignores what concerns only registrars, and the reverse.
//
//	option                      parameter                     default
//	WithFormat                  format                        name
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
//	SessionTimeout              session_timeout               10s
//	WithChroot                  chroot                        -
//	WithACL                     acl                           open
//	-                           where                         -
//
// Without Allow, the registry may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
//
// The parameter where filters the set: see [discovery.Mux.Open]. What OnSkipped is
// called with is also in the warnings of a watch: see [discovery.ReportWarning].
//
// # Load on the ensemble
//
// All watchers and registrars in a process that have the same servers,
// credentials, TLS and session timeout share one session, which ends with the
// last of them. A watcher sets one watch, and one more for each server if its
// format reads data. A watcher makes these requests, and with the format clickhouse two for
// the data of one server:
//
//	first list                        1, and 2 more for each 32 servers if data is read
//	one server more                   1, or 2 if data is read
//	one server less                   1
//	new data of a server              1
//	a short loss of the connection    none, or 1 for each 32 servers if data is read
//	a new session                     as for the first list
//	no event for the session timeout  1
//
// A request has at most 4 KiB, hence fewer servers if their paths are long. Before
// ZooKeeper 3.6, which cannot read many nodes at once, and with the format clickhouse it
// is one request for each server.
//
// # Changes that ZooKeeper does not report
//
// ZooKeeper does not report a change that happens while the client may not read
// the node, and no later one until the client reads the node again. A watcher
// notices a change of the list within the session timeout. It reads new data of
// a server that it could not read for a while when the node or the session is
// made anew.
//
// # URL parameters
//
//   - format: how nodes are named and what their data is (one of name, value, go-kit,
//     go-zero, serverset, shallow-party, nerve, curator, dubbo, naming, kratos, kitex-etcd,
//     kitex-zk, hertz-etcd, hertz-zk, micro, rpcx, goframe-etcd, goframe-zk, patroni,
//     kafka, solr, hbase, clickhouse, consul; default name).
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
//   - session_timeout: how long the ensemble keeps the session, and what is registered with
//     it, of a silent program (duration from 1s to 10m0s; default 10s).
//   - chroot: path in front of the URL's path (text).
//   - acl: access to nodes that a registrar makes (one of open, creator, creator-all-read;
//     default open).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package zk

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
