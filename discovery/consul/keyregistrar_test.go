package consul_test

import (
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

// Consul keeps a session for twice its TTL. A shorter session would end where a busy
// machine keeps a server from writing for long. Servers that take no session of 4 s, as by
// default, are given the least that they take.
const (
	shortSession = 4 * time.Second
	leastSession = 10 * time.Second
)

// sessionTTL returns the shorter one of the two that Consul takes.
func sessionTTL(t *testing.T, db *api.Client) time.Duration {
	t.Helper()
	session, _, err := db.Session().CreateNoChecks(&api.SessionEntry{TTL: shortSession.String()}, nil)
	if err != nil {
		return leastSession
	}
	if _, err := db.Session().Destroy(session, nil); err != nil {
		t.Fatal(err)
	}
	return shortSession
}

func TestRegistrarOfKeysConforms(t *testing.T) {
	addr := server(t)
	db := raw(t, addr)
	ttl := sessionTTL(t, db)
	discoverytest.RunRegistrar(t, func(t *testing.T) discoverytest.Fixture {
		s := newKeyService(t, db, addr)
		registrar := func(addr string) func() (discovery.Registrar, error) {
			return func() (discovery.Registrar, error) {
				return consul.Registrar([]string{addr}, "", consul.WithPrefix(s.prefix), consul.WithFormat(format.GRPCNaming()), consul.TTL(ttl)), nil
			}
		}
		return discoverytest.Fixture{
			Registrar:      registrar(s.access.proxy.Addr()),
			Rival:          registrar(addr),
			Entries:        s.entries,
			Close:          s.close,
			Proxies:        []*discoverytest.Proxy{s.access.proxy},
			ExpireSessions: s.expireSessions,
			DeleteEntry:    s.deleteEntry,
			PutOrphan:      s.putOrphan,
			TTL:            2 * ttl,
			LostWithin:     ttl,
		}
	})
}

func (s *keyService) entries(ctx context.Context) (eps []discovery.Endpoint, err error) {
	pairs, _, err := s.db.KV().List(s.prefix, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		some, err := format.GRPCNaming().Decode(p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		eps = append(eps, some...)
	}
	return eps, nil
}

func (s *keyService) expireSessions(ctx context.Context) error {
	pairs, _, err := s.db.KV().List(s.prefix, (&api.QueryOptions{}).WithContext(ctx))
	for _, p := range pairs {
		_, err2 := s.db.Session().Destroy(p.Session, (&api.WriteOptions{}).WithContext(ctx))
		err = errors.Join(err, err2)
	}
	return err
}

func (s *keyService) deleteEntry(ctx context.Context, addr string) error {
	_, err := s.db.KV().Delete(s.prefix+addr, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

func (s *keyService) putOrphan(ctx context.Context, e discovery.Endpoint) (expire func() error, err error) {
	options := (&api.WriteOptions{}).WithContext(ctx)
	session, _, err := s.db.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete}, options)
	if err != nil {
		return nil, err
	}
	key, value, err := format.GRPCNaming().Encode(s.prefix, e)
	if err != nil {
		return nil, err
	}
	ok, _, err := s.db.KV().Acquire(&api.KVPair{Key: s.prefix + key, Value: value, Session: session}, options)
	if err == nil && !ok {
		err = errors.New("the key is not to be had")
	}
	return func() error {
		_, err := s.db.Session().Destroy(session, nil)
		return err
	}, err
}

// registrarOfKeys returns a registrar of what rpcx reads.
func registrarOfKeys(agents []string, prefix string, opts ...consul.Option) discovery.Registrar {
	return consul.Registrar(agents, "", append([]consul.Option{consul.WithPrefix(prefix), consul.WithFormat(format.Rpcx(""))}, opts...)...)
}

// pair returns the key of addr, nil if there is none.
func pair(t *testing.T, db *api.Client, prefix string) *api.KVPair {
	t.Helper()
	p, _, err := db.KV().Get(prefix+"tcp@"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKeyOfARegistrarIsWhatItsFormatWritesAndHasASession looks at what Consul has, from
// the registration to the end.
func TestKeyOfARegistrarIsWhatItsFormatWritesAndHasASession(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	e := discovery.Endpoint{Addr: "10.0.0.1:80", Weight: 3, Zone: "eu", Attrs: map[string]string{"group": "a"}}
	g, err := discovery.Register(registrarOfKeys([]string{addr}, prefix), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	wait(t, g)
	p := pair(t, db, prefix)
	if p == nil || string(p.Value) != "group=a&weight=3&zone=eu" {
		t.Fatalf("the key is %+v", p)
	}
	s, _, err := db.Session().Info(p.Session, nil)
	if err != nil || s == nil {
		t.Fatalf("the session is %+v, error %v", s, err)
	}
	if s.Behavior != api.SessionBehaviorDelete || s.LockDelay != 0 || s.TTL != "10s" || len(s.Checks)+len(s.NodeChecks)+len(s.ServiceChecks) > 0 || !strings.Contains(s.Name, p.Key) {
		t.Errorf("the session is %+v", s)
	}
	awaitOnly(t, consul.Watcher([]string{addr}, "", consul.WithPrefix(prefix), consul.WithFormat(format.Rpcx(""))), e)
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s, _, err := db.Session().Info(p.Session, nil); s != nil || err != nil || pair(t, db, prefix) != nil {
		t.Errorf("after Close, there are session %v (%v) and key %v", s, err, pair(t, db, prefix))
	}
}

// TestServerThatWasKilledTakesItsKeyAgainAtOnce has what a kill leaves, the key and its
// session, with the lock delay that sessions have by default.
func TestServerThatWasKilledTakesItsKeyAgainAtOnce(t *testing.T) {
	server := server(t)
	db, prefix := raw(t, server), newKeyPrefix()
	old, _, err := db.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := db.KV().Acquire(&api.KVPair{Key: prefix + "tcp@" + addr, Value: []byte("weight=9"), Session: old}, nil); !ok || err != nil {
		t.Fatalf("acquired: %t, error %v", ok, err)
	}
	f := discoverytest.Follow(t, consul.Watcher([]string{server}, "", consul.WithPrefix(prefix), consul.WithFormat(format.Rpcx(""))))
	f.Await(addr)
	start := time.Now()
	register(t, registrarOfKeys([]string{server}, prefix))
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("registered after %v", d)
	}
	if _, err := db.Session().Destroy(old, nil); err != nil { // as Consul does later
		t.Fatal(err)
	}
	if p := pair(t, db, prefix); p == nil || p.Session == old {
		t.Errorf("after the end of the old session, the key is %+v", p)
	}
	f.Await(addr)
	if n := f.Count(); n > 2 {
		t.Errorf("%d reports, want one of the old and one of the new: nobody may see the server missing", n)
	}
}

// TestKeyUnderALockDelayIsTakenWhenThatIsOver has the session of another program, which
// Consul has just ended.
func TestKeyUnderALockDelayIsTakenWhenThatIsOver(t *testing.T) {
	addr := server(t)
	db, prefix := raw(t, addr), newKeyPrefix()
	session, _, err := db.Session().CreateNoChecks(&api.SessionEntry{Behavior: api.SessionBehaviorDelete, LockDelay: 2 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := db.KV().Acquire(&api.KVPair{Key: prefix + "tcp@10.0.0.1:80", Session: session}, nil); !ok || err != nil {
		t.Fatalf("acquired: %t, error %v", ok, err)
	}
	if _, err := db.Session().Destroy(session, nil); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	g, s := registerAndFollow(t, registrarOfKeys([]string{addr}, prefix))
	if d := time.Since(begin); d < time.Second {
		t.Errorf("registered after %v: there was no lock delay, and the test shows nothing", d)
	}
	s.mu.Lock()
	if len(s.all) != 1 {
		t.Errorf("the states are %v, want registered alone", s.all)
	}
	s.mu.Unlock()
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKeyThatIsDeletedReleasedOrOverwrittenIsPutBack does what operators and their
// scripts do.
func TestKeyThatIsDeletedReleasedOrOverwrittenIsPutBack(t *testing.T) {
	server := server(t)
	db, prefix := raw(t, server), newKeyPrefix()
	register(t, registrarOfKeys([]string{server}, prefix))
	before := *pair(t, db, prefix)
	for _, c := range []struct {
		name string
		harm func() error
	}{
		{"deleted", func() error { _, err := db.KV().Delete(before.Key, nil); return err }},
		{"overwritten", func() error {
			_, err := db.KV().Put(&api.KVPair{Key: before.Key, Value: []byte("nonsense")}, nil)
			return err
		}},
		{"released", func() error {
			_, _, err := db.KV().Release(&api.KVPair{Key: before.Key, Value: before.Value, Session: before.Session}, nil)
			return err
		}},
		{"deleted with all others", func() error { _, err := db.KV().DeleteTree(prefix, nil); return err }},
	} {
		if err := c.harm(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the return of what was "+c.name, func() bool {
			now := pair(t, db, prefix)
			return now != nil && now.Session == before.Session && string(now.Value) == string(before.Value)
		})
	}
}

func TestTokenThatMayNotWriteSessionsOrTheKeyIsReportedAtOnce(t *testing.T) {
	server := server(t)
	db := raw(t, server)
	for name, c := range map[string]struct{ rules, want string }{
		"no session": {`key_prefix %q { policy = "write" }`, "creating a session"},
		"no key":     {`session_prefix "" { policy = "write" } key_prefix %q { policy = "read" }`, "Permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := newKeyPrefix()
			p := newPermission(t, db, fmt.Sprintf(c.rules, prefix))
			start := time.Now()
			r := registrarOfKeys([]string{server}, prefix, consul.WithCredentials(discovery.NewSecret(p.secret)))
			err := r.Register(t.Context(), discovery.Endpoint{Addr: addr}, func() { t.Error("it is registered") })
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "Permission denied") || strings.Contains(err.Error(), p.secret) {
				t.Errorf("error %v", err)
			}
			if d := time.Since(start); d > 3*time.Second {
				t.Errorf("reported after %v", d)
			}
		})
	}
	prefix := newKeyPrefix()
	p := newPermission(t, db, fmt.Sprintf(`session_prefix "" { policy = "write" } key_prefix %q { policy = "write" }`, prefix))
	g := register(t, registrarOfKeys([]string{server}, prefix, consul.WithCredentials(discovery.NewSecret(p.secret))))
	if err := g.Close(t.Context()); err != nil {
		t.Errorf("what the documentation asks for is too little to deregister: %v", err)
	}
}

func TestTTLThatConsulDoesNotTakeIsReportedAtOnce(t *testing.T) {
	c := startConsul(t, "-dev")
	c.ready()
	err := registrarOfKeys([]string{c.addr}, "x", consul.TTL(2*time.Second)).Register(t.Context(), discovery.Endpoint{Addr: addr}, func() {})
	if err == nil || !strings.Contains(err.Error(), "session_ttl_min") {
		t.Errorf("error %v", err)
	}
}

// TestAgentThatHangsCostsNoKey has the next one renew the session.
func TestAgentThatHangsCostsNoKey(t *testing.T) {
	server := server(t)
	db, prefix := raw(t, server), newKeyPrefix()
	first, second := plugintest.Proxy(t, server), plugintest.Proxy(t, server)
	ttl := sessionTTL(t, db)
	g, s := registerAndFollow(t, registrarOfKeys([]string{first.Addr(), second.Addr()}, prefix, consul.TTL(ttl)))
	session := pair(t, db, prefix).Session
	if err := first.Hang(); err != nil {
		t.Fatal(err)
	}
	before := second.Traffic().ToServer
	eventually(t, "the other agent being asked", func() bool { return second.Traffic().ToServer > before })
	for start := time.Now(); time.Since(start) < 2*ttl+time.Second; time.Sleep(100 * time.Millisecond) { // what would end the session takes that long
		if p := pair(t, db, prefix); p == nil || p.Session != session {
			t.Fatalf("after %v, the key is %+v", time.Since(start), p)
		}
	}
	s.mu.Lock()
	if slices.Contains(s.all, discovery.StateLost) {
		t.Errorf("the states are %v", s.all)
	}
	s.mu.Unlock()
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKeyIsBackAfterConsulHasLostAll restarts the server, which keeps nothing.
func TestKeyIsBackAfterConsulHasLostAll(t *testing.T) {
	c := startConsul(t, "-dev")
	c.ready()
	g, s := registerAndFollow(t, registrarOfKeys([]string{c.addr}, "svc"))
	c.kill()
	c.start()
	c.ready()
	db := raw(t, c.addr)
	eventually(t, "the key", func() bool { return pair(t, db, "svc/") != nil })
	wait(t, g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.all, discovery.StateLost) {
		t.Errorf("the states are %v: nobody was told that the key was gone", s.all)
	}
}

// TestLockDelayDoesNotKeepARegistrarFromItsOwnKey ends the session of a registration, as
// an operator may.
func TestLockDelayDoesNotKeepARegistrarFromItsOwnKey(t *testing.T) {
	server := server(t)
	db, prefix := raw(t, server), newKeyPrefix()
	g, _ := registerAndFollow(t, registrarOfKeys([]string{server}, prefix))
	session := pair(t, db, prefix).Session
	if _, err := db.Session().Destroy(session, nil); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, "the key with another session", func() bool {
		p := pair(t, db, prefix)
		return p != nil && p.Session != session
	})
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("back after %v", d)
	}
	wait(t, g)
}

func TestCloseWithoutConsulIsBoundedAndNamesTheKey(t *testing.T) {
	server := server(t)
	db, prefix, p := raw(t, server), newKeyPrefix(), plugintest.Proxy(t, server)
	g, _ := registerAndFollow(t, registrarOfKeys([]string{p.Addr()}, prefix))
	session := pair(t, db, prefix).Session
	t.Cleanup(func() { _, _ = db.Session().Destroy(session, nil) })
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := g.Close(t.Context())
	if d := time.Since(start); d > discovery.DeregisterTimeout+500*time.Millisecond {
		t.Errorf("Close took %v", d)
	}
	if err == nil || !strings.Contains(err.Error(), prefix+"tcp@"+addr+" may stay for up to 20s") {
		t.Errorf("Close returned %v", err)
	}
}

func TestValueThatNoTransactionOfConsulHoldsIsAnErrorAtOnce(t *testing.T) {
	server := server(t)
	prefix := newKeyPrefix()
	attrs := func(n int) map[string]string { return map[string]string{"a": strings.Repeat("\x01", n)} } // each is escaped
	if _, err := discovery.Register(registrarOfKeys([]string{server}, prefix), discovery.Endpoint{Addr: addr, Attrs: attrs(130_000)}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	g, err := discovery.Register(registrarOfKeys([]string{server}, prefix), discovery.Endpoint{Addr: addr, Attrs: attrs(129_000)})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, g)
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
