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
//	option            parameter         default
//	WithFormat        format            naming
//	WithCredentials   credentials       -
//	WithTLS           tls               false
//	                  tls_ca            -
//	                  tls_cert          -
//	                  tls_key           -
//	                  tls_server_name   -
//	Allow             allow             -
//	Deny              deny              -
//	OnSkipped         -                 -
//	Timeout           timeout           5s
//	TTL               ttl               10s
//	-                 prefix            -
//
// Without Allow, the registry may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
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
package etcd
