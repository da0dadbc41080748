package consul_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// server returns the Consul server that the tests are to use. A token, where it
// needs one, is in CONSUL_HTTP_TOKEN.
func server(t *testing.T) string { return address(t, "CONSUL_HTTP_ADDR", "a server of Consul") }

// agent returns the client agent that the tests are to use.
func agent(t *testing.T) string { return address(t, "CONSUL_AGENT_ADDR", "a client agent of Consul") }

func address(t *testing.T, variable, what string) string {
	t.Helper()
	addr := os.Getenv(variable)
	switch {
	case addr != "":
	case os.Getenv("REQUIRE_REGISTRIES") == "1":
		t.Fatalf("%s, %s as host:port, is not set", variable, what)
	default:
		t.Skipf("%s, %s as host:port, is not set", variable, what)
	}
	return addr
}

// raw returns Consul's own client, the tests' way past the plugin.
func raw(t *testing.T, addr string) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address = addr
	c, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(config.Transport.CloseIdleConnections)
	return c
}

// places counts the services in use.
var places atomic.Int64

// newService returns the name of a service that nothing else uses.
func newService() string { return fmt.Sprintf("multipool-test-%d-%d", os.Getpid(), places.Add(1)) }

// place is a service in the catalog, whose instances are on a node of their
// own, and which is watched through a proxy.
type place struct {
	db      *api.Client
	proxy   *discoverytest.Proxy
	service string
	node    string
	has     map[string]api.AgentService
	beside  *place // if there is another one

	// policy and token are what the watchers have, where there is access
	// control.
	policy *api.ACLPolicy
	token  *api.ACLToken
}

func newPlace(db *api.Client, server string) (*place, error) {
	proxy, err := discoverytest.NewProxy(server)
	if err != nil {
		return nil, err
	}
	name := newService()
	p := &place{db: db, proxy: proxy, service: name, node: name, has: map[string]api.AgentService{}}
	return p, errors.Join(p.addNode(), p.addToken())
}

func (p *place) addNode() error {
	_, err := p.db.Catalog().Register(&api.CatalogRegistration{Node: p.node, Address: "192.0.2.1"}, nil)
	return err
}

func (p *place) addToken() error {
	if _, _, err := p.db.ACL().TokenReadSelf(nil); err != nil {
		return nil //nolint:nilerr // there is no access control
	}
	var err error
	p.policy, _, err = p.db.ACL().PolicyCreate(&api.ACLPolicy{
		Name: p.service, Rules: `node_prefix "" { policy = "read" } service "` + p.service + `" { policy = "read" }`,
	}, nil)
	if err == nil {
		p.token, _, err = p.db.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: p.policy.ID}}}, nil)
	}
	return err
}

func (p *place) Watcher() (core.Watcher, error) {
	var opts []consul.Option
	if p.token != nil {
		opts = append(opts, consul.Token(discovery.NewSecret(p.token.SecretID)))
	}
	return consul.Watcher(p.proxy.Addr(), p.service, opts...), nil
}

