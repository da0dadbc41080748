package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
	"github.com/minicaptain/multi_connection_pool/integration/internal/cluster"
)

// registry is what the tests have to know of one kind of registry. All else
// goes through URLs.
type registry struct {
	name    string // as people write it
	service string // as the cluster calls it
	scheme  string
	alone   string // the only server of a registry that has one
	// watch and register are the services that a watcher and a registrar talk
	// to, and params what their URLs say: sessions and leases are short.
	watch, register []string // no service to register at: the test writes the entries
	params          string
	raw             raw
	// address makes a URL, in the place of url, if it is set.
	address func(userinfo string, hosts []string, path, params string) string
}

// raw accesses a registry without this project's packages. Each call makes a new
// connection, because tests break connections.
type raw interface {
	// put adds entries at path, and creates the path if it does not exist.
	put(ctx context.Context, path string, eps ...core.Endpoint) error
	// remove removes the entry of an address.
	remove(ctx context.Context, path, addr string) error
	// removeRegistered removes the entry that a registrar has made for an address.
	removeRegistered(ctx context.Context, path, addr string) error
	// replace removes the entry of an address and adds it again, in a row.
	replace(ctx context.Context, path, addr string) error
	// removeAll removes the path with all entries.
	removeAll(ctx context.Context, path string) error
	// exists reports whether the path exists in the registry.
	exists(ctx context.Context, path string) (bool, error)
	// putMalformed adds entries that are not endpoints.
	putMalformed(ctx context.Context, path string) error
	// follow calls seen whenever the registry's own client has learned of a
	// change at path, until ctx ends. It closes ready when it watches.
	follow(ctx context.Context, path string, ready chan<- struct{}, seen func()) error
	// restrict makes the path readable with one user or token alone.
	restrict(ctx context.Context, path string) (restricted, error)
}

// restricted is a path that one user or token may read. A watcher's URL has
// userinfo before the hosts, and params. revoke revokes the permission, grant
// grants it again, and done removes the restriction.
type restricted struct {
	userinfo, params    string
	revoke, grant, done func(context.Context) error
}

// registries are those that the cluster has.
func registries(c *cluster.Cluster) []*registry {
	all := []*registry{
		{
			name: "ZooKeeper", service: "zookeeper", scheme: "zk",
			watch: c.Services("zookeeper"), register: c.Services("zookeeper"),
			params: "session_timeout=2s",
			raw:    rawZooKeeper{c.Addrs("zookeeper")},
		},
		{
			name: "etcd", service: "etcd", scheme: "etcd",
			watch: c.Services("etcd"), register: c.Services("etcd"),
			params: "timeout=1s&ttl=2s",
			raw:    rawEtcd{c.Addrs("etcd")},
		},
		consulOf(c, "Consul 1.20", "consul"),
		consulOf(c, "Consul 1.8", "consul-old"),
	}
	all = slices.DeleteFunc(all, func(r *registry) bool { return !c.Has(r.service) })
	if k := c.Kubernetes(); k != nil {
		all = append(all, &registry{
			name: "Kubernetes", service: "kubernetes", scheme: "k8s", alone: "kubernetes",
			watch: c.Services("kubernetes"), address: kubernetesURL(k), raw: rawKubernetes{k},
		})
	}
	return all
}

// consulOf returns one of the two versions of Consul, which has a server and a
// client agent.
func consulOf(c *cluster.Cluster, name, service string) *registry {
	server, agent := service+"-server", service+"-agent"
	return &registry{
		name: name, service: service, scheme: "consul", alone: server,
		// A watcher asks the agent, and the server if that fails.
		watch: []string{agent, server}, register: []string{agent},
		params: "timeout=1s&ttl=2s",
		raw:    rawConsul{c.Addr(server), c.Token()},
	}
}

// theCluster returns the registries that there are, or skips the test for want of any.
// With REQUIRE_REGISTRIES=1 all must be there.
func theCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.FromEnv()
	k, err2 := theKubernetes()
	if err != nil && err2 != nil || os.Getenv("REQUIRE_REGISTRIES") == "1" && errors.Join(err, err2) != nil {
		if os.Getenv("REQUIRE_REGISTRIES") == "1" {
			t.Fatal(errors.Join(err, err2))
		}
		t.Skipf("no registries to test with: %v", errors.Join(err, err2))
	}
	switch {
	case err != nil:
		return cluster.Of(k)
	case err2 != nil:
		t.Logf("without Kubernetes: %v", err2)
		return c
	default:
		return c.With(k)
	}
}

// theKubernetes starts the API server that all tests use, and TestMain ends.
var theKubernetes = sync.OnceValues(func() (*cluster.Kubernetes, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	k, err := cluster.StartKubernetes(ctx)
	if err == nil {
		err = rawKubernetes{k}.begin(ctx)
	}
	if err == nil {
		endKubernetes = k.Close
	}
	return k, err
})

var endKubernetes = func() {}

var mux = func() *discovery.Mux {
	var m discovery.Mux
	m.Handle("zk", zk.Opener)
	m.Handle("etcd", etcd.Opener)
	m.Handle("consul", consul.Opener)
	m.Handle("k8s", openLoopback)
	return &m
}()

func (r *registry) url(userinfo string, hosts []string, path, params string) string {
	if r.address != nil {
		return r.address(userinfo, hosts, path, params)
	}
	if params != "" {
		params = "&" + params
	}
	return fmt.Sprintf("%s://%s%s%s?%s%s", r.scheme, userinfo, strings.Join(hosts, ","), path, r.params, params)
}

var paths atomic.Int64

// newPath returns a path that nothing else uses.
func newPath() string { return fmt.Sprintf("/multipool-integration-%d-%d", os.Getpid(), paths.Add(1)) }

// eventually waits until f returns nil, and returns how long that took.
func eventually(t *testing.T, what string, limit time.Duration, f func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		took := time.Since(begin)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// pause lets time pass, where that is the fault: an outage has a length.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// try runs f, which breaks or repairs something.
func try(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatal(err)
	}
}

// insist runs f until it succeeds: the registry is without a leader now and
// then.
func insist(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	eventually(t, what, 30*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return f(ctx)
	})
}

var errNotYet = errors.New("not yet")
