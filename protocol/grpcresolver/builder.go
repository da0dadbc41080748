package grpcresolver

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/url"
	"path"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Scheme is the scheme of targets.
const Scheme = "multipool"

// DefaultRemovalGrace is the [RemovalGrace] of builders without the option.
const DefaultRemovalGrace = 30 * time.Second

// Of returns a builder for the servers that w reports. The target only gives them a
// name: "multipool:///echo". Each ClientConn watches w, several at a time, which every
// watcher of this repository allows.
//
// A mistake in the parameters of w fails the calls of the ClientConn.
func Of(w discovery.Watcher, opts ...Option) resolver.Builder {
	return newBuilder(func(url.URL) (discovery.Watcher, error) { return w, nil }, opts)
}

// Mux returns a builder for targets that name a registry: "multipool:" and a URL that m
// can open. Any number of ClientConns may use it, and it may be given to
// resolver.Register.
//
// gRPC shows targets in channelz and in its log: a URL should refer to a password
// (env:NAME, file:PATH) and not contain it. A URL that cannot be opened fails the calls
// of the ClientConn.
func Mux(m *discovery.Mux, opts ...Option) resolver.Builder {
	return newBuilder(func(target url.URL) (discovery.Watcher, error) {
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

// RemovalGrace sets how long servers stay in use that vanish when more than half of the
// set vanishes at once, as when it becomes empty; see [discovery.Follower]. The default
// is [DefaultRemovalGrace]; 0 means not at all. A negative time fails the calls of the
// ClientConn.
func RemovalGrace(d time.Duration) Option { return func(b *builder) { b.grace = d } }

// OnError sets a function that is called with each error of a resolver: a watch that was
// lost, an entry that is dropped, a set that the balancing policy cannot use. Resolvers
// of several ClientConns call it at a time; it holds the resolver up, and must not close
// the ClientConn, which waits for the resolver.
func OnError(f func(err error)) Option { return func(b *builder) { b.onError = f } }

type builder struct {
	open    func(target url.URL) (discovery.Watcher, error)
	grace   time.Duration
	onError func(error)
	seed    maphash.Seed
	err     error // of the options
}

func newBuilder(open func(url.URL) (discovery.Watcher, error), opts []Option) *builder {
	b := &builder{open: open, grace: DefaultRemovalGrace, seed: maphash.MakeSeed()}
	for _, o := range opts {
		if o == nil {
			b.err = errors.New("grpcresolver: an option is nil")
			continue
		}
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
	if err := b.validate(w); err != nil {
		return nil, err
	}
	return follow(w, &translator{cc: cc, name: name(t.URL), onError: b.onError, seed: b.seed}, b.grace), nil
}

func (b *builder) validate(w discovery.Watcher) error {
	errs := []error{b.err}
	if b.grace < 0 {
		errs = append(errs, fmt.Errorf("grpcresolver: RemovalGrace(%v): must not be negative", b.grace))
	}
	if w == nil {
		errs = append(errs, errors.New("grpcresolver: the watcher is nil"))
	} else if v, ok := w.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	return errors.Join(errs...)
}

// name returns the name of the servers: the last part of the target's path.
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
