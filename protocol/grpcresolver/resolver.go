package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/core"
)

// follow watches w for l until the resolver is closed.
//
// It does so by a pool from which nothing is ever leased: a pool is what runs a watch
// in core, and its balancer is told of each set that differs from the one before. There
// is no connection in it, and no dial.
func follow(w core.Watcher, l *listener, grace time.Duration) (resolver.Resolver, error) {
	nothing := core.DialFunc[io.Closer](func(context.Context, core.Endpoint) (io.Closer, error) {
		return nil, errors.New("grpcresolver: a pool without calls dials nothing")
	})
	pool, err := core.New(w, nothing, core.WithBalancer(l), core.WithObserver(l), core.ShrinkGrace(grace))
	if err != nil {
		return nil, err
	}
	return &watching{pool}, nil
}

// watching is the resolver of one ClientConn.
type watching struct{ pool *core.Pool[io.Closer] }

// ResolveNow implements resolver.Resolver. There is nothing to do: the registry tells
// of each change.
func (r *watching) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver. It returns when the watch has ended.
func (r *watching) Close() { _ = r.pool.Close(context.Background()) } // fails only when the context ends

// listener passes on to gRPC what a pool hears of its set.
type listener struct {
	cc       resolver.ClientConn
	name     string
	observer core.Observer
}

// Build implements core.Balancer: it is called with each set that differs from the one
// before.
func (l *listener) Build(_ core.Picker, set core.Snapshot) core.Picker {
	var s resolver.State
	for _, m := range set.Members {
		addr := resolver.Address{Addr: m.Endpoint.Addr}
		attrs := attributesOf(m.Endpoint)
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{addr}, Attributes: attrs})
		// For policies that do not know of endpoints yet. In Attributes, a change would
		// cost the connection.
		addr.BalancerAttributes = attrs //nolint:staticcheck // deprecated for those that do
		s.Addresses = append(s.Addresses, addr)
	}
	// The error says that the policy cannot use the set. It can use the next, perhaps;
	// there is no point in sending it the same one again.
	_ = l.cc.UpdateState(s)
	return nobody{}
}

// Observe implements core.Observer.
func (l *listener) Observe(ev core.Event) {
	if ev.Kind == core.WatchLost {
		l.cc.ReportError(fmt.Errorf("grpcresolver: watching the servers of %s: %w", l.name, ev.Err))
	}
	if l.observer != nil {
		l.observer.Observe(ev)
	}
}

// nobody is the picker of a pool from which nothing is leased.
type nobody struct{}

func (nobody) Pick(core.Hint) int      { return 0 }
func (nobody) Report(int, core.Report) {}
