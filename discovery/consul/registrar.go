package consul

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/memo"
)

// Registrar returns a registrar of servers as instances of a service. Its
// parameters are those of [Watcher], but for a single agent, the one on the same
// machine: Consul marks the instances of an agent that dies as critical. The
// token needs permission to write and to read the service. An instance that
// somebody deregisters or changes, at the agent or in the catalog, is put back.
// The notes of its check name the registration that it belongs to. Register
// returns an error within the TTL when the agent does not answer any more, or
// the catalog no longer has the instance. Two registrations of one address know
// of each other if they have the same agent.
//
// When a program dies, its instance becomes critical after the TTL, and is then
// no server for a watcher. The agent removes the instance after a further
// minute at the earliest, as [DeregisterAfter] says.
//
// With [WithPrefix], the registrar puts keys into the key-value store instead, for
// programs that look there: see the package documentation. It may have several agents,
// and asks the next one when a request fails.
func Registrar(agents []string, service string, opts ...Option) discovery.Registrar {
	c := newConfig(agents, service, opts)
	if c.prefix != "" {
		return &keyRegistrar{config: c}
	}
	return &registrar{config: c}
}

type registrar struct {
	*config
	memo memo.Memo[claim]
}

// Validate reports every mistake in the arguments and options.
func (r *registrar) Validate() error {
	errs := []error{r.validateRegistrar()}
	if len(r.agents) > 1 {
		errs = append(errs, errors.New("a registrar has one agent, not several"))
	}
	return r.validate(errs...)
}

// validateRegistrar reports mistakes that concern registrars of both kinds.
func (c *config) validateRegistrar() error {
	if c.datacenter != "" {
		return errors.New("a registrar has no datacenter but its agent's")
	}
	return nil
}

// ValidateEndpoint reports what an instance of Consul cannot hold.
func (r *registrar) ValidateEndpoint(e discovery.Endpoint) error {
	_, err := r.instance(e)
	return err
}

// Register implements [discovery.Registrar].
func (r *registrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	if err := errors.Join(ctx.Err(), r.Validate()); err != nil {
		return err
	}
	service, err := r.instance(e)
	if err != nil {
		return err
	}
	c, err := newOwnClient(r.config, r.agents[0])
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	defer c.close()
	agent, err := share(r.config, r.agents[0], forAgent) //nolint:contextcheck // it outlives this context
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	defer agent.release()
	catalog, err := share(r.config, r.agents[0], forCatalog) //nolint:contextcheck // it outlives this context
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	defer catalog.release()
	g := &registration{
		client: c, agent: agent, catalog: catalog, service: service, registered: registered,
		claim: r.memo.Take(ctx, e.Addr),
	}
	if g.name == "" {
		g.name = rand.Text()
	}
	g.tried = g.held && !g.reported
	err = discovery.Retry(ctx, g.hold)
	if ctx.Err() == nil {
		g.reported = errors.Is(err, discovery.ErrConflict)
		r.memo.Leave(ctx, e.Addr, g.claim)
		return fmt.Errorf("consul: registering %s at %s: %w", service.ID, r.agents[0], err)
	}
	if err := g.deregister(ctx); err != nil {
		return fmt.Errorf("consul: %s may stay for up to %v: removing it at %s: %w", service.ID, r.ttl, r.agents[0], err)
	}
	return ctx.Err()
}

// instance returns e as an instance of the service.
func (r *registrar) instance(e discovery.Endpoint) (*api.AgentServiceRegistration, error) {
	_, value, err := r.format.Encode(r.service, e)
	var s format.ConsulService
	if err == nil {
		err = json.Unmarshal(value, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	var tagged map[string]api.ServiceAddress
	for name, a := range s.TaggedAddresses {
		if tagged == nil {
			tagged = make(map[string]api.ServiceAddress, len(s.TaggedAddresses))
		}
		tagged[name] = api.ServiceAddress{Address: a.Address, Port: a.Port}
	}
	return &api.AgentServiceRegistration{
		ID: s.ID, Name: s.Name, Address: s.Address, Port: s.Port, Meta: s.Meta, Namespace: r.namespace,
		Tags:            append(s.Tags, r.tags...),
		TaggedAddresses: tagged,
		Weights:         &api.AgentWeights{Passing: s.Weights.Passing, Warning: s.Weights.Warning},
		Check: &api.AgentServiceCheck{
			CheckID: "service:" + s.ID,
			TTL:     r.ttl.String(),
			Status:  api.HealthPassing, // a new check is critical by default
			// For a crash: Register itself deregisters the instance.
			DeregisterCriticalServiceAfter: r.deregisterAfter.String(),
		},
	}, nil
}
