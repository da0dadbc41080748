package consul_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// keyService is a service in the key-value store, behind a proxy of its own.
type keyService struct {
	access  *catalogService // its token may read the keys
	db      *api.Client
	prefix  string
	sibling *keyService // another service, if putSibling has used it
	has     map[string][]byte
}

func newKeyPrefix() string { return "multipool-test/" + newService() + "/" }

func newKeyService(tb testing.TB, db *api.Client, server string) *keyService {
	tb.Helper()
	access := newCatalogService(tb, db, server)
	s := &keyService{access: access, db: db, prefix: newKeyPrefix(), has: map[string][]byte{}}
	if access.policy != nil {
		access.policy.Rules = fmt.Sprintf(`key_prefix %q { policy = "read" }`, s.prefix)
		if _, _, err := db.ACL().PolicyUpdate(access.policy, nil); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func TestWatcherOfKeysConforms(t *testing.T) {
	addr := server(t)
	db := raw(t, addr)
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		s := newKeyService(t, db, addr)
		return discoverytest.Fixture{
			Watcher:      s.watcher,
			Put:          s.put,
			Close:        s.close,
			Proxies:      []*discoverytest.Proxy{s.access.proxy},
			Remove:       s.remove,
			RevokeAccess: s.access.revokeAccess,
			PutMalformed: s.putMalformed,
			PutSibling:   s.putSibling,
		}
	})
}

func (s *keyService) watcher() (discovery.Watcher, error) {
	opts := []consul.Option{consul.WithPrefix(s.prefix), consul.WithFormat(format.GRPCNaming())}
	if s.access.token != nil {
		opts = append(opts, consul.WithCredentials(discovery.NewSecret(s.access.token.SecretID)))
	}
	return consul.Watcher([]string{s.access.proxy.Addr()}, "", opts...), nil
}

func (s *keyService) put(ctx context.Context, eps []discovery.Endpoint) error {
	want := make(map[string][]byte, len(eps))
	for _, e := range eps {
		key, value, err := format.GRPCNaming().Encode(s.prefix, e)
		if err != nil {
			return err
		}
		want[s.prefix+key] = value
	}
	var ops api.TxnOps
	add := func(verb api.KVOp, key string, value []byte) {
		ops = append(ops, &api.TxnOp{KV: &api.KVTxnOp{Verb: verb, Key: key, Value: value}})
	}
	for key, value := range want {
		if had, ok := s.has[key]; !ok || !bytes.Equal(had, value) {
			add(api.KVSet, key, value)
		}
	}
	for key := range s.has {
		if _, ok := want[key]; !ok {
			add(api.KVDelete, key, nil)
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

func (s *keyService) close() error {
	errs := []error{s.remove(context.Background()), s.access.close()}
	if s.sibling != nil {
		errs = append(errs, s.sibling.remove(context.Background()))
	}
	return errors.Join(errs...)
}

func (s *keyService) remove(ctx context.Context) error {
	s.has = map[string][]byte{}
	_, err := s.db.KV().DeleteTree(s.prefix, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

func (s *keyService) putMalformed(ctx context.Context) error {
	for key, value := range map[string]string{
		"empty": "", "half": `{"Op":0,"Addr":"10.9.`, "bytes": "\xff\x00", "list": "[[1]]", "tcp@10.9.9.9:1": "weight=1", "huge": strings.Repeat("x", 500_000),
	} {
		if _, err := s.db.KV().Put(&api.KVPair{Key: s.prefix + key, Value: []byte(value)}, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}

func (s *keyService) putSibling(ctx context.Context, eps []discovery.Endpoint) error {
	if s.sibling == nil {
		s.sibling = &keyService{db: s.db, prefix: strings.TrimSuffix(s.prefix, "/") + "-2/", has: map[string][]byte{}}
	}
	return s.sibling.put(ctx, eps)
}

// putKey puts a key that the test removes.
func putKey(t *testing.T, db *api.Client, key, value string) {
	t.Helper()
	if _, err := db.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.KV().Delete(key, nil) })
}

// TestServersOfRpcxAreReadFromTheirKeys has what rpcx-consul writes: the service is a key
// too, and a server is below it, with a session.
func TestServersOfRpcxAreReadFromTheirKeys(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	putKey(t, db, strings.TrimSuffix(prefix, "/"), "Arith")
	putKey(t, db, prefix+"tcp@10.0.0.1:8972", "weight=3&zone=eu&group=a")
	putKey(t, db, prefix+"tcp@10.0.0.2:8972", "state=inactive")
	awaitOnly(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.Rpcx(""))),
		discovery.Endpoint{Addr: "10.0.0.1:8972", Weight: 3, Zone: "eu", Attrs: map[string]string{"group": "a"}})
}

// TestKeyGoesWithItsSession has a server whose program is gone.
func TestKeyGoesWithItsSession(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	session, _, err := db.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete, LockDelay: time.Nanosecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := prefix + "tcp@10.0.0.1:8972"
	if ok, _, err := db.KV().Acquire(&api.KVPair{Key: key, Value: []byte("weight=3"), Session: session}, nil); !ok || err != nil {
		t.Fatalf("acquired: %t, error %v", ok, err)
	}
	f := discoverytest.Follow(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.Rpcx(""))))
	f.Await("10.0.0.1:8972")
	if _, err := db.Session().Destroy(session, nil); err != nil {
		t.Fatal(err)
	}
	f.Await()
}

func TestFoldersOfTheWebInterfaceAreNoEntries(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	putKey(t, db, prefix, "")
	putKey(t, db, prefix+"empty/", "")
	putKey(t, db, prefix+"10.0.0.1:80", "")
	var skipped []string
	f := discoverytest.Follow(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.PlainKey()),
		consul.OnSkipped(func(key string, _ error) { skipped = append(skipped, key) })))
	f.Await("10.0.0.1:80")
	f.Stop()
	if len(skipped) > 0 {
		t.Errorf("they are reported as malformed: %q", skipped)
	}
}

