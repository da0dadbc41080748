// Package etcd discovers and registers servers in etcd.
//
//	watcher := etcd.Watcher([]string{"10.0.0.1:2379", "10.0.0.2:2379"}, "/services/echo/")
//
// or, with every option as a parameter, through a [discovery.Mux]:
//
//	mux.Handle("etcd", etcd.Opener)
//	mux.Open("etcd://root:env:ETCD_PASSWORD@10.0.0.1:2379,10.0.0.2:2379/services/echo/?format=kratos&tls=true")
//
// A server is a key under the prefix, written as the format says; as the gRPC
// naming of etcd does it, if none is named. A registrar attaches its key to a
// lease, so that it vanishes with the program.
//
// Everything in a process that has the same servers and credentials shares one
// client, which lives as long as something is watched or registered.
package etcd
