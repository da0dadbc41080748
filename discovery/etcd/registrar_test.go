package etcd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

const addr = "10.0.0.1:80"

// register keeps addr registered until the end of the test, and waits until it
// is.
func register(t *testing.T, r discovery.Registrar, opts ...discovery.RegisterOption) *discovery.Registration {
	t.Helper()
	g, err := discovery.Register(r, discovery.Endpoint{Addr: addr}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := g.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return g
}

// kv returns what etcd has at key, or nil.
func kv(t *testing.T, db *clientv3.Client, key string) *mvccpb.KeyValue {
	t.Helper()
	resp, err := db.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return nil
	}
	return resp.Kvs[0]
}

func TestRegisteredServerIsWatchedAndGoneOnceDeregistered(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.Await()
	g := register(t, etcd.Registrar(all, prefix))
	f.Await(addr)
	lease := clientv3.LeaseID(kv(t, db, prefix+addr).Lease)
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if kv(t, db, prefix+addr) != nil {
		t.Error("the key is there after Close")
	}
	f.Await()
	ttl, err := db.TimeToLive(t.Context(), lease)
	if err != nil || ttl.TTL >= 0 {
		t.Errorf("the lease is there after Close: %v, %v", ttl, err)
	}
}

// TestKeyThatIsDeletedOrOverwrittenIsPutBack does what operators and their
// scripts do.
func TestKeyThatIsDeletedOrOverwrittenIsPutBack(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	register(t, etcd.Registrar(all, prefix))
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.Await(addr)
	value := string(kv(t, db, prefix+addr).Value)
	for _, c := range []struct {
		name string
		harm func()
	}{
		{"deleted", func() { remove(t, db, prefix+addr) }},
		{"overwritten", func() { put(t, db, prefix+addr, "nonsense") }},
		{"taken off its lease", func() { put(t, db, prefix+addr, value) }},
		{"deleted again", func() { remove(t, db, prefix+addr) }},
	} {
		c.harm()
		late := time.After(timeout)
		for {
			now := kv(t, db, prefix+addr)
			if now != nil && now.Lease != 0 && string(now.Value) == value {
				break
			}
			select {
			case <-late:
				t.Fatalf("%s: it is not back", c.name)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	f.Await(addr)
}

func TestLostLeaseIsReplaced(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	register(t, etcd.Registrar(all, prefix))
	before := kv(t, db, prefix+addr)
	if _, err := db.Revoke(t.Context(), clientv3.LeaseID(before.Lease)); err != nil {
		t.Fatal(err)
	}
	late := time.After(timeout)
	for {
		if now := kv(t, db, prefix+addr); now != nil && now.Lease != before.Lease && now.Lease != 0 {
			return
		}
		select {
		case <-late:
			t.Fatal("it is not back")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestTwoProgramsThatRegisterOneServerDoNotFight is a restart without a gap, in
// which each program sees what the other writes.
func TestTwoProgramsThatRegisterOneServerDoNotFight(t *testing.T) {
	all := servers(t)
	db, prefix := raw(t, all), newPrefix()
	first := register(t, etcd.Registrar(all, prefix))
	second := register(t, etcd.Registrar(all, prefix, etcd.Timeout(4*time.Second))) // a client of its own
	version := kv(t, db, prefix+addr).Version
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if now := kv(t, db, prefix+addr); now == nil || now.Version != version {
		t.Errorf("the end of the first has changed the key from version %d to %v", version, now)
	}
	third := register(t, etcd.Registrar(all, prefix))
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := third.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if kv(t, db, prefix+addr) != nil {
		t.Error("the key is there after the last has gone")
	}
}

// TestCrashedProgramVanishesWithinItsTTLAndAReturnIsSeen cuts a registrar off,
// which is the same to etcd as a crash, and connects it again.
func TestCrashedProgramVanishesWithinItsTTLAndAReturnIsSeen(t *testing.T) {
	all := servers(t)
	p := plugintest.Proxy(t, all[0])
	prefix := newPrefix()
	const ttl = 2 * time.Second
	register(t, etcd.Registrar([]string{p.Addr()}, prefix, etcd.TTL(ttl)))
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.Await(addr)
	p.Cut()
	start := time.Now()
	f.Await()
	// etcd looks twice a second, and renews leases by an election timeout when
	// its leader changes.
	if d := time.Since(start); d > ttl+2*time.Second {
		t.Errorf("gone after %v, with a TTL of %v", d, ttl)
	}
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	f.Await(addr)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("back %v after the registry was", d)
	}
}

// TestRegistrationOutlivesAShortCut checks that the key and the lease stay, so
// that no watcher notices the cut.
func TestRegistrationOutlivesAShortCut(t *testing.T) {
	all := servers(t)
	db, prefix, p := raw(t, all), newPrefix(), plugintest.Proxy(t, all[0])
	register(t, etcd.Registrar([]string{p.Addr()}, prefix))
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.Await(addr)
	before := kv(t, db, prefix+addr)
	p.Break()
	late := time.After(timeout)
	for {
		now := kv(t, db, prefix+addr)
		if now == nil || now.Lease != before.Lease {
			t.Fatalf("the key changed from %v to %v", before, now)
		}
		if now.Version > before.Version {
			break // it was put again
		}
		select {
		case <-late:
			t.Fatal("it is not looked after any more")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

func TestRegistrationSurvivesTheWipeOfTheRegistry(t *testing.T) {
	c := startCluster(t, 1)
	register(t, etcd.Registrar(c.addrs(), "/x/"))
	f := discoverytest.Follow(t, etcd.Watcher(c.addrs(), "/x/"))
	f.Await(addr)
	m := c.members[0]
	m.kill()
	c.wipe(m)
	c.start(m)
	c.ready()
	start := time.Now()
	for kv(t, raw(t, c.addrs()), "/x/"+addr) == nil {
		if time.Since(start) > 5*time.Second {
			t.Fatal("it is not back after 5 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.Await(addr)
}

// TestRegistrationThatIsBackAfterAnOutageStays has an outage that is longer than the TTL,
// after which etcd still has the lease: it grants all anew when it starts.
func TestRegistrationThatIsBackAfterAnOutageStays(t *testing.T) {
	const ttl = 4 * time.Second
	c := startCluster(t, 1)
	states := make(chan discovery.State, 1000)
	g := register(t, etcd.Registrar(c.addrs(), "/x/", etcd.TTL(ttl)), discovery.OnChange(func(s discovery.State, _ error) { states <- s }))
	m := c.members[0]
	m.kill()
	_ = awaitState(t, g, discovery.StateLost)
	c.start(m)
	late, stays := time.After(timeout), (<-chan time.Time)(nil)
	for lost := 0; ; {
		select {
		case s := <-states:
			switch {
			case s == discovery.StateRegistered && lost > 0:
				stays = time.After(time.Second)
			case s == discovery.StateLost:
				lost++
			}
			if lost > 1 {
				t.Fatal("it is back, and lost again")
			}
		case <-stays:
			return
		case <-late:
			t.Fatalf("it is not back after %v", timeout)
		}
	}
}

// TestHungServerCostsNoRegistration has each server of three fall silent in
// turn, the one in use among them: another is asked before the lease ends.
func TestHungServerCostsNoRegistration(t *testing.T) {
	const ttl = 4 * time.Second
	all := servers(t)
	prefix := newPrefix()
	proxies := make([]*discoverytest.Proxy, 3)
	addrs := make([]string, 3)
	for i := range proxies {
		proxies[i] = plugintest.Proxy(t, all[i%len(all)])
		addrs[i] = proxies[i].Addr()
	}
	register(t, etcd.Registrar(addrs, prefix, etcd.TTL(ttl)))
	f := discoverytest.Follow(t, etcd.Watcher(all, prefix))
	f.Await(addr)
	for i, p := range proxies {
		if err := p.Hang(); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) < ttl+ttl/2; time.Sleep(100 * time.Millisecond) {
			if n := f.Count(); n != 1 {
				t.Fatalf("%d reports %v after server %d fell silent, want 1", n, time.Since(start), i+1)
			}
		}
		if err := p.Heal(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseWithoutTheRegistryIsBoundedAndReturnsAnError(t *testing.T) {
	all := servers(t)
	p := plugintest.Proxy(t, all[0])
	g := register(t, etcd.Registrar([]string{p.Addr()}, newPrefix()))
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := g.Close(t.Context())
	if d := time.Since(start); d > discovery.DeregisterTimeout+500*time.Millisecond {
		t.Errorf("Close took %v", d)
	}
	if err == nil || !strings.Contains(err.Error(), "may stay") {
		t.Errorf("Close returned %v", err)
	}
}

func TestRegistrarReportsAtOnceWhatCannotSucceed(t *testing.T) {
	r := etcd.Registrar([]string{"127.0.0.1:1"}, "/x/")
	if err := r.Register(t.Context(), discovery.Endpoint{Addr: "nonsense"}, func() {}); err == nil {
		t.Error("an invalid address was registered")
	}
	c := startCluster(t, 1)
	auth(t, c)
	r = etcd.Registrar(c.addrs(), "/x/", etcd.WithCredentials(discovery.NewSecret("reader:secret")))
	if err := r.Register(t.Context(), discovery.Endpoint{Addr: addr}, func() {}); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("who may only read got %v", err)
	}
	g := register(t, etcd.Registrar(c.addrs(), "/x/", etcd.WithCredentials(discovery.NewSecret("writer:secret"))))
	if err := g.Close(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("who may write cannot deregister: %v", err)
	}
}

// TestRegistrationWhoseLeaseHasEndedSaysSoWithinItsTTL cuts a registrar off, and
// makes its server silent.
func TestRegistrationWhoseLeaseHasEndedSaysSoWithinItsTTL(t *testing.T) {
	all := servers(t)
	const ttl = 2 * time.Second
	for what, harm := range map[string]func(*discoverytest.Proxy) error{
		"cut":    func(p *discoverytest.Proxy) error { p.Cut(); return nil },
		"silent": (*discoverytest.Proxy).Hang,
	} {
		p := plugintest.Proxy(t, all[0])
		g := register(t, etcd.Registrar([]string{p.Addr()}, newPrefix(), etcd.TTL(ttl)))
		start := time.Now()
		if err := harm(p); err != nil {
			t.Fatal(err)
		}
		err := awaitState(t, g, discovery.StateLost)
		if d := time.Since(start); d > ttl+time.Second {
			t.Errorf("%s: lost after %v, with a TTL of %v", what, d, ttl)
		}
		if !strings.Contains(err.Error(), "the lease has ended") {
			t.Errorf("%s: error %v", what, err)
		}
		if err := p.Heal(); err != nil {
			t.Fatal(err)
		}
		_ = awaitState(t, g, discovery.StateRegistered)
	}
}

// TestProcessThatWasFrozenReportsThatItsLeaseHasEnded stops a process, this
// test in a process of its own, until its key is gone.
func TestProcessThatWasFrozenReportsThatItsLeaseHasEnded(t *testing.T) {
	const variable = "MULTIPOOL_ETCD_TEST_FROZEN"
	if prefix := os.Getenv(variable); prefix != "" {
		_, err := discovery.Register(etcd.Registrar(servers(t), prefix, etcd.TTL(2*time.Second)), discovery.Endpoint{Addr: addr},
			discovery.OnChange(func(s discovery.State, err error) { fmt.Println("state", s, err) }))
		if err != nil {
			t.Fatal(err)
		}
		<-t.Context().Done() // never: it is killed
	}
	servers(t) // or else it is skipped, as the process would be
	prefix := newPrefix()
	process := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), variable+"="+prefix)
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	}()
	states := make(chan string, 100)
	go func() { // ends with the process
		defer close(states)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if state, ok := strings.CutPrefix(lines.Text(), "state "); ok {
				states <- state
			}
		}
	}()
	await := func(want string) {
		t.Helper()
		select {
		case state := <-states:
			if !strings.HasPrefix(state, want) {
				t.Fatalf("the next state is %q, want %q", state, want)
			}
		case <-time.After(timeout):
			t.Fatalf("no state follows, want %q", want)
		}
	}
	await("registered")
	f := discoverytest.Follow(t, etcd.Watcher(servers(t), prefix))
	f.Await(addr)
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.Await()
	if err := process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await("lost")
	await("registered")
	f.Await(addr)
}
