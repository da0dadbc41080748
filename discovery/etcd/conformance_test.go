package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// servers returns the servers of the etcd that the tests use.
func servers(t *testing.T) []string {
	t.Helper()
	const variable = "ETCD_ENDPOINTS"
	list := os.Getenv(variable)
	if list == "" {
		missing(t, "%s, the servers of an etcd as host:port,host:port, is not set", variable)
	}
	return strings.Split(list, ",")
}

// missing skips the test, or fails it if REQUIRE_REGISTRIES is 1.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("REQUIRE_REGISTRIES") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// raw returns etcd's own client, with which tests bypass the package.
func raw(t *testing.T, endpoints []string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// prefixes counts the prefixes in use.
var prefixes atomic.Int64

// newPrefix returns a prefix that nothing else uses.
func newPrefix() string { return fmt.Sprintf("/multipool-test/%d-%d/", os.Getpid(), prefixes.Add(1)) }

// service is a prefix in etcd, behind a proxy of its own.
type service struct {
	db      *clientv3.Client
	proxy   *discoverytest.Proxy
	prefix  string
	sibling string // another prefix, if putSibling has used it
	has     map[string]string
}

func newService(t *testing.T, db *clientv3.Client, server string) *service {
	t.Helper()
	proxy, err := discoverytest.NewProxy(server)
	if err != nil {
		t.Fatal(err)
	}
	return &service{db: db, proxy: proxy, prefix: newPrefix(), has: map[string]string{}}
}

func TestWatcherConforms(t *testing.T) {
	all := servers(t)
	db := raw(t, all)
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		s := newService(t, db, all[0])
		return discoverytest.Fixture{
			Watcher:      s.watcher,
			Put:          s.put,
			Close:        s.close,
			Proxies:      []*discoverytest.Proxy{s.proxy},
			Compact:      s.compact,
			Remove:       s.remove,
			PutMalformed: s.putMalformed,
			PutSibling:   s.putSibling,
		}
	})
}

// registrarTTL is short, for the cases that wait for it.
const registrarTTL = 2 * time.Second

func TestRegistrarConforms(t *testing.T) {
	all := servers(t)
	db := raw(t, all)
	discoverytest.RunRegistrar(t, func(t *testing.T) discoverytest.Fixture {
		s := newService(t, db, all[0])
		return discoverytest.Fixture{
			Registrar:      s.registrar,
			Entries:        s.entries,
			Close:          s.close,
			Proxies:        []*discoverytest.Proxy{s.proxy},
			ExpireSessions: s.expireLeases,
			DeleteEntry:    s.deleteEntry,
			PutOrphan:      s.putOrphan,
			Rival:          s.rival(all[0]),
			LostWithin:     registrarTTL,
			TTL:            registrarTTL,
		}
	})
}

func (s *service) watcher() (discovery.Watcher, error) {
	return etcd.Watcher([]string{s.proxy.Addr()}, s.prefix), nil
}

func (s *service) put(ctx context.Context, eps []discovery.Endpoint) error {
	want := make(map[string]string, len(eps))
	for _, e := range eps {
		key, value, err := format.GRPCNaming().Encode(s.prefix, e)
		if err != nil {
			return err
		}
		want[s.prefix+key] = string(value)
	}
	var ops []clientv3.Op
	for key, value := range want {
		if had, ok := s.has[key]; !ok || had != value {
			ops = append(ops, clientv3.OpPut(key, value))
		}
	}
	for key := range s.has {
		if _, ok := want[key]; !ok {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	s.has = want
	for _, op := range ops {
		if _, err := s.db.Do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) close() error {
	_, err := s.db.Delete(context.Background(), s.prefix, clientv3.WithPrefix())
	if s.sibling != "" {
		_, err2 := s.db.Delete(context.Background(), s.sibling, clientv3.WithPrefix())
		err = errors.Join(err, err2)
	}
	return errors.Join(err, s.proxy.Close())
}

func (s *service) compact(ctx context.Context) error {
	now, err := s.db.Get(ctx, s.prefix)
	if err == nil {
		_, err = s.db.Compact(ctx, now.Header.Revision)
	}
	return err
}

func (s *service) remove(ctx context.Context) error {
	s.has = map[string]string{}
	_, err := s.db.Delete(ctx, s.prefix, clientv3.WithPrefix())
	return err
}

func (s *service) putMalformed(ctx context.Context) error {
	for i, value := range []string{"", "nonsense", `{"Op":0,"Addr":"10.`, `{"Op":0,"Addr":"nowhere"}`, `{"Op":1,"Addr":"10.9.9.9:1"}`, "[]", "\xff"} {
		if _, err := s.db.Put(ctx, fmt.Sprint(s.prefix, "!", i), value); err != nil {
			return err
		}
	}
	_, err := s.db.Put(ctx, s.prefix, "") // some programs create a directory that way
	return err
}

func (s *service) putSibling(ctx context.Context, eps []discovery.Endpoint) error {
	sibling := &service{db: s.db, prefix: strings.TrimSuffix(s.prefix, "/") + "-2/", has: map[string]string{}}
	s.sibling = sibling.prefix
	return errors.Join(sibling.remove(ctx), sibling.put(ctx, eps))
}

func (s *service) registrar() (discovery.Registrar, error) {
	return etcd.Registrar([]string{s.proxy.Addr()}, s.prefix, etcd.TTL(registrarTTL)), nil
}

// rival returns registrars that share no client with those of registrar.
func (s *service) rival(server string) func() (discovery.Registrar, error) {
	return func() (discovery.Registrar, error) {
		return etcd.Registrar([]string{server}, s.prefix, etcd.TTL(registrarTTL)), nil
	}
}

func (s *service) entries(ctx context.Context) (eps []discovery.Endpoint, err error) {
	all, err := s.db.Get(ctx, s.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	for _, kv := range all.Kvs {
		some, err := format.GRPCNaming().Decode(string(kv.Key), kv.Value)
		if err != nil {
			return nil, err
		}
		eps = append(eps, some...)
	}
	return eps, nil
}

func (s *service) expireLeases(ctx context.Context) error {
	all, err := s.db.Get(ctx, s.prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range all.Kvs {
		if _, err := s.db.Revoke(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) deleteEntry(ctx context.Context, addr string) error {
	_, err := s.db.Delete(ctx, s.prefix+addr)
	return err
}

func (s *service) putOrphan(ctx context.Context, e discovery.Endpoint) (expire func() error, err error) {
	lease, err := s.db.Grant(ctx, 60)
	if err != nil {
		return nil, err
	}
	key, value, err := format.GRPCNaming().Encode(s.prefix, e)
	if err == nil {
		_, err = s.db.Put(ctx, s.prefix+key, string(value), clientv3.WithLease(lease.ID))
	}
	return func() error {
		_, err := s.db.Revoke(context.Background(), lease.ID)
		return err
	}, err
}
