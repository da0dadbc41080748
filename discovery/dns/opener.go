package dns

import (
	"errors"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs for a [discovery.Mux]:
//
//	dns:///name:port
//	dns:///_service._proto.name
//	dns://server[:port][,server].../name[:port]?parameter=value
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
	b.place(u.Hosts, strings.Trim(u.Path, "/"))
	if u.User != "" || u.Password.IsSet() {
		b.err = errors.Join(b.err, errors.New("a user and a password mean nothing to DNS"))
	}
	w := &watcher{config: &b.config}
	return w, w.Validate()
}