func TestWrongFormatOfKeysIsNamed(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	for i := range 12 {
		putKey(t, db, fmt.Sprintf("%stcp@10.0.0.%d:8972", prefix, i+1), "weight=3&group=a")
	}
	plugintest.AwaitWarning(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.Kratos("grpc"))),
		"0 of 12 entries are servers in format kratos", "12 look like rpcx", prefix, "12 of 12 entries are skipped")
	// Of a format that reads no values, they are read for this.
	plugintest.AwaitWarning(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.PlainKey())),
		"0 of 12 entries are servers in format name; 12 look like rpcx")
}

func TestKeyOfOneServerIsNamed(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	putKey(t, db, prefix+"tcp@10.0.0.1:8972", "weight=3")
	plugintest.AwaitWarning(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix+"tcp@10.0.0.1:8972"), consul.WithFormat(format.Rpcx(""))),
		"one level up", fmt.Sprintf("below %q: 1 of 1 entries are servers in format rpcx", prefix))
}

// TestTokenThatMayNotReadAKeyIsAnErrorAndNeverASmallerSet has Consul leave out one key,
// or all of them, from the start or from the middle of a Watch.
func TestTokenThatMayNotReadAKeyIsAnErrorAndNeverASmallerSet(t *testing.T) {
	addr := server(t)
	db := raw(t, addr)
	for name, rules := range map[string]func(prefix string) string{
		"of one key": func(prefix string) string {
			return fmt.Sprintf(`key_prefix %q { policy = "read" } key %q { policy = "deny" }`, prefix, prefix+"tcp@10.0.0.2:1")
		},
		"of all keys but one": func(prefix string) string { return fmt.Sprintf(`key %q { policy = "read" }`, prefix+"tcp@10.0.0.2:1") },
		"of all keys":         func(string) string { return `node_prefix "" { policy = "read" }` },
	} {
		t.Run(name, func(t *testing.T) {
			prefix := newKeyPrefix()
			whole := fmt.Sprintf(`key_prefix %q { policy = "read" }`, prefix)
			p := newPermission(t, db, whole)
			for i := range 4 {
				putKey(t, db, fmt.Sprintf("%stcp@10.0.0.%d:1", prefix, i), "")
			}
			w := consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.Rpcx("")), consul.Wait(time.Second),
				consul.WithCredentials(discovery.NewSecret(p.secret)))
			f := discoverytest.Follow(t, w)
			f.AwaitLen(4)
			p.set(rules(prefix))
			if err := f.Fails(); !strings.Contains(err.Error(), "may not read all keys") {
				t.Errorf("error %v", err)
			}
			if n := f.Count(); n != 1 {
				t.Errorf("%d reports, want none after the first", n)
			}
			f = discoverytest.Follow(t, w)
			if err := f.Fails(); f.Count() > 0 {
				t.Errorf("the next Watch made a report before %v", err)
			}
			p.set(whole)
			discoverytest.Follow(t, w).AwaitLen(4)
		})
	}
}
