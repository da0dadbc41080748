package consul

import (
	"errors"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs for a [discovery.Mux]:
//
//	consul://host[:port],host[:port].../service?parameter=value
//
// The hosts are agents. The parameters are in the package documentation.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	b.declare(p)
	return b
}

type backend struct{ config }

// Watcher implements [discovery.Backend].
func (b *backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	b.open(u)
	w := &watcher{config: &b.config}
	return w, w.Validate()
}

// Registrar returns a registrar for the same service or prefix.
func (b *backend) Registrar(u *discovery.URL) (discovery.Registrar, error) {
	b.open(u)
	if b.prefix != "" {
		r := &keyRegistrar{config: &b.config}
		return r, r.Validate()
	}
	r := &registrar{config: &b.config}
	return r, r.Validate()
}

// open completes the configuration with the other parts of the URL.
func (b *backend) open(u *discovery.URL) {
	b.place(u.Hosts, strings.Trim(u.Path, "/"))
	if u.User != "" || u.Password.IsSet() {
		b.err = errors.Join(b.err, errors.New("a user and a password mean nothing to Consul; the token is the parameter credentials"))
	}
}
