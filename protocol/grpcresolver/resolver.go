package grpcresolver

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// following is the resolver of one ClientConn.
type following struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when the watch has ended
}

// follow watches w for cc until the resolver is closed.
func follow(w discovery.Watcher, t *translator, grace time.Duration) *following {
	ctx, cancel := context.WithCancel(context.Background())
	r := &following{cancel, make(chan struct{})}
	go func() { // Close ends it and waits for it
		defer close(r.ended)
		discovery.Follow(ctx, w, discovery.Follower{
			RemovalGrace: grace,
			MaxEndpoints: discovery.DefaultMaxEndpoints,
			Changed:      t.changed,
			Rejected:     t.rejected,
			Warned:       t.warned,
			Lost:         t.lost,
		})
	}()
	return r
}

// ResolveNow implements resolver.Resolver. There is nothing to do: the registry reports
// each change.
func (r *following) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver. It returns when the watch has ended.
func (r *following) Close() {
	r.cancel()
	<-r.ended
}

// translator passes on to a ClientConn what a watch reports. Its methods are called one
// at a time.
type translator struct {
	cc      resolver.ClientConn
	name    string
	onError func(error) // nil for nobody
	// seed makes an order of the servers that is another one for each builder: clients
	// whose policy goes by it, such as pick_first, do not all choose the same server.
	seed maphash.Seed
	sent bool // cc has a set
}

func (t *translator) changed(c discovery.Change) {
	if t.sent && len(c.Added)+len(c.Updated)+len(c.Removed) == 0 {
		return // the watch was begun again, and reported what cc has
	}
	t.sent = true
	// An error says that the policy cannot use the set. It can use the next, perhaps;
	// there is no point in sending it the same one again.
	if err := t.cc.UpdateState(t.state(c.Set)); err != nil {
		t.fail(fmt.Errorf("grpcresolver: the balancing policy cannot use the %d servers of %s: %w", len(c.Set), t.name, err))
	}
}

func (t *translator) state(set []discovery.Endpoint) resolver.State {
	type ranked struct {
		discovery.Endpoint

		rank uint64
	}
	all := make([]ranked, len(set))
	for i, e := range set {
		all[i] = ranked{e, maphash.String(t.seed, e.Addr)}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Addr, b.Addr))
	})
	var s resolver.State
	weight := weights(set)
	for _, e := range all {
		addr := resolver.Address{Addr: e.Addr}
		re := resolver.Endpoint{Addresses: []resolver.Address{addr}, Attributes: attributesOf(e.Endpoint)}
		re = place(re, e.Endpoint, weight(e.Endpoint))
		s.Endpoints = append(s.Endpoints, re)
		// For policies that do not know of endpoints yet. In Attributes, a change would
		// cost the connection.
		addr.BalancerAttributes = re.Attributes //nolint:staticcheck // deprecated for those that do
		s.Addresses = append(s.Addresses, addr)
	}
	return s
}

func (t *translator) rejected(_ discovery.Endpoint, err error) {
	t.fail(fmt.Errorf("grpcresolver: an entry of %s is dropped: %w", t.name, err))
}

func (t *translator) warned(err error) {
	if err != nil {
		t.fail(fmt.Errorf("grpcresolver: the servers of %s: %w", t.name, err))
	}
}

func (t *translator) lost(err error, pause time.Duration) {
	err = fmt.Errorf("grpcresolver: watching the servers of %s, trying again in %v: %w", t.name, pause.Round(time.Millisecond), err)
	t.cc.ReportError(err)
	t.fail(err)
}

func (t *translator) fail(err error) {
	if t.onError != nil {
		t.onError(err)
	}
}
