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

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// server returns the Consul server that the tests use. If the server needs a
// token, the token is in CONSUL_HTTP_TOKEN.
func server(t *testing.T) string { return address(t, "CONSUL_HTTP_ADDR", "a server of Consul") }

// agent returns the client agent that the tests use.
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

// raw returns Consul's own client, with which tests bypass the package.
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

// services counts the services in use.
var services atomic.Int64

// newService returns the name of a service that nothing else uses.
func newService() string { return fmt.Sprintf("multipool-test-%d-%d", os.Getpid(), services.Add(1)) }

// catalogService is a service in the catalog, behind a proxy of its own. A node
// of its own has the instances.
type catalogService struct {
	db      *api.Client
	proxy   *discoverytest.Proxy
	service string
	node    string
	has     map[string]api.AgentService
	sibling *catalogService // another service, if putSibling has used it

	// policy and token are those of the watchers, if Consul has access control.
	policy *api.ACLPolicy
	token  *api.ACLToken
}

func newCatalogService(tb testing.TB, db *api.Client, server string) *catalogService {
	tb.Helper()
	proxy, err := discoverytest.NewProxy(server)
	if err != nil {
		tb.Fatal(err)
	}
	name := newService()
	s := &catalogService{db: db, proxy: proxy, service: name, node: name, has: map[string]api.AgentService{}}
	if err := errors.Join(s.addNode(), s.addToken()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestWatcherConforms(t *testing.T) {
	addr := server(t)
	db := raw(t, addr)
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		s := newCatalogService(t, db, addr)
		return discoverytest.Fixture{
			Watcher:      s.watcher,
			Put:          s.put,
			Close:        s.close,
			Proxies:      []*discoverytest.Proxy{s.proxy},
			Remove:       s.remove,
			RevokeAccess: s.revokeAccess,
			PutMalformed: s.putMalformed,
			PutSibling:   s.putSibling,
		}
	})
}

// registrarTTL is short, for the cases that wait for it.
const registrarTTL = 2 * time.Second

func TestRegistrarConforms(t *testing.T) {
	addr := agent(t)
	db := raw(t, addr)
	discoverytest.RunRegistrar(t, func(t *testing.T) discoverytest.Fixture {
		s := newCatalogService(t, db, addr)
		return discoverytest.Fixture{
			Registrar:      s.registrar,
			Entries:        s.entries,
			Close:          s.close,
			Proxies:        []*discoverytest.Proxy{s.proxy},
			ExpireSessions: s.failChecks,
			DeleteEntry:    s.deleteEntry,
			Rival: func() (discovery.Registrar, error) {
				return consul.Registrar([]string{addr}, s.service, consul.TTL(registrarTTL)), nil
			},
			TTL:        registrarTTL,
			LostWithin: registrarTTL,
		}
	})
}

func (s *catalogService) addNode() error {
	_, err := s.db.Catalog().Register(&api.CatalogRegistration{Node: s.node, Address: "192.0.2.1"}, nil)
	return err
}

func (s *catalogService) addToken() error {
	if _, _, err := s.db.ACL().TokenReadSelf(nil); err != nil {
		return nil //nolint:nilerr // Consul has no access control
	}
	var err error
	s.policy, _, err = s.db.ACL().PolicyCreate(&api.ACLPolicy{
		Name: s.service, Rules: `node_prefix "" { policy = "read" } service "` + s.service + `" { policy = "read" }`,
	}, nil)
	if err == nil {
		s.token, _, err = s.db.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: s.policy.ID}}}, nil)
	}
	return err
}

func (s *catalogService) watcher() (discovery.Watcher, error) {
	var opts []consul.Option
	if s.token != nil {
		opts = append(opts, consul.WithCredentials(discovery.NewSecret(s.token.SecretID)))
	}
	return consul.Watcher([]string{s.proxy.Addr()}, s.service, opts...), nil
}

