package discovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Opener opens URLs of a plugin's scheme. It declares the parameters in p, bound
// to fields of the [Backend] that it returns, and does nothing else: a Mux also
// calls it to describe the parameters.
//
//	func Opener(p *discovery.Params) discovery.Backend {
//		var c Config
//		p.Duration(&c.SessionTimeout, "session_timeout", 10*time.Second, time.Second, time.Minute, "how long ...")
//		return &c
//	}
type Opener func(p *Params) Backend

// Backend is a registry that a URL names. A [Mux] sets its parameters and then
// calls one of its methods once. A method reads the files of secrets and
// certificates and does no other I/O. It returns an error if the URL has a part
// that the registry does not know, or lacks one that it needs.
//
// A Backend that can register endpoints also implements
//
//	Registrar(u *URL) (Registrar, error)
type Backend interface {
	Watcher(u *URL) (Watcher, error)
}

// Mux opens registries by URL. A program adds the schemes that it needs, see
// [Mux.Handle]. The zero Mux has no scheme and is ready to use. A Mux is safe for
// concurrent use once no more schemes are added.
type Mux struct {
	openers map[string]Opener
}

// Handle makes o open the URLs of the scheme, in place of an earlier opener.
// Schemes are case-insensitive.
func (m *Mux) Handle(scheme string, o Opener) {
	if m.openers == nil {
		m.openers = make(map[string]Opener)
	}
	m.openers[strings.ToLower(scheme)] = o
}

// Open returns a watcher of the place that the URL names. It connects to
// nothing, and reads the files of secrets and certificates only to see that they are
// there. Its error names every mistake in the parameters and what is expected, and for an
// unknown parameter or scheme those that are known.
//
// The parameter where, which every scheme has, filters the set:
//
//	zk://10.0.0.1/service/demo/members?format=patroni&where=role:replica&where=zone:eu
//
// A server must have each of the attributes that are named, and of several values of one
// name one of them. zone and weight are those of the [Endpoint]. A value that is empty
// stands for an attribute that is absent.
func (m *Mux) Open(url string) (Watcher, error) {
	u, b, where, err := m.backend(url)
	if err != nil {
		return nil, err
	}
	w, err := b.Watcher(u)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s: %w", u, err)
	}
	if len(where) > 0 {
		return &filtered{w, where}, nil
	}
	return w, nil
}

// OpenRegistrar returns a registrar of the place that the URL names, as Open
// does a watcher. The error for a scheme that only watches matches
// [errors.ErrUnsupported].
func (m *Mux) OpenRegistrar(url string) (Registrar, error) {
	u, b, _, err := m.backend(url)
	if err != nil {
		return nil, err
	}
	o, ok := b.(interface {
		Registrar(u *URL) (Registrar, error)
	})
	if !ok {
		return nil, fmt.Errorf("discovery: %s: this registry can be watched only, nothing can be registered (%w)", u, errors.ErrUnsupported)
	}
	r, err := o.Registrar(u)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s: %w", u, err)
	}
	return r, nil
}

func (m *Mux) backend(url string) (*URL, Backend, where, error) {
	u, err := ParseURL(url)
	if err != nil {
		return nil, nil, nil, err
	}
	if m == nil {
		m = new(Mux)
	}
	o := m.openers[u.Scheme]
	if o == nil {
		return nil, nil, nil, fmt.Errorf("discovery: %s", m.unknown(u.Scheme))
	}
	var p Params
	var w where
	b := o(&p)
	w.declare(&p)
	if err := p.bind(u); err != nil {
		return nil, nil, nil, fmt.Errorf("discovery: %s: %w", u, err)
	}
	return u, b, w, nil
}

// unknown says what is missing for a scheme.
func (m *Mux) unknown(scheme string) string {
	text := fmt.Sprintf("scheme %q is not known", scheme)
	name := scheme
	if scheme == "k8s" {
		name = "kubernetes"
	}
	if slices.Contains([]string{"static", "file", "dns", "zk", "etcd", "consul", "xds", "kubernetes"}, name) {
		text += fmt.Sprintf(": import %q and call Handle(%q, %s.Opener) of the Mux",
			"github.com/minicaptain/multi_connection_pool/discovery/"+name, scheme, name)
	}
	switch {
	case len(m.openers) == 0 && !strings.Contains(text, "Handle"):
		text += `: this Mux has no scheme; call its Handle, such as Handle("static", static.Opener)`
	case len(m.openers) > 0:
		text += "; known are " + strings.Join(m.Schemes(), ", ")
	}
	return text
}

// Schemes returns the schemes that the Mux has, in alphabetical order.
func (m *Mux) Schemes() []string {
	return slices.Sorted(maps.Keys(m.openers))
}

// Params returns the parameters of a scheme, nil if the scheme is not known.
func (m *Mux) Params(scheme string) []Param {
	o := m.openers[strings.ToLower(scheme)]
	if o == nil {
		return nil
	}
	var p Params
	var w where
	o(&p)
	w.declare(&p)
	return p.All()
}
