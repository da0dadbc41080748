// Package zk discovers and registers servers in ZooKeeper.
//
//	pool, err := core.New(zk.Watcher([]string{"10.0.0.1:2181", "10.0.0.2:2181"}, "/services/echo"), dialer)
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	zk://10.0.0.1:2181,10.0.0.2:2181/services/echo?session_timeout=5s
//	zk://user:env%3AZK_PASSWORD@zk.example.com/services/echo?format=curator&chroot=/tenant&tls=true
//
// A server is a child of the node at a path. The format says how it is written.
// A registrar makes ephemeral nodes, so that ZooKeeper deletes them when the
// program is gone.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher], [Registrar] and URLs have the same ones. A watcher
// ignores what concerns only registrars, and the reverse.
//
//	option            parameter         default
//	WithFormat        format            name
//	WithCredentials   credentials       -
//	WithTLS           tls               false
//	                  tls_ca            -
//	                  tls_cert          -
//	                  tls_key           -
//	                  tls_server_name   -
//	Allow             allow             -
//	Deny              deny              -
//	OnSkipped         -                 -
//	SessionTimeout    session_timeout   10s
//	WithChroot        chroot            -
//	WithACL           acl               open
//
// Without Allow, the registry may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
//
// # Load on the ensemble
//
// All watchers and registrars in a process that have the same servers,
// credentials, TLS and session timeout share one session, which ends with the
// last of them. A watcher sets one watch, and one more for each server if its
// format reads data. With n servers, a watcher makes these requests:
//
//	first list                        1, and n more if data is read (128 at a time)
//	one server more                   1, or 2 if data is read
//	one server less                   1
//	new data of a server              1
//	a short loss of the connection    none
//	a new session                     as for the first list
//	no event for the session timeout  1
//
// # Changes that ZooKeeper does not report
//
// ZooKeeper does not report a change that happens while the client may not read
// the node, and no later one until the client reads the node again. A watcher
// notices a change of the list within the session timeout. It reads new data of
// a server that it could not read for a while when the node or the session is
// made anew.
package zk
