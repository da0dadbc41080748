package consul_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// states are the states that a registration has entered, with the times.
type states struct {
	mu  sync.Mutex
	all []discovery.State
	at  []time.Time
	err []error
}

func (s *states) change(state discovery.State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.at, s.err = append(s.all, state), append(s.at, time.Now()), append(s.err, err)
}

// lost does harm until the registration has said since start that it is lost,
// and returns after which time, and why.
func (s *states) lost(t *testing.T, start time.Time, harm func() error) (after time.Duration, why error) {
	t.Helper()
	eventually(t, "a registration that says it is lost", func() bool {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range s.all {
			if s.all[i] == discovery.StateLost && s.at[i].After(start) {
				after, why = s.at[i].Sub(start), s.err[i]
				return true
			}
		}
		return false
	})
	return after, why
}

// registerAndFollow registers addr at the agent, and waits until it is registered.
func registerAndFollow(t *testing.T, r discovery.Registrar) (*discovery.Registration, *states) {
	t.Helper()
	s := &states{}
	g, err := discovery.Register(r, discovery.Endpoint{Addr: addr}, discovery.OnChange(s.change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	wait(t, g)
	eventually(t, "what is told of that", func() bool { // Wait may be faster
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.all) > 0
	})
	return g, s
}

func wait(t *testing.T, g *discovery.Registration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := g.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestRegistrationWhoseEntryIsGoneFromTheCatalogSaysSoWithinItsTTLAndPutsItBack is about
// operators again. An agent does not know what they remove from the catalog,
// and puts it back after a minute at the earliest.
func TestRegistrationWhoseEntryIsGoneFromTheCatalogSaysSoWithinItsTTLAndPutsItBack(t *testing.T) {
	const ttl = 4 * time.Second
	c := startConsul(t, "-dev")
	c.ready()
	db := raw(t, c.addr)
	const id = "echo-" + addr
	g, s := registerAndFollow(t, consul.Registrar([]string{c.addr}, "echo", consul.TTL(ttl)))
	f := discoverytest.Follow(t, consul.Watcher([]string{c.addr}, "echo"))
	f.Await(addr)
	for _, harm := range []struct {
		name string
		do   func() error
	}{
		{"the instance", func() error {
			_, err := db.Catalog().Deregister(&api.CatalogDeregistration{Node: "test", ServiceID: id}, nil)
			return err
		}},
		{"its check", func() error {
			_, err := db.Catalog().Deregister(&api.CatalogDeregistration{Node: "test", CheckID: "service:" + id}, nil)
			return err
		}},
		{"the node with all instances", func() error {
			_, err := db.Catalog().Deregister(&api.CatalogDeregistration{Node: "test"}, nil)
			return err
		}},
	} {
		start := time.Now()
		after, why := s.lost(t, start, harm.do) // again and again, for agents that have just started put it back by themselves
		t.Logf("removed %s: said after %v: %v", harm.name, after, why)
		if after > ttl {
			t.Errorf("removed %s: said after %v, with a TTL of %v", harm.name, after, ttl)
		}
		wait(t, g)
		f.Await(addr)
		eventually(t, "the catalog has its check again", func() bool {
			checks, _, err := db.Health().Checks("echo", nil)
			return err == nil && len(checks) == 1
		})
	}
}

func TestRegistrationThatIsCutOffSaysSoWithinItsTTL(t *testing.T) {
	const ttl = 4 * time.Second
	for name, harm := range map[string]func(*discoverytest.Proxy) error{
		"cut":    func(p *discoverytest.Proxy) error { p.Cut(); return nil },
		"silent": func(p *discoverytest.Proxy) error { return p.Hang() },
	} {
		t.Run(name, func(t *testing.T) {
			agent := agent(t)
			p := plugintest.Proxy(t, agent)
			g, s := registerAndFollow(t, consul.Registrar([]string{p.Addr()}, newService(), consul.TTL(ttl)))
			start := time.Now()
			if err := harm(p); err != nil {
				t.Fatal(err)
			}
			if after, why := s.lost(t, start, func() error { return nil }); after > ttl {
				t.Errorf("said after %v, with a TTL of %v: %v", after, ttl, why)
			}
			if err := p.Heal(); err != nil {
				t.Fatal(err)
			}
			wait(t, g)
		})
	}
}

// TestEntryIsNotRegisteredBeforeTheServersHaveIt has an agent that is alone.
func TestEntryIsNotRegisteredBeforeTheServersHaveIt(t *testing.T) {
	c := startConsul(t, "-server", "-bootstrap-expect=3", "-data-dir="+t.TempDir())
	eventually(t, "an agent", func() bool { _, err := raw(t, c.addr).Agent().Services(); return err == nil })
	g, err := discovery.Register(consul.Registrar([]string{c.addr}, "echo", consul.Timeout(time.Second)), discovery.Endpoint{Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a leader, Wait returned %v", err)
	}
}
