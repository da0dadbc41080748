// Package zk discovers and registers servers in ZooKeeper.
//
//	pool, err := core.New(zk.Watcher([]string{"10.0.0.1:2181", "10.0.0.2:2181"}, "/services/echo"), dialer)
//
// By URL, through a [discovery.Mux] that has [Opener]:
//
//	zk://10.0.0.1:2181,10.0.0.2:2181/services/echo?session_timeout=5s
//	zk://user:env%3AZK_PASSWORD@zk.example.com/services/echo?format=curator&chroot=/tenant&tls=true
//
// # What it costs the ensemble
//
// All watchers and registrars of one ensemble and user in a process share one
// session, which ends with the last of them. A watcher holds one watch; one
// whose format reads data holds another for each server. With n servers:
//
//	first list           1 request, and n more if data is read (128 at a time)
//	one server more      1 request, 2 if data is read
//	one server less      1 request
//	data of a server     1 request
//	a short loss of the connection   none
//	a new session        as the first list
//	no news of the list  1 request per session timeout
//
// # What it does not see
//
// ZooKeeper does not tell a client of changes that happen while the client may
// not read the node, nor of later ones until it reads the node again. A list
// that has changed is found out within the session timeout. Data of a server
// whose node was closed to the client for a while and changed meanwhile is
// read again when that node is made anew, or the session is.
package zk
