package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/integration/internal/cluster"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

// rig is a pool of registered servers under load, in front of a registry that
// the test can break.
type rig struct {
	*registry
	t       *testing.T
	cluster *cluster.Cluster
	path    string
	proxies map[string]*discoverytest.Proxy // of the pool's watcher, by service
	events  *events
	pool    *core.Pool[*thriftpool.Conn]
	fleet   []*server
	load    *load
}

// newRig returns a rig with a path and proxies, and nothing yet in the
// registry.
func newRig(t *testing.T, reg *registry) *rig {
	t.Helper()
	r := &rig{
		registry: reg, t: t, cluster: theCluster(t), path: newPath(),
		proxies: make(map[string]*discoverytest.Proxy), events: &events{},
	}
	t.Cleanup(func() { r.restore() })
	for _, s := range reg.watch {
		p, err := discoverytest.NewProxy(r.cluster.Addr(s))
		if err != nil {
			t.Fatal(err)
		}
		r.proxies[s] = p
		t.Cleanup(func() { _ = p.Close() })
	}
	return r
}

// newFleetRig returns a rig with four servers that are registered and called.
func newFleetRig(t *testing.T, reg *registry, opts ...core.Option) *rig {
	t.Helper()
	r := newRig(t, reg)
	r.startFleet(4)
	r.watch(r.watcherURL("", ""), opts...)
	r.awaitPool("the fleet in the pool", 5*time.Second, addrs(r.fleet)...)
	r.call()
	return r
}

// newRawRig returns a rig with four servers that the test has put into the
// registry, where nobody keeps them registered.
func newRawRig(t *testing.T, reg *registry, opts ...core.Option) *rig {
	t.Helper()
	r := newRig(t, reg)
	r.fleet = startFleet(t, 4, "")
	try(t, func(ctx context.Context) error { return reg.raw.put(ctx, r.path, endpoints(addrs(r.fleet)...)...) })
	r.watch(r.watcherURL("", ""), opts...)
	r.awaitPool("the servers in the pool", 5*time.Second, addrs(r.fleet)...)
	r.call()
	return r
}

// startFleet starts n servers that are registered.
func (r *rig) startFleet(n int) {
	r.t.Helper()
	for range n {
		s := startServer(r.t)
		r.fleet = append(r.fleet, s)
		if len(r.register) > 0 {
			s.registerAt(r.t, r.registrarURL())
		}
	}
	r.list(r.fleet...)
	awaitRegistered(r.t, r.fleet, 15*time.Second)
}

// join registers a server.
func (r *rig) join(s *server) {
	r.t.Helper()
	if len(r.register) > 0 {
		s.registerAt(r.t, r.registrarURL())
	}
	r.list(s)
}

// list writes the entries of servers that cannot do so themselves.
func (r *rig) list(servers ...*server) {
	r.t.Helper()
	if len(r.register) == 0 {
		insist(r.t, "entries", func(ctx context.Context) error { return r.raw.put(ctx, r.path, endpoints(addrs(servers)...)...) })
	}
}

func (r *rig) registrarURL() string {
	var hosts []string
	for _, s := range r.register {
		hosts = append(hosts, r.cluster.Addr(s))
	}
	return r.url("", hosts, r.path, "")
}

func (r *rig) watcherURL(userinfo, params string) string {
	var hosts []string
	for _, s := range r.registry.watch {
		hosts = append(hosts, r.proxies[s].Addr())
	}
	return r.url(userinfo, hosts, r.path, params)
}

// watch makes the pool.
func (r *rig) watch(url string, opts ...core.Option) {
	r.t.Helper()
	r.watchWith(open(r.t, url), opts...)
}

