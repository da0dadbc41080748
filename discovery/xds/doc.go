// Package xds discovers servers by an xDS control plane, such as Istio or one made
// with go-control-plane: the endpoints of a cluster (EDS), over aggregated discovery
// (ADS).
//
//	watcher := xds.Watcher([]string{"10.0.0.1:18000"}, "echo", xds.WithNode("front-7"))
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	xds://10.0.0.1,10.0.0.2:18000/echo?node=front-7
//	xds://istiod.example.com:15012/outbound%7C80%7C%7Cecho.default.svc.cluster.local?tls=true
//
// The path is the cluster's name as EDS knows it, percent-encoded where need be. The
// package watches endpoints alone: listeners, routes and clusters of the control plane
// have no effect, nor does load reporting.
//
// # Which endpoints get calls
//
// Endpoints that are HEALTHY, or of UNKNOWN health, get calls. Of several priorities,
// only the lowest counts that has such an endpoint, unless [AllPriorities] is set: then
// balance.Priority turns to the next one when the pool finds that all endpoints of the
// one before are down. A part of the calls never spills over. If localities have weights,
// their endpoints share them in proportion to their own weights, and a locality without
// one gets no calls; otherwise the weights of the endpoints count alone. The zone is the
// locality's, or else its region. Attributes are "region", "sub_zone", "hostname" and
// "priority" (unless it is 0), where an endpoint has them, and the texts of its metadata
// "envoy.lb".
//
// An endpoint that is not a server of TCP or a Unix socket is left out, as [OnSkipped]
// and a warning say. Calls that the control plane wants dropped (drop_overloads) are
// not: a warning says so, see [discovery.ReportWarning].
//
// # Versions, and what goes wrong
//
// A response is accepted (ACK) with its version. One that cannot be read, is not of EDS
// or has the cluster twice is refused (NACK); the last set stays in use, and the
// failure is reported, see [discovery.ReportFailure]. A response without the cluster
// says nothing about it. A response has at most 16 MiB.
//
// When a stream breaks, the next control plane is asked. If it is the one that sent the
// cluster last, it is with the last version that was accepted, as the protocol has it: a
// control plane that restarts must not use a version again for something else. One that
// refuses the program ends Watch, and the next Watch begins at another. A control plane that sends nothing of a cluster does not
// have it, or hangs; EDS cannot tell. Watch returns an error then. A connection that is
// silent later is asked for a sign of life every 5 minutes.
//
// Each Watch has a connection and a stream of its own.
//
// # Size
//
// The module links gRPC, protobuf and the generated types of Envoy, in eight other
// modules, which is what a program pays that has no gRPC yet: 15.3 MB, stripped, instead
// of 3.3 MB with a list.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and without
// With. [Watcher] and URLs have the same ones.
//
//	option                      parameter                     default
//	WithNode                    node                          -
//	WithNodeCluster             node_cluster                  -
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
//	AllPriorities               all_priorities                false
//	-                           where                         -
//
// Without Allow, the control plane may name every host and port, the program's own host
// too, and no Unix socket: see [discovery.Admission].
//
// The parameter where filters the set: see [discovery.Mux.Open].
//
// # URL parameters
//
//   - node: the node ID, by which the control plane chooses what it sends; empty means the
//     host's name (text).
//   - node_cluster: the node's cluster: the service that the program belongs to (text).
//   - credentials: a bearer token (secret, env:NAME or file:PATH).
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
//   - all_priorities: whether endpoints of every priority count, with the attribute
//     priority (true or false; default false).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package xds

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
