// Package discovery says where the servers are: the contracts of registry
// plugins, what plugins share, and how a program chooses among them. It imports
// the standard library only.
//
// A program opens a registry by its URL, through a [Mux] that lists the plugins
// it was built with:
//
//	var mux discovery.Mux
//	mux.Handle("zk", zk.Opener)
//	watcher, err := mux.Open("zk://10.0.0.1:2181,10.0.0.2:2181/services/echo?format=curator")
//
// A pool runs the [Watcher]; a program that has no pool calls [Follow].
//
// A server registers itself with [Register], and stays registered until it
// closes the [Registration]:
//
//	registrar, err := mux.OpenRegistrar(url)
//	registration, err := discovery.Register(registrar, discovery.Endpoint{Addr: "10.0.0.7:9090"})
//	defer registration.Close(ctx)
//
// A plugin has an [Opener], which declares its parameters in [Params], a
// [Watcher], whose Watch keeps a [Set], and a [Registrar]. Package format reads
// and writes entries; package combine makes watchers of watchers.
package discovery
