package xds

import (
	"errors"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs for a [discovery.Mux]:
//
//	xds://host[:port],host[:port].../cluster?parameter=value
//
// The hosts are control planes. The parameters are in the package documentation.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	b.declare(p)
	return b
}

type backend struct{ config }

// Watcher implements [discovery.Backend].
func (b *backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	b.place(u.Hosts, strings.TrimPrefix(u.Path, "/")) // names may have slashes
	if u.User != "" || u.Password.IsSet() {
		b.err = errors.Join(b.err, errors.New("a user and a password mean nothing to a control plane; a token is the parameter credentials"))
	}
	w := &watcher{config: &b.config}
	return w, w.Validate()
}