func (s *catalogService) put(ctx context.Context, eps []discovery.Endpoint) error {
	want := make(map[string]api.AgentService, len(eps))
	for _, e := range eps {
		i, err := format.NewConsulService(s.service, e)
		if err != nil {
			return err
		}
		want[i.ID] = api.AgentService{
			ID: i.ID, Service: i.Name, Address: i.Address, Port: i.Port, Tags: i.Tags, Meta: i.Meta,
			Weights: api.AgentWeights{Passing: i.Weights.Passing, Warning: i.Weights.Warning},
		}
	}
	if len(s.has) == 0 && len(want) > 0 { // the node may have been removed
		if err := s.addNode(); err != nil {
			return err
		}
	}
	var ops api.TxnOps
	add := func(verb api.ServiceOp, instance api.AgentService) {
		ops = append(ops, &api.TxnOp{Service: &api.ServiceTxnOp{Verb: verb, Node: s.node, Service: instance}})
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if had, ok := s.has[id]; !ok || !equal(had, want[id]) {
			add(api.ServiceSet, want[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.has)) {
		if _, ok := want[id]; !ok {
			add(api.ServiceDelete, s.has[id])
		}
	}
	s.has = want
	for some := range slices.Chunk(ops, 64) { // Consul's limit
		ok, answer, _, err := s.db.Txn().Txn(some, (&api.QueryOptions{}).WithContext(ctx))
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

func (s *catalogService) close() error {
	errs := []error{s.remove(context.Background()), s.proxy.Close()}
	if s.sibling != nil {
		errs = append(errs, s.sibling.remove(context.Background()))
	}
	if s.token != nil {
		_, err := s.db.ACL().TokenDelete(s.token.AccessorID, nil)
		_, err2 := s.db.ACL().PolicyDelete(s.policy.ID, nil)
		errs = append(errs, err, err2)
	}
	return errors.Join(errs...)
}

func (s *catalogService) remove(ctx context.Context) error {
	s.has = map[string]api.AgentService{}
	_, err := s.db.Catalog().Deregister(&api.CatalogDeregistration{Node: s.node}, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

func (s *catalogService) putMalformed(ctx context.Context) error {
	for i, instance := range []api.AgentService{{Address: "10.9.9.9"}, {Address: "no where", Port: 80}, {Address: "10.9.9.9", Port: 70000}} {
		instance.ID, instance.Service = fmt.Sprint("malformed", i), s.service
		instance.Weights.Passing = 1
		_, err := s.db.Catalog().Register(&api.CatalogRegistration{Node: s.node, Address: "192.0.2.1", Service: &instance}, (&api.WriteOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *catalogService) putSibling(ctx context.Context, eps []discovery.Endpoint) error {
	if s.sibling == nil {
		s.sibling = &catalogService{db: s.db, service: s.service + "-2", node: s.node + "-2", has: map[string]api.AgentService{}}
		if err := s.sibling.addNode(); err != nil {
			return err
		}
	}
	return s.sibling.put(ctx, eps)
}

// revokeAccess keeps the token and reduces its permissions. Consul 1.8 then
// omits entries from its answers, without an error.
func (s *catalogService) revokeAccess(ctx context.Context) (restore func() error, err error) {
	if s.policy == nil {
		return nil, fmt.Errorf("this Consul has no access control (%w)", errors.ErrUnsupported)
	}
	rules := s.policy.Rules
	set := func(rules string) error {
		changed := *s.policy
		changed.Rules = rules
		_, _, err := s.db.ACL().PolicyUpdate(&changed, nil)
		return err
	}
	return func() error { return set(rules) }, set(`node_prefix "" { policy = "read" }`)
}

func (s *catalogService) registrar() (discovery.Registrar, error) {
	return consul.Registrar([]string{s.proxy.Addr()}, s.service, consul.TTL(registrarTTL)), nil
}

func (s *catalogService) entries(ctx context.Context) (eps []discovery.Endpoint, err error) {
	var entries []json.RawMessage
	if _, err := s.db.Raw().Query("/v1/health/service/"+s.service, &entries, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		some, err := format.Consul("").Decode("", entry)
		if err != nil {
			return nil, err
		}
		eps = append(eps, some...)
	}
	return eps, nil
}

func (s *catalogService) deleteEntry(_ context.Context, addr string) error {
	return s.db.Agent().ServiceDeregister(s.service + "-" + addr)
}

// failChecks puts the checks into the state that they have after the TTL.
func (s *catalogService) failChecks(ctx context.Context) error {
	eps, err := s.entries(ctx)
	for _, e := range eps {
		err = errors.Join(err, s.db.Agent().FailTTL("service:"+s.service+"-"+e.Addr, ""))
	}
	return err
}