func open(t *testing.T, url string) core.Watcher {
	t.Helper()
	w, err := mux.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (r *rig) watchWith(w core.Watcher, opts ...core.Option) {
	r.t.Helper()
	var err error
	opts = append([]core.Option{core.WithObserver(r.events.Observe)}, opts...)
	r.pool, err = core.New(w, thriftpool.Dial(thriftpool.Config{}), opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.closePool)
}

// closePool checks that Close keeps its promise, in whatever state the registry is.
func (r *rig) closePool() {
	if r.load != nil {
		r.load.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	begin := time.Now()
	err := r.pool.Close(ctx)
	if took := time.Since(begin); err != nil || took > 1500*time.Millisecond {
		r.t.Errorf("Close took %v, error %v", took, err)
	}
}

func (r *rig) call() { r.load = call(r.pool) }

// unharmed fails the test if a call has failed, an endpoint has left the pool,
// or one of the servers was never called.
func (r *rig) unharmed(servers ...string) {
	r.t.Helper()
	if removed := r.events.of(core.EventEndpointRemoved); len(removed) > 0 {
		r.t.Errorf("%d endpoints left the pool, the first %s", len(removed), removed[0].Endpoint)
	}
	r.load.check(r.t, servers...)
}

// restore makes sure that the next test finds the registry whole. Each of its
// steps does nothing if there is nothing to repair.
func (r *rig) restore() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if r.cluster.Check(ctx, r.service) != nil {
		services := r.cluster.Services(r.service)
		for _, s := range services {
			_ = r.cluster.Unpause(ctx, s)
			_ = r.cluster.Start(ctx, s)
		}
		if err := r.cluster.Await(ctx, r.service); err != nil {
			r.t.Error(err)
		}
	}
	if err := r.raw.removeAll(ctx, r.path); err != nil {
		r.t.Logf("removing %s: %v", r.path, err)
	}
}

// awaitCluster waits until the registry is whole again.
func (r *rig) awaitCluster() time.Duration {
	r.t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.cluster.Await(ctx, r.service); err != nil {
		r.t.Fatal(err)
	}
	return time.Since(begin)
}

// awaitPool waits until the pool has exactly these endpoints and a live watch.
func (r *rig) awaitPool(what string, limit time.Duration, want ...string) time.Duration {
	r.t.Helper()
	slices.Sort(want)
	return eventually(r.t, what, limit, func() error {
		st := r.pool.Stats()
		got := poolAddrs(st)
		if st.State == core.StateStale || !slices.Equal(got, want) {
			return fmt.Errorf("the pool is %v with %q, last watch %w, want %q", st.State, got, errors.Join(st.LastWatch, errNotYet), want)
		}
		return nil
	})
}

// awaitState waits until the pool knows that.
func (r *rig) awaitState(want core.State, limit time.Duration) time.Duration {
	r.t.Helper()
	return eventually(r.t, "the state "+string(want), limit, func() error {
		if got := r.pool.Stats().State; got != want {
			return fmt.Errorf("it is %v (%w)", got, errNotYet)
		}
		return nil
	})
}

func poolAddrs(st core.Stats) []string {
	var got []string
	for _, e := range st.Endpoints {
		got = append(got, e.Endpoint.Addr)
	}
	slices.Sort(got)
	return got
}

// link disturbs or repairs the pool's own connections to the registry.
func (r *rig) link(f func(*discoverytest.Proxy) error) {
	r.t.Helper()
	for _, p := range r.proxies {
		if err := f(p); err != nil {
			r.t.Fatal(err)
		}
	}
}

func cutLink(p *discoverytest.Proxy) error { p.Cut(); return nil }

// events keeps what the pool tells.
type events struct {
	added atomic.Int64 // endpoints
	mu    sync.Mutex
	all   []core.Event
}

// Observe is of core.Observer.
func (e *events) Observe(ev core.Event) {
	if ev.Kind == core.EventEndpointAdded {
		e.added.Add(1)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(kind core.EventKind) []core.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var some []core.Event
	for _, ev := range e.all {
		if ev.Kind == kind {
			some = append(some, ev)
		}
	}
	return some
}
