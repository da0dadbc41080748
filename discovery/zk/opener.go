package zk

import (
	"errors"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs for a [discovery.Mux]:
//
//	zk://[user:password@]host[:port],host[:port].../path?parameter=value
//
// The parameters are in the package documentation.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	b.declare(p)
	return b
}

type backend struct{ config }

// Watcher implements [discovery.Backend].
func (b *backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	b.open(u)
	w := &watcher{&b.config}
	return w, w.Validate()
}

// Registrar returns a registrar for the same path.
func (b *backend) Registrar(u *discovery.URL) (discovery.Registrar, error) {
	b.open(u)
	r := &registrar{config: &b.config}
	return r, r.Validate()
}

// open completes the configuration with the other parts of the URL.
func (b *backend) open(u *discovery.URL) {
	credentials, err := u.Credentials(b.credentials)
	b.credentials = credentials
	b.place(u.Hosts, u.Path)
	b.err = errors.Join(b.err, err)
}
