package zk_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

var self = discovery.Endpoint{Addr: "10.0.0.7:9090"}

// register registers e and waits until the registry has it.
func register(t *testing.T, r discovery.Registrar, e discovery.Endpoint) *discovery.Registration {
	t.Helper()
	g, err := discovery.Register(r, e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	registered(t, g)
	return g
}

func registered(t *testing.T, g *discovery.Registration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := g.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// owner returns the session that an entry belongs to; zero if it is not there.
func owner(t *testing.T, conn *client.Conn, path string) int64 {
	t.Helper()
	if _, err := conn.Sync(path); err != nil {
		t.Fatal(err)
	}
	there, stat, err := conn.Exists(path)
	if err != nil {
		t.Fatal(err)
	}
	if !there {
		return 0
	}
	return stat.EphemeralOwner
}

func TestRegistrarMakesThePathAndAnEphemeralNode(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	w := begin(t, zk.Watcher(list, "/services/echo", zk.WithChroot(root)))
	w.await()
	g := register(t, zk.Registrar(list, "/services/echo", zk.WithChroot(root)), self)
	w.await(self.Addr)
	if id := owner(t, conn, root+"/services/echo/"+self.Addr); id == 0 || id != only(t, list[0]).ID() {
		t.Errorf("it belongs to session 0x%x", id)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if owner(t, conn, root+"/services/echo/"+self.Addr) != 0 {
		t.Error("it is still there after Close")
	}
	if there, stat, err := conn.Exists(root + "/services/echo"); !there || err != nil || stat.EphemeralOwner != 0 {
		t.Errorf("the path: there %v, error %v", there, err)
	}
	w.await()
}

func TestRegistrarWritesWeightZoneAndAttributes(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	for _, f := range []format.Format{format.GRPCNaming(), format.Serverset(""), format.Curator("")} {
		root := newRoot(t, conn)
		e := discovery.Endpoint{Addr: "[2001:db8::1]:9090", Weight: 3, Zone: "b", Attrs: map[string]string{"version": "2"}}
		register(t, zk.Registrar(list, root, zk.WithFormat(f)), e)
		w := begin(t, zk.Watcher(list, root, zk.WithFormat(f)))
		w.until("it", func(eps []discovery.Endpoint) bool { return len(eps) == 1 && eps[0].Equal(e) })
	}
	err := zk.Registrar(list, newRoot(t, conn)).Register(t.Context(), discovery.Endpoint{Addr: "10.0.0.1:1", Weight: 3}, func() {})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a weight in a name: %v", err)
	}
}

func TestRegistrationComesBackAfterTheSessionHasExpired(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	proxy, addrs := proxies(t, list[0])
	register(t, zk.Registrar(addrs, root), self)
	w := begin(t, zk.Watcher(list, root))
	w.await(self.Addr)
	for range 3 {
		session := only(t, addrs[0])
		proxy[0].Cut()
		if err := session.Expire(list[0], true); err != nil {
			t.Fatal(err)
		}
		w.await()
		if err := proxy[0].Heal(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		w.await(self.Addr)
		if d := time.Since(start); d > 1500*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	}
}

// heldBy makes an entry in another session, as a process that has died leaves
// it behind.
func heldBy(t *testing.T, conn *client.Conn, path string) {
	t.Helper()
	if _, err := conn.Create(path, []byte("old"), client.FlagEphemeral, open()); err != nil {
		t.Fatal(err)
	}
}

func TestEntryOfADeadSessionIsReplacedWithoutBeingMissing(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	heldBy(t, conn, root+"/"+self.Addr)
	w := begin(t, zk.Watcher(list, root))
	w.await(self.Addr)
	register(t, zk.Registrar(list, root, zk.SessionTimeout(20*time.Second)), self)
	if owner(t, conn, root+"/"+self.Addr) == conn.SessionID() {
		t.Error("it is still the old one")
	}
	create(t, conn, root+"/10.0.0.8:1", "")
	w.await(self.Addr, "10.0.0.8:1")
	for _, eps := range w.all() {
		if len(eps) == 0 {
			t.Errorf("reported were %v", w.all())
		}
	}
}

func TestPersistentEntryIsReplaced(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	create(t, conn, root+"/"+self.Addr, "old")
	g := register(t, zk.Registrar(list, root), self)
	if owner(t, conn, root+"/"+self.Addr) == 0 {
		t.Error("it is not ephemeral")
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEntryThatAnOperatorDeletesIsPutBack(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	register(t, zk.Registrar(list, root), self)
	w := begin(t, zk.Watcher(list, root))
	w.await(self.Addr)
	for range 5 {
		_, _, gone, err := conn.ExistsW(root + "/" + self.Addr)
		if err != nil {
			t.Fatal(err)
		}
		remove(t, conn, root+"/"+self.Addr)
		<-gone
		poll(t, "it to be back", func() bool { return owner(t, conn, root+"/"+self.Addr) != 0 })
	}
	if err := removeTree(conn, root); err != nil && !errors.Is(err, client.ErrNotEmpty) {
		t.Fatal(err)
	}
	poll(t, "it to be back", func() bool { return owner(t, conn, root+"/"+self.Addr) != 0 })
	w.await(self.Addr)
}

func TestWhatAnOperatorWritesIntoAnEntryStays(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	f := zk.WithFormat(format.GRPCNaming())
	register(t, zk.Registrar(list, root, f), self)
	w := begin(t, zk.Watcher(list, root, f))
	w.await(self.Addr)
	_, data, err := format.GRPCNaming().Encode(root, discovery.Endpoint{Addr: self.Addr, Weight: 5})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // more than the registrar's watch
		if _, err := conn.Set(root+"/"+self.Addr, data, -1); err != nil {
			t.Fatal(err)
		}
	}
	w.until("its weight", func(eps []discovery.Endpoint) bool { return len(eps) == 1 && eps[0].Weight == 5 })
	remove(t, conn, root+"/"+self.Addr)
	w.until("it as it was", func(eps []discovery.Endpoint) bool { return len(eps) == 1 && eps[0].Weight == 0 })
}

// Two processes with one address would delete each other's entry for ever.
func TestEntryThatAnotherSessionReplacesIsAnErrorAndNotTakenBack(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	registered := make(chan struct{}) // the node alone may be seen before the registration knows that it has it
	go func() {
		ended <- zk.Registrar(list, root).Register(ctx, self, sync.OnceFunc(func() { close(registered) }))
	}()
	select {
	case <-registered:
	case <-time.After(timeout):
		t.Fatal("it is not registered")
	}
	if _, err := conn.Multi(
		&client.DeleteRequest{Path: root + "/" + self.Addr, Version: -1},
		&client.CreateRequest{Path: root + "/" + self.Addr, Flags: client.FlagEphemeral, Acl: open()},
	); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("0x%x", conn.SessionID())) {
			t.Errorf("Register ended with %v", err)
		}
	case <-time.After(timeout):
		t.Error("Register goes on")
	}
	if owner(t, conn, root+"/"+self.Addr) != conn.SessionID() {
		t.Error("it was taken back")
	}
}

func TestRegistrationTakesOverWhatAnEarlierOneOfItsSessionLeft(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	f := zk.WithFormat(format.GRPCNaming())
	r := zk.Registrar(list, root, f)
	first := register(t, r, self)
	w := begin(t, zk.Watcher(list, root, f))
	w.await(self.Addr)
	heavy := self
	heavy.Weight = 9
	register(t, r, heavy)
	w.until("its new weight", func(eps []discovery.Endpoint) bool { return len(eps) == 1 && eps[0].Weight == 9 })
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	create(t, conn, root+"/last", "")
	remove(t, conn, root+"/last")
	w.until("the one that stays", func(eps []discovery.Endpoint) bool { return len(eps) == 1 && eps[0].Weight == 9 })
}

func TestDeregistrationIsFinal(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	create(t, conn, root, "")
	begin(t, zk.Watcher(list, root+"/none")).await() // the session stays
	entry := root + "/" + self.Addr
	for i := range 60 {
		g, err := discovery.Register(zk.Registrar(list, root), self)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 100 * time.Microsecond) // before, in and after its registration
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id := owner(t, conn, entry); id != 0 {
			t.Fatalf("round %d: it is there, of session 0x%x", i, id)
		}
	}
}

// A session that has other users does not end, so nothing else would remove
// the entry.
func TestEntryIsRemovedAfterAnOutageInWhichItsRegistrationWasClosed(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	proxy, addrs := proxies(t, list[0])
	stays := begin(t, zk.Watcher(addrs, root, zk.SessionTimeout(time.Minute)))
	g := register(t, zk.Registrar(addrs, root, zk.SessionTimeout(time.Minute)), self)
	stays.await(self.Addr)
	if err := proxy[0].Hang(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := g.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "may stay") {
		t.Errorf("Close during an outage: %v", err)
	}
	if d := time.Since(start); d > discovery.DeregisterTimeout {
		t.Errorf("Close took %v", d)
	}
	if owner(t, conn, root+"/"+self.Addr) == 0 {
		t.Fatal("it is gone already")
	}
	proxy[0].Break() // so what was asked is never answered
	if err := proxy[0].Heal(); err != nil {
		t.Fatal(err)
	}
	stays.await()
}

// counted counts the calls of Register.
type counted struct {
	discovery.Registrar
	calls atomic.Int32
}

func (c *counted) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	c.calls.Add(1)
	return c.Registrar.Register(ctx, e, registered)
}

