package kubernetes

import (
	"errors"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs for a [discovery.Mux]:
//
//	k8s://[context]/namespace/service[:port]?parameter=value
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
	errs := []error{b.place(strings.Trim(u.Path, "/"))}
	switch {
	case len(u.Hosts) > 1:
		errs = append(errs, errors.New("several hosts: the host is a context of the kubeconfig"))
	case len(u.Hosts) == 1 && b.context != "":
		errs = append(errs, errors.New("the context is given twice: as the host and as a parameter"))
	case len(u.Hosts) == 1:
		b.context = u.Hosts[0]
	}
	if u.User != "" || u.Password.IsSet() {
		errs = append(errs, errors.New("a user and a password: the kubeconfig has them"))
	}
	b.err = errors.Join(errs...)
	w := &watcher{config: &b.config}
	return w, w.Validate()
}
