package grpcresolver

import (
	"fmt"
	"net/url"
	"path"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Scheme is the scheme of targets.
const Scheme = "multipool"

// DefaultGrace is the [Grace] that builders have without the option.
const DefaultGrace = 30 * time.Second

// Of returns a builder for the servers that w names. The target only gives them a
// name: "multipool:///echo". Each ClientConn watches w; those of this project may be
// watched several times at once.
//
// A mistake in the parameters of w fails the calls of the ClientConn.
func Of(w core.Watcher, opts ...Option) resolver.Builder {
	return newBuilder(func(url.URL) (core.Watcher, error) { return w, nil }, opts)
}

// Mux returns a builder for targets that name a registry: "multipool:" and a URL that m
// can open. It may be given to any number of ClientConns, or to resolver.Register.
//
// gRPC shows targets, in channelz and in its log: a URL should refer to a password, and
// not have it in it. A URL that cannot be opened fails the calls of the ClientConn.
func Mux(m *discovery.Mux, opts ...Option) resolver.Builder {
	return newBuilder(func(target url.URL) (core.Watcher, error) {
		if target.Opaque == "" {
			return nil, fmt.Errorf("grpcresolver: the target is not %q and a URL", Scheme+":")
		}
		raw := target.Opaque
		if target.RawQuery != "" {
			raw += "?" + target.RawQuery
		}
		return m.Open(raw)
	}, opts)
}

// Option is an option of [Of] and [Mux].
type Option func(*builder)

// Grace is how long servers are kept that vanish when more than half of the set vanishes
// at once, an empty set included; see [core.ShrinkGrace]. The default is
// [DefaultGrace]; 0 is not at all.
func Grace(d time.Duration) Option { return func(b *builder) { b.grace = d } }

// Observe sets who is told of what happens to the set: servers that came and went,
// entries that were dropped, a watch that was lost. It is called as core's Observer is.
func Observe(o core.Observer) Option { return func(b *builder) { b.observer = o } }

type builder struct {
	open     func(target url.URL) (core.Watcher, error)
	grace    time.Duration
	observer core.Observer
}

func newBuilder(open func(url.URL) (core.Watcher, error), opts []Option) *builder {
	b := &builder{open: open, grace: DefaultGrace}
	for _, o := range opts {
		o(b)
	}
	return b
}

// Scheme implements resolver.Builder.
func (b *builder) Scheme() string { return Scheme }

// OverrideAuthority implements resolver.AuthorityOverrider.
func (b *builder) OverrideAuthority(t resolver.Target) string { return name(t.URL) }

// Build implements resolver.Builder. It does no I/O.
func (b *builder) Build(t resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	w, err := b.open(t.URL)
	if err != nil {
		return nil, err
	}
	return follow(w, &listener{cc: cc, name: name(t.URL), observer: b.observer}, b.grace)
}

// name is what the target is called: the last part of its path.
func name(target url.URL) string {
	p := target.Path
	if target.Opaque != "" {
		p = target.Opaque
		if u, err := discovery.ParseURL(p); err == nil {
			p = u.Path
		}
	}
	if p = path.Base("/" + p); p == "/" {
		return Scheme
	}
	return url.PathEscape(p)
}
