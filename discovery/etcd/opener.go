package etcd

import (
	"errors"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs for a [discovery.Mux]:
//
//	etcd://[user:password@]host[:port],host[:port].../prefix?parameter=value
//
// The parameters are in the package documentation.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	b.declare(p)
	p.String(&b.prefixParam, "prefix", "", "prefix of the keys, instead of the URL's path; for a prefix without a leading slash")
	return b
}

type backend struct {
	config
	prefixParam string
}

// Watcher implements [discovery.Backend].
func (b *backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	b.open(u)
	w := &watcher{&b.config}
	return w, w.Validate()
}

// Registrar returns a registrar for the same prefix.
func (b *backend) Registrar(u *discovery.URL) (discovery.Registrar, error) {
	b.open(u)
	r := newRegistrar(&b.config)
	return r, r.Validate()
}

// open completes the configuration with the other parts of the URL.
func (b *backend) open(u *discovery.URL) {
	credentials, err := u.Credentials(b.credentials)
	b.credentials = credentials
	prefix := u.Path
	if b.prefixParam != "" {
		if prefix != "" && prefix != "/" {
			err = errors.Join(err, errors.New("the prefix is given twice: as the path and as a parameter"))
		}
		prefix = b.prefixParam
	}
	b.place(u.Hosts, prefix)
	b.err = errors.Join(b.err, err)
}
