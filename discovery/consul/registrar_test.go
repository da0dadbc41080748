package consul_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

const addr = "10.0.0.1:80"

// register keeps addr registered until the end of the test, and waits until it
// is.
func register(t *testing.T, r discovery.Registrar) *discovery.Registration {
	t.Helper()
	g, err := discovery.Register(r, discovery.Endpoint{Addr: addr, Weight: 3, Zone: "a", Attrs: map[string]string{"k": "v", "tags": "x"}})
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

// registered returns what the agent has of the one instance of the tests.
func registered(t *testing.T, db *api.Client, service string) *api.AgentService {
	t.Helper()
	services, err := db.Agent().Services()
	if err != nil {
		t.Fatal(err)
	}
	return services[service+"-"+addr]
}

func TestRegisteredServerIsWatchedAndGoneOnceDeregistered(t *testing.T) {
	agent, service := agent(t), newService()
	var last discovery.Endpoint
	f := discoverytest.Follow(t, consul.Watcher([]string{agent}, service, consul.WithTag("blue")))
	f.Await()
	g := register(t, consul.Registrar([]string{agent}, service, consul.WithTag("blue")))
	f.Await(addr)
	ctx, cancel := context.WithCancel(t.Context())
	_ = consul.Watcher([]string{server(t)}, service).Watch(ctx, func(eps []discovery.Endpoint) {
		last = eps[0]
		cancel()
	})
	want := discovery.Endpoint{Addr: addr, Weight: 3, Zone: "a", Attrs: map[string]string{"k": "v", "tags": "x,blue"}}
	if !last.Equal(want) {
		t.Errorf("watched %v, want %v", last, want)
	}
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if registered(t, raw(t, agent), service) != nil {
		t.Error("the agent has it after Close")
	}
	f.Await()
}

// TestInstanceThatIsDeregisteredOrChangedIsPutBack is about operators and
// their scripts.
func TestInstanceThatIsDeregisteredOrChangedIsPutBack(t *testing.T) {
	agent, service := agent(t), newService()
	db := raw(t, agent)
	register(t, consul.Registrar([]string{agent}, service))
	f := discoverytest.Follow(t, consul.Watcher([]string{agent}, service))
	f.Await(addr)
	id := service + "-" + addr
	for name, harm := range map[string]func() error{
		"deregistered": func() error { return db.Agent().ServiceDeregister(id) },
		"changed": func() error {
			return db.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: service, Address: "10.0.0.9", Port: 90})
		},
		"without its check": func() error { return db.Agent().CheckDeregister("service:" + id) },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the return of what was "+name, func() bool {
			now := registered(t, db, service)
			checks, err := db.Agent().Checks()
			return err == nil && now != nil && now.Address == "10.0.0.1" && checks["service:"+id] != nil
		})
	}
	f.Await(addr)
}

func TestAgentThatLostAnInstanceGetsItAgain(t *testing.T) {
	c := startConsul(t, "-dev")
	c.ready()
	register(t, consul.Registrar([]string{c.addr}, "echo"))
	c.kill()
	c.start()
	c.ready()
	start := time.Now()
	f := discoverytest.Follow(t, consul.Watcher([]string{c.addr}, "echo"))
	f.Await(addr)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it was back after %v", d)
	}
}

// TestCrashedProgramVanishesWithinItsTTLAndAReturnIsSeen cuts a registrar off,
// which is the same to Consul as a crash, and connects it again.
func TestCrashedProgramVanishesWithinItsTTLAndAReturnIsSeen(t *testing.T) {
	agent, service := agent(t), newService()
	p := plugintest.Proxy(t, agent)
	const ttl = 2 * time.Second
	register(t, consul.Registrar([]string{p.Addr()}, service, consul.TTL(ttl)))
	f := discoverytest.Follow(t, consul.Watcher([]string{agent}, service))
	f.Await(addr)
	p.Cut()
	start := time.Now()
	f.Await()
	if d := time.Since(start); d > ttl+time.Second {
		t.Errorf("gone after %v, with a TTL of %v", d, ttl)
	}
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	f.Await(addr)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("back %v after the agent was", d)
	}
}

func TestRegistrationStaysPassingForManyTTLs(t *testing.T) {
	agent, service := agent(t), newService()
	register(t, consul.Registrar([]string{agent}, service, consul.TTL(2*time.Second), consul.Wait(time.Second)))
	f := discoverytest.Follow(t, consul.Watcher([]string{agent}, service))
	f.Await(addr)
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(100 * time.Millisecond) {
		if n := f.Count(); n != 1 {
			t.Fatalf("%d reports after %v, want 1", n, time.Since(start))
		}
	}
}

func TestCloseWithoutTheAgentIsBoundedAndReturnsAnError(t *testing.T) {
	agent, service := agent(t), newService()
	p := plugintest.Proxy(t, agent)
	g := register(t, consul.Registrar([]string{p.Addr()}, service))
	t.Cleanup(func() { _ = raw(t, agent).Agent().ServiceDeregister(service + "-" + addr) })
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

// TestRemovalIsFinalAlsoForARegistrationUnderWay closes registrations as they
// begin.
func TestRemovalIsFinalAlsoForARegistrationUnderWay(t *testing.T) {
	agent, service := agent(t), newService()
	r := consul.Registrar([]string{agent}, service)
	for i := range 30 {
		g, err := discovery.Register(r, discovery.Endpoint{Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) < time.Duration(i)*100*time.Microsecond; {
		}
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if now := registered(t, raw(t, agent), service); now != nil {
		t.Errorf("the agent has %v", now)
	}
}

func TestRegistrarReportsAtOnceWhatCannotSucceed(t *testing.T) {
	agent, service := agent(t), newService()
	if err := consul.Registrar([]string{agent}, service).Register(t.Context(), discovery.Endpoint{Addr: "nonsense"}, func() {}); err == nil {
		t.Error("an invalid address was registered")
	}
	if _, _, err := raw(t, agent).ACL().TokenReadSelf(nil); err != nil {
		return // there is no access control
	}
	r := consul.Registrar([]string{agent}, service, consul.WithCredentials(discovery.NewSecret("anonymous")))
	if err := r.Register(t.Context(), discovery.Endpoint{Addr: addr}, func() {}); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("who may not write got %v", err)
	}
}
