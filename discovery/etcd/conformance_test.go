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

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// servers returns the etcd that the tests are to use.
func servers(t *testing.T) []string {
	t.Helper()
	const variable = "ETCD_ENDPOINTS"
	list := os.Getenv(variable)
	if list == "" {
		missing(t, "%s, the servers of an etcd as host:port,host:port, is not set", variable)
	}
	return strings.Split(list, ",")
}

// missing skips the test for want of something, or fails it where everything
// has to be there.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("REQUIRE_REGISTRIES") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// raw returns etcd's own client, the tests' way past the plugin.
func raw(t *testing.T, endpoints []string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// places counts the prefixes in use.
var places atomic.Int64

// newPrefix returns a prefix that nothing else uses.
func newPrefix() string { return fmt.Sprintf("/multipool-test/%d-%d/", os.Getpid(), places.Add(1)) }

// place is a prefix in etcd, behind a proxy of its own.
type place struct {
	db     *clientv3.Client
	proxy  *discoverytest.Proxy
	prefix string
	beside string // another prefix, if there is one
	has    map[string]string
}

func newPlace(db *clientv3.Client, server string) (*place, error) {
	proxy, err := discoverytest.NewProxy(server)
	if err != nil {
		return nil, err
	}
	return &place{db: db, proxy: proxy, prefix: newPrefix(), has: map[string]string{}}, nil
}

func (p *place) Watcher() (core.Watcher, error) {
	return etcd.Watcher([]string{p.proxy.Addr()}, p.prefix), nil
}

func (p *place) Put(ctx context.Context, eps []core.Endpoint) error {
	want := make(map[string]string, len(eps))
	for _, e := range eps {
		key, value, err := format.Naming().Encode(p.prefix, e)
		if err != nil {
			return err
		}
		want[p.prefix+key] = string(value)
	}
	var ops []clientv3.Op
	for key, value := range want {
		if had, ok := p.has[key]; !ok || had != value {
			ops = append(ops, clientv3.OpPut(key, value))
		}
	}
	for key := range p.has {
		if _, ok := want[key]; !ok {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	p.has = want
	for _, op := range ops {
		if _, err := p.db.Do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) Close() error {
	_, err := p.db.Delete(context.Background(), p.prefix, clientv3.WithPrefix())
	if p.beside != "" {
		_, err2 := p.db.Delete(context.Background(), p.beside, clientv3.WithPrefix())
		err = errors.Join(err, err2)
	}
	return errors.Join(err, p.proxy.Close())
}

func (p *place) Proxies() []*discoverytest.Proxy { return []*discoverytest.Proxy{p.proxy} }

func (p *place) Compact(ctx context.Context) error {
	now, err := p.db.Get(ctx, p.prefix)
	if err == nil {
		_, err = p.db.Compact(ctx, now.Header.Revision)
	}
	return err
}

func (p *place) Remove(ctx context.Context) error {
	p.has = map[string]string{}
	_, err := p.db.Delete(ctx, p.prefix, clientv3.WithPrefix())
	return err
}

func (p *place) Spoil(ctx context.Context) error {
	for i, value := range []string{"", "nonsense", `{"Op":0,"Addr":"10.`, `{"Op":0,"Addr":"nowhere"}`, `{"Op":1,"Addr":"10.9.9.9:1"}`, "[]", "\xff"} {
		if _, err := p.db.Put(ctx, fmt.Sprint(p.prefix, "!", i), value); err != nil {
			return err
		}
	}
	_, err := p.db.Put(ctx, p.prefix, "") // as some do to make a folder
	return err
}

func (p *place) PutBeside(ctx context.Context, eps []core.Endpoint) error {
	beside := &place{db: p.db, prefix: strings.TrimSuffix(p.prefix, "/") + "-2/", has: map[string]string{}}
	p.beside = beside.prefix
	return errors.Join(beside.Remove(ctx), beside.Put(ctx, eps))
}

func TestWatcherConforms(t *testing.T) {
	all := servers(t)
	db := raw(t, all)
	discoverytest.Run(t, discoverytest.Harness{
		NewPlace: func(context.Context) (discoverytest.Place, error) { return newPlace(db, all[0]) },
	})
}

// registrarPlace is a place for registrars.
type registrarPlace struct{ *place }

func (p registrarPlace) Registrar() (discovery.Registrar, error) {
	return etcd.Registrar([]string{p.proxy.Addr()}, p.prefix, etcd.TTL(registrarTTL)), nil
}

func (p registrarPlace) Entries(ctx context.Context) (eps []core.Endpoint, err error) {
	all, err := p.db.Get(ctx, p.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	for _, kv := range all.Kvs {
		some, err := format.Naming().Decode(string(kv.Key), kv.Value)
		if err != nil {
			return nil, err
		}
		eps = append(eps, some...)
	}
	return eps, nil
}

func (p registrarPlace) Expire(ctx context.Context) error {
	all, err := p.db.Get(ctx, p.prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range all.Kvs {
		if _, err := p.db.Revoke(ctx, clientv3.LeaseID(kv.Lease)); err != nil {
			return err
		}
	}
	return nil
}

func (p registrarPlace) Delete(ctx context.Context, addr string) error {
	_, err := p.db.Delete(ctx, p.prefix+addr)
	return err
}

func (p registrarPlace) Leave(ctx context.Context, e core.Endpoint) (die func() error, err error) {
	lease, err := p.db.Grant(ctx, 60)
	if err != nil {
		return nil, err
	}
	key, value, err := format.Naming().Encode(p.prefix, e)
	if err == nil {
		_, err = p.db.Put(ctx, p.prefix+key, string(value), clientv3.WithLease(lease.ID))
	}
	return func() error {
		_, err := p.db.Revoke(context.Background(), lease.ID)
		return err
	}, err
}

// registrarTTL is short, for the cases that wait for it.
const registrarTTL = 2 * time.Second

func TestRegistrarConforms(t *testing.T) {
	all := servers(t)
	db := raw(t, all)
	discoverytest.RunRegistrar(t, discoverytest.RegistrarHarness{
		NewPlace: func(context.Context) (discoverytest.RegistrarPlace, error) {
			p, err := newPlace(db, all[0])
			return registrarPlace{p}, err
		},
		TTL: registrarTTL,
	})
}