func (p *place) Put(ctx context.Context, eps []core.Endpoint) error {
	want := make(map[string]api.AgentService, len(eps))
	for _, e := range eps {
		s, err := format.NewConsulService(p.service, e)
		if err != nil {
			return err
		}
		want[s.ID] = api.AgentService{
			ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Tags: s.Tags, Meta: s.Meta,
			Weights: api.AgentWeights{Passing: s.Weights.Passing, Warning: s.Weights.Warning},
		}
	}
	if len(p.has) == 0 && len(want) > 0 { // it may have been removed
		if err := p.addNode(); err != nil {
			return err
		}
	}
	var ops api.TxnOps
	add := func(verb api.ServiceOp, s api.AgentService) {
		ops = append(ops, &api.TxnOp{Service: &api.ServiceTxnOp{Verb: verb, Node: p.node, Service: s}})
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if had, ok := p.has[id]; !ok || !equal(had, want[id]) {
			add(api.ServiceSet, want[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.has)) {
		if _, ok := want[id]; !ok {
			add(api.ServiceDelete, p.has[id])
		}
	}
	p.has = want
	for some := range slices.Chunk(ops, 64) { // Consul's limit
		ok, answer, _, err := p.db.Txn().Txn(some, (&api.QueryOptions{}).WithContext(ctx))
		if err == nil && !ok {
			err = fmt.Errorf("the transaction failed: %v", answer.Errors[0])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func equal(a, b api.AgentService) bool {
	return a.Weights == b.Weights && slices.Equal(a.Tags, b.Tags) && maps.Equal(a.Meta, b.Meta)
}

func (p *place) Close() error {
	errs := []error{p.Remove(context.Background()), p.proxy.Close()}
	if p.beside != nil {
		errs = append(errs, p.beside.Remove(context.Background()))
	}
	if p.token != nil {
		_, err := p.db.ACL().TokenDelete(p.token.AccessorID, nil)
		_, err2 := p.db.ACL().PolicyDelete(p.policy.ID, nil)
		errs = append(errs, err, err2)
	}
	return errors.Join(errs...)
}

func (p *place) Remove(ctx context.Context) error {
	p.has = map[string]api.AgentService{}
	_, err := p.db.Catalog().Deregister(&api.CatalogDeregistration{Node: p.node}, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

func (p *place) Spoil(ctx context.Context) error {
	for i, s := range []api.AgentService{{Address: "10.9.9.9"}, {Address: "no where", Port: 80}, {Address: "10.9.9.9", Port: 70000}} {
		s.ID, s.Service = fmt.Sprint("spoilt", i), p.service
		s.Weights.Passing = 1
		_, err := p.db.Catalog().Register(&api.CatalogRegistration{Node: p.node, Address: "192.0.2.1", Service: &s}, (&api.WriteOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *place) PutBeside(ctx context.Context, eps []core.Endpoint) error {
	if p.beside == nil {
		p.beside = &place{db: p.db, service: p.service + "-2", node: p.node + "-2", has: map[string]api.AgentService{}}
		if err := p.beside.addNode(); err != nil {
			return err
		}
	}
	return p.beside.Put(ctx, eps)
}

// Revoke leaves the token in place, with a permission for less. Consul 1.8
// then leaves entries out of its answers without a word.
func (p *place) Revoke(ctx context.Context) (restore func() error, err error) {
	if p.policy == nil {
		return nil, fmt.Errorf("this Consul has no access control (%w)", errors.ErrUnsupported)
	}
	rules := p.policy.Rules
	set := func(rules string) error {
		changed := *p.policy
		changed.Rules = rules
		_, _, err := p.db.ACL().PolicyUpdate(&changed, nil)
		return err
	}
	return func() error { return set(rules) }, set(`node_prefix "" { policy = "read" }`)
}

func (p *place) Proxies() []*discoverytest.Proxy { return []*discoverytest.Proxy{p.proxy} }

func TestWatcherConforms(t *testing.T) {
	addr := server(t)
	db := raw(t, addr)
	discoverytest.Run(t, discoverytest.Harness{
		NewPlace: func(context.Context) (discoverytest.Place, error) { return newPlace(db, addr) },
	})
}

// registrarPlace is a place for registrars, at an agent.
type registrarPlace struct{ *place }

func (p registrarPlace) Registrar() (discovery.Registrar, error) {
	return consul.Registrar(p.proxy.Addr(), p.service, consul.TTL(registrarTTL)), nil
}

func (p registrarPlace) Entries(ctx context.Context) (eps []core.Endpoint, err error) {
	var entries []json.RawMessage
	if _, err := p.db.Raw().Query("/v1/health/service/"+p.service, &entries, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		some, err := format.Consul().Decode("", entry)
		if err != nil {
			return nil, err
		}
		eps = append(eps, some...)
	}
	return eps, nil
}

func (p registrarPlace) Delete(_ context.Context, addr string) error {
	return p.db.Agent().ServiceDeregister(p.service + "-" + addr)
}

// Expire makes the checks say what they say by themselves after the TTL.
func (p registrarPlace) Expire(ctx context.Context) error {
	eps, err := p.Entries(ctx)
	for _, e := range eps {
		err = errors.Join(err, p.db.Agent().FailTTL("service:"+p.service+"-"+e.Addr, ""))
	}
	return err
}

// registrarTTL is short, for the cases that wait for it.
const registrarTTL = 2 * time.Second

func TestRegistrarConforms(t *testing.T) {
	addr := agent(t)
	db := raw(t, addr)
	discoverytest.RunRegistrar(t, discoverytest.RegistrarHarness{
		NewPlace: func(context.Context) (discoverytest.RegistrarPlace, error) {
			p, err := newPlace(db, addr)
			return registrarPlace{p}, err
		},
		TTL: registrarTTL,
	})
}