// A long outage ends the session of a registration, and nobody can tell the ensemble.
func TestCloseInALongOutageSaysThatTheEntryMayStay(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	proxy, addrs := proxies(t, list[0])
	c := &counted{Registrar: zk.Registrar(addrs, root, zk.SessionTimeout(time.Minute))}
	g := register(t, c, self)
	registered(t, g)
	proxy[0].Cut()
	poll(t, "another Register", func() bool { return c.calls.Load() > 1 })
	if err := g.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "may stay") {
		t.Errorf("Close during an outage: %v", err)
	}
	if owner(t, conn, root+"/"+self.Addr) == 0 {
		t.Error("it is gone: the test shows nothing")
	}
}

func TestProcessThatDiesDisappears(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	proxy, addrs := proxies(t, list[0])
	w := begin(t, zk.Watcher(list, root))
	register(t, zk.Registrar(addrs, root, zk.SessionTimeout(2*time.Second)), self)
	w.await(self.Addr)
	proxy[0].Cut()
	start := time.Now()
	w.await()
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestACLDecidesWhoMayChangeAnEntry(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	alice := zk.WithCredentials(discovery.NewSecret("alice:secret"))
	for access, want := range map[zk.ACL][]string{
		zk.ACLOpen:           {"world"},
		zk.ACLCreator:        {"digest"},
		zk.ACLCreatorAllRead: {"digest", "world"},
	} {
		root := newRoot(t, conn)
		create(t, conn, root, "")
		register(t, zk.Registrar(list, root+"/a", alice, zk.WithACL(access)), self)
		for _, node := range []string{root + "/a", root + "/a/" + self.Addr} {
			owner := admin(t, list)
			if err := owner.AddAuth("digest", []byte("alice:secret")); err != nil {
				t.Fatal(err)
			}
			acl, _, err := owner.GetACL(node)
			if err != nil {
				t.Fatal(err)
			}
			var schemes []string
			for _, a := range acl {
				schemes = append(schemes, a.Scheme)
				wantAll := a.Scheme == "digest" || access == zk.ACLOpen
				if all := a.Perms == client.PermAll; all != wantAll {
					t.Errorf("%s, %s: %+v", access, node, a)
				}
			}
			slices.Sort(schemes)
			if !slices.Equal(schemes, want) {
				t.Errorf("%s, %s: %v", access, node, schemes)
			}
		}
		w := begin(t, zk.Watcher(list, root+"/a", alice))
		w.await(self.Addr)
		w.stop()
		if access == zk.ACLCreator {
			// So that the nodes can be removed.
			if err := conn.AddAuth("digest", []byte("alice:secret")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestMissingPermissionToRegisterIsAnErrorAtOnce(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	if _, err := conn.Create(root, nil, 0, client.WorldACL(client.PermRead|client.PermDelete)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := zk.Registrar(list, root).Register(t.Context(), self, func() {})
	if !errors.Is(err, client.ErrNoAuth) || time.Since(start) > 5*time.Second {
		t.Errorf("Register ended with %v after %v", err, time.Since(start))
	}
}

func TestRegistrarIsBackAfterALongOutage(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	proxy, addrs := proxies(t, list[0])
	g := register(t, zk.Registrar(addrs, root, zk.SessionTimeout(2*time.Second)), self)
	w := begin(t, zk.Watcher(list, root))
	w.await(self.Addr)
	proxy[0].Cut()
	w.await()
	poll(t, "the loss to be reported", func() bool { p, _ := g.State(); return p == discovery.StateLost })
	if _, err := g.State(); !strings.Contains(err.Error(), addrs[0]) {
		t.Errorf("the error is %v", err)
	}
	if err := proxy[0].Heal(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	w.await(self.Addr)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

// own returns a registrar with a session of its own, as in another process.
func own(list []string, root string, i int) discovery.Registrar {
	return zk.Registrar(list, root, zk.SessionTimeout(time.Duration(20+i)*time.Second))
}

func TestNodeChangesHandsOnceWhenANewerProcessStartsAndOnceWhenItEnds(t *testing.T) {
	list := servers(t)
	conn := admin(t, list)
	root := newRoot(t, conn)
	node := root + "/" + self.Addr
	all := make([]*discovery.Registration, 3)
	for i := range all {
		all[i] = register(t, own(list, root, i), self)
	}
	conflict := func(g *discovery.Registration) bool {
		state, err := g.State()
		return state == discovery.StateLost && errors.Is(err, discovery.ErrConflict)
	}
	poll(t, "the older ones to report a conflict", func() bool { return conflict(all[0]) && conflict(all[1]) })
	newest := owner(t, conn, node)
	_, stat, _, err := conn.ExistsW(node)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // longer than a pause between two attempts
		time.Sleep(10 * time.Millisecond)
		if now := owner(t, conn, node); now != newest {
			t.Fatalf("it went from session 0x%x to 0x%x", newest, now)
		}
	}
	if err := all[2].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	poll(t, "it to be back", func() bool { return owner(t, conn, node) != 0 })
	t.Logf("it was back after %v", time.Since(start))
	poll(t, "one of the others to have it", func() bool {
		first, _ := all[0].State()
		second, _ := all[1].State()
		return (first == discovery.StateRegistered) != (second == discovery.StateRegistered)
	})
	_, later, err := conn.Exists(node)
	if err != nil {
		t.Fatal(err)
	}
	if later.Version != 0 || later.Czxid <= stat.Czxid {
		t.Errorf("it was made at %d and then at %d, version %d", stat.Czxid, later.Czxid, later.Version)
	}
	if conflict(all[0]) == conflict(all[1]) {
		t.Error("not exactly one of the others waits")
	}
}
