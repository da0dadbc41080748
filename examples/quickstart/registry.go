package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool"
)

// ttl is how long a registry keeps a server that was killed: short, for it to
// be seen.
const ttl = 2 * time.Second

// registry is where the servers make themselves known, and the pool finds
// them. The zero registry is none: the pool is given a list.
type registry struct {
	url  string
	stop func()
}

// startRegistry returns the registry that name means: "etcd" is one that runs
// in this process, "zk" and "consul" are those that the tests use, and
// anything else is a URL.
func startRegistry(name string) (registry, error) {
	r := registry{url: name, stop: func() {}}
	if r.none() {
		return r, nil
	}
	if !hasRegistries {
		return r, fmt.Errorf("registries were not built into this program; make run REGISTRY=%s does that", name)
	}
	var err error
	switch name {
	case "etcd":
		r.url, r.stop, err = startEtcd()
	case "zk":
		r.url, err = registryAt("ZOOKEEPER_SERVERS", "zk://%s/multipool/"+ownName()+"?session_timeout=%v")
	case "consul":
		r.url, err = registryAt("CONSUL_AGENT_ADDR", "consul://%s/multipool-"+ownName()+"?ttl=%v")
	}
	if err != nil {
		return r, err
	}
	// Mistakes are told here, not by each server.
	if _, err := r.registrar(); err != nil {
		r.stop()
		return r, err
	}
	return r, nil
}

// ownName is the name of this run's servers: another run at the same time must not find
// them.
func ownName() string { return fmt.Sprint("quickstart-", os.Getpid()) }

// registryAt makes a URL with the servers that an environment variable names.
func registryAt(variable, url string) (string, error) {
	servers := os.Getenv(variable)
	if servers == "" {
		return "", fmt.Errorf("%s does not say where the registry is; make registries-up starts one", variable)
	}
	return fmt.Sprintf(url, servers, ttl), nil
}

func (r registry) none() bool { return r.url == "" }

// watcher returns what tells the pool where the servers are.
func (r registry) watcher(addrs []string) (core.Watcher, error) {
	if r.none() {
		return static.Watcher(addrs...), nil
	}
	m := mux()
	return m.Open(r.url)
}

// registrar returns what makes a server known.
func (r registry) registrar() (discovery.Registrar, error) {
	m := mux()
	return m.OpenRegistrar(r.url)
}

// register makes the server at addr known until leave is called.
func (r registry) register(addr string) (leave func(), err error) {
	if r.none() {
		return func() {}, nil
	}
	registrar, err := r.registrar()
	if err != nil {
		return nil, err
	}
	registration, err := discovery.Register(registrar, core.Endpoint{Addr: addr})
	if err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*discovery.DeregisterTimeout)
		defer cancel()
		_ = registration.Close(ctx) // else the registry drops it by itself
	}, nil
}

// awaitAll waits until the pool knows the servers at addrs and no other.
func awaitAll(ctx context.Context, pool *core.Pool[*thriftpool.Conn], addrs []string) error {
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := pool.WaitReady(ctx); err != nil {
		return err
	}
	want := slices.Sorted(slices.Values(addrs))
	for {
		stats := pool.Stats()
		var known []string
		for _, e := range stats.Endpoints {
			known = append(known, e.Endpoint.Addr)
		}
		slices.Sort(known)
		if slices.Equal(known, want) {
			return nil
		}
		if !sleep(ctx, 10*time.Millisecond) {
			err := fmt.Errorf("the pool knows the servers %q, not %q (%w)", known, want, ctx.Err())
			if others(known, want) {
				err = fmt.Errorf("%w; other servers use this name in the registry: give this run one of its own", err)
			}
			return err
		}
	}
}

// others reports whether known has servers that are not wanted.
func others(known, want []string) bool {
	return slices.ContainsFunc(known, func(s string) bool { return !slices.Contains(want, s) })
}
