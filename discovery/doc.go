// Package discovery is what registry plugins share, and how programs choose
// among them.
//
// A program opens a registry by its URL, through a [Mux] that lists the
// plugins it was built with:
//
//	var mux discovery.Mux
//	mux.Handle("zk", zk.Opener)
//	watcher, err := mux.Open("zk://10.0.0.1:2181,10.0.0.2:2181/services/echo?format=curator")
//
// A server makes itself known with [Register], which keeps it registered until
// the [Registration] is closed:
//
//	registrar, err := mux.OpenRegistrar(url)
//	registration := discovery.Register(registrar, core.Endpoint{Addr: "10.0.0.7:9090"})
//	defer registration.Close(ctx)
//
// A plugin has an [Opener], which declares its parameters in [Params], a
// [core.Watcher], whose Watch keeps a [Set], and a [Registrar]. How entries
// are read and written is in the package format, watchers made of others are
// in the package combine.
package discovery
