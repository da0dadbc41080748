// Package kubernetes discovers the endpoints of a Service in Kubernetes: the pods that
// are ready, each a server of its own.
//
//	watcher := kubernetes.Watcher("shop/echo:grpc")
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	k8s:///shop/echo:grpc
//	k8s:///shop/echo:9090?where=zone:eu-1
//	k8s://staging/shop/echo
//
// It follows the EndpointSlices of the Service, whether the Service is headless or not:
// calls go to the pods themselves. The port is that of the pods: its name in the
// Service, or its number in the pods, which may be another one than the Service's. It
// may be left out if there is only one.
//
// # Connection
//
// $KUBECONFIG, ~/.kube/config or the parameter kubeconfig say where the API server is
// and who asks. A URL's host is a context of it; without one the current context
// counts. Where there is no kubeconfig, the program asks as its pod's service account.
// It needs a Role in the namespace of the Service, and no more:
//
//	rules:
//	- apiGroups: ["discovery.k8s.io"]
//	  resources: ["endpointslices"]
//	  verbs: ["list", "watch"]
//
// A token's file is read again every 50 s, and when the API server has refused the token.
// Each Watch has one connection.
//
// # What counts
//
// All slices of the Service are joined, and an address that is in several counts once.
// An endpoint counts if it is ready, or if that is unset. Endpoints that terminate and
// still serve count when no other is left, as in kube-proxy; their attribute
// terminating is "true". Of several addresses of an endpoint, the first one counts.
//
//	Zone                    the zone; if each endpoint has a hint for zones, the one that it is for
//	attribute node          the node
//	attribute pod           the pod
//	attribute hostname      the host name, as of pods of a StatefulSet
//	attribute for_zones     zones that the endpoint is for, by its hint, separated by commas
//	attribute node_zone     the zone of the node, if there is such a hint
//	attribute for_nodes     nodes that the endpoint is for, by its hint
//
// So balance.ZoneAware prefers the endpoints that Kubernetes meant for a zone.
//
// # When the set changes
//
// Changes arrive as they happen. A failure, a restart of the API server, versions that
// are too old or a restored backup make the slices be listed again; the last set stays
// in use until they are. A new Watch of a server without streaming lists (before
// Kubernetes 1.32, or with etcd 3.4) takes its first list from the cache of the API
// server, which may lag behind.
//
// No slice means an empty set: the Service does not exist, or has no selector and no
// endpoints. So do slices without an endpoint that is ready. Watch warns of either, see
// [discovery.ReportWarning]. A slice that is malformed or has no such port is left out,
// as [OnSkipped] and a warning say. If no slice with endpoints has the port, Watch
// returns an error that lists the ports, and the last set stays in use. Slices of more
// than 32 MiB are an error.
//
// # Options and URL parameters
//
// A parameter has the name of its option, in lower case with underscores and
// without With. [Watcher] and URLs have the same ones.
//
//	option       parameter    default
//	Kubeconfig   kubeconfig   -
//	Context      context      -
//	WithConfig   -            -
//	Allow        allow        -
//	Deny         deny         -
//	OnSkipped    -            -
//	Timeout      timeout      5s
//	WithFamily   family       any
//	-            where        -
//
// The parameter where filters the set: see [discovery.Mux.Open]. Without Allow, the
// slices may name every host, the program's own too: see [discovery.Admission].
//
// # Dependencies
//
// The module uses the list-watch machinery, the connection and the kubeconfig of
// client-go, and of the API's types only those of one group. That links 28 modules and adds
// 8 MB to a program (13.9 MB, stripped, instead of 5.9 MB for one that uses net/http).
//
// # URL parameters
//
//   - kubeconfig: file that says where the API server is; empty means $KUBECONFIG,
//     ~/.kube/config or the pod's service account (text).
//   - context: context of the kubeconfig, instead of the URL's host; for a name that no
//     host has (text).
//   - allow: address, prefix, name or socket, with or without ports, that the registry may
//     name; empty means every host and no socket (rule, may be repeated).
//   - deny: address, prefix, name or socket, with or without ports, that the registry may
//     not name (rule, may be repeated).
//   - timeout: how long a server may take to answer, connecting included (duration from
//     100ms to 1m0s; default 5s).
//   - family: which addresses count; any is IPv4, or IPv6 where there is no IPv4 (one of
//     any, ipv4, ipv6, both; default any).
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package kubernetes

//go:generate env UPDATE_DOC=1 go test -run TestOptionsAndParametersAreThoseOfTheTable .
