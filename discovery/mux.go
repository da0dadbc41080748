package discovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// Opener is how a plugin opens URLs of its scheme. It declares its parameters
// in p, bound to fields of the [Backend] that it returns, and does nothing
// else: it is also called to describe the parameters.
//
//	func Opener(p *discovery.Params) discovery.Backend {
//		var c Config
//		p.Duration(&c.SessionTimeout, "session_timeout", 10*time.Second, time.Second, time.Minute, "how long ...")
//		return &c
//	}
type Opener func(p *Params) Backend

// Backend is a registry that was chosen by a URL, whose parameters it has by
// the time its methods are called. Each of them is called once and does no
// I/O. It returns an error if the URL has a part that it needs no more or
// lacks one that it needs.
//
// A Backend that can register endpoints also implements
//
//	Registrar(u *URL) (Registrar, error)
type Backend interface {
	Watcher(u *URL) (core.Watcher, error)
}

// Mux opens registries by URL. Each program says which schemes its Mux has;
// only static:// is built in. The zero Mux is ready to use. It is safe for
// concurrent use once no more schemes are added.
type Mux struct {
	openers map[string]Opener
}

// Handle makes o open the URLs of the scheme, in place of an earlier opener.
func (m *Mux) Handle(scheme string, o Opener) {
	if m.openers == nil {
		m.openers = make(map[string]Opener)
	}
	m.openers[strings.ToLower(scheme)] = o
}

// Open returns a watcher of the place that the URL names. It does no I/O. All
// mistakes in parameters are reported at once, with what is expected; an
// unknown one with those that are known.
func (m *Mux) Open(url string) (core.Watcher, error) {
	u, b, err := m.backend(url)
	if err != nil {
		return nil, err
	}
	w, err := b.Watcher(u)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s: %w", u, err)
	}
	return w, nil
}

// OpenRegistrar returns a registrar of the place that the URL names. It does
// no I/O. A scheme that only watches is an error that matches
// [errors.ErrUnsupported].
func (m *Mux) OpenRegistrar(url string) (Registrar, error) {
	u, b, err := m.backend(url)
	if err != nil {
		return nil, err
	}
	o, ok := b.(interface {
		Registrar(u *URL) (Registrar, error)
	})
	if !ok {
		return nil, fmt.Errorf("discovery: %s: nothing can be registered there (%w)", u, errors.ErrUnsupported)
	}
	r, err := o.Registrar(u)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s: %w", u, err)
	}
	return r, nil
}

func (m *Mux) backend(url string) (*URL, Backend, error) {
	u, err := ParseURL(url)
	if err != nil {
		return nil, nil, err
	}
	o := m.opener(u.Scheme)
	if o == nil {
		return nil, nil, fmt.Errorf("discovery: scheme %q is not known; known are %s", u.Scheme, strings.Join(m.Schemes(), ", "))
	}
	var p Params
	b := o(&p)
	if err := p.bind(u); err != nil {
		return nil, nil, fmt.Errorf("discovery: %s: %w", u, err)
	}
	return u, b, nil
}

func (m *Mux) opener(scheme string) Opener {
	if o := m.openers[scheme]; o != nil || scheme != staticScheme {
		return o
	}
	return openStatic
}

// Schemes lists what can be opened, in alphabetical order.
func (m *Mux) Schemes() []string {
	schemes := slices.Collect(maps.Keys(m.openers))
	if !slices.Contains(schemes, staticScheme) {
		schemes = append(schemes, staticScheme)
	}
	slices.Sort(schemes)
	return schemes
}

// Params describes the parameters of a scheme; none if it is not known.
func (m *Mux) Params(scheme string) []Param {
	o := m.opener(strings.ToLower(scheme))
	if o == nil {
		return nil
	}
	var p Params
	o(&p)
	return p.All()
}

// staticScheme lists the servers themselves: static://10.0.0.1:9090,10.0.0.2:9090
const staticScheme = "static"

type staticBackend struct{}

func openStatic(*Params) Backend { return staticBackend{} }

func (staticBackend) Watcher(u *URL) (core.Watcher, error) {
	if u.User != "" || u.Password.IsSet() || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("a static list has neither user nor path, only hosts")
	}
	w := static.Watcher(u.Hosts...)
	return w, w.Validate()
}
