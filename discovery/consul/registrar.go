package consul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// Registrar returns a registrar of servers as instances of a service. Its
// parameters are those of [Watcher], but for a single agent, the one on the same
// machine: Consul marks the instances of an agent that dies as critical. The
// token needs permission to write and to read the service. An instance that
// somebody deregisters or changes is put back.
//
// When a program dies, its instance becomes critical after the TTL, and is then
// no server for a watcher. The agent removes the instance after a further
// minute at the earliest, as [DeregisterAfter] says.
func Registrar(agents []string, service string, opts ...Option) discovery.Registrar {
	return &registrar{newConfig(agents, service, opts)}
}

type registrar struct{ *config }

// Validate reports every mistake in the arguments and options.
func (r *registrar) Validate() error {
	var errs []error
	if len(r.agents) > 1 {
		errs = append(errs, errors.New("a registrar has one agent, not several"))
	}
	if r.datacenter != "" {
		errs = append(errs, errors.New("a registrar has no datacenter but its agent's"))
	}
	return r.validate(errs...)
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
	c, err := newClient(r.config, r.agents[0])
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	defer c.close()
	g := &registration{client: c, service: service, registered: registered}
	err = discovery.Retry(ctx, g.hold)
	if ctx.Err() == nil {
		return fmt.Errorf("consul: registering %s at %s: %w", service.ID, r.agents[0], err)
	}
	if err := g.deregister(ctx); err != nil {
		return fmt.Errorf("consul: %s may stay for up to %v: removing it at %s: %w", service.ID, r.ttl, r.agents[0], err)
	}
	return ctx.Err()
}

// instance returns e as an instance of the service.
func (r *registrar) instance(e discovery.Endpoint) (*api.AgentServiceRegistration, error) {
	s, err := format.NewConsulService(r.service, e)
	if err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	return &api.AgentServiceRegistration{
		ID: s.ID, Name: s.Name, Address: s.Address, Port: s.Port, Meta: s.Meta, Namespace: r.namespace,
		Tags:    append(s.Tags, r.tags...),
		Weights: &api.AgentWeights{Passing: s.Weights.Passing, Warning: s.Weights.Warning},
		Check: &api.AgentServiceCheck{
			CheckID: "service:" + s.ID,
			TTL:     r.ttl.String(),
			Status:  api.HealthPassing, // a new check is critical by default
			// For a crash: Register itself deregisters the instance.
			DeregisterCriticalServiceAfter: r.deregisterAfter.String(),
		},
	}, nil
}

// registration is one instance.
type registration struct {
	*client
	service *api.AgentServiceRegistration
	tried   bool // the agent may have the instance

	registered func()
}

// hold registers the instance, then keeps its check passing and watches it
// until either fails.
func (g *registration) hold(ctx context.Context, healthy func()) error {
	if err := g.register(ctx); err != nil {
		return err
	}
	g.registered()
	healthy()
	return wait.First(ctx, g.keepPassing, g.watchInstance)
}

// register registers or updates the instance. The end of ctx does not cancel
// the request at once, because the agent could then carry it out after the
// deregistration that follows. The request has half of that time to complete.
func (g *registration) register(ctx context.Context) error {
	g.tried = true
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	end := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(discovery.DeregisterTimeout/2, cancel)
		context.AfterFunc(finish, func() { late.Stop() })
	})
	defer end()
	return g.call(finish, func(ctx context.Context) error {
		return g.Agent().ServiceRegisterOpts(g.service, api.ServiceRegisterOpts{}.WithContext(ctx))
	})
}

// keepPassing updates the check four times per TTL, so that one lost request
// does no harm.
func (g *registration) keepPassing(ctx context.Context) error {
	tick := time.NewTicker(g.config.ttl / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := g.call(ctx, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeoutCause(ctx, g.config.ttl/4, errTimeout)
			defer cancel()
			// The output is always the same: a new one would be written to the servers.
			return classify(ctx, g.Agent().UpdateTTLOpts(g.service.Check.CheckID, "", api.HealthPassing, g.options(ctx)))
		})
		if err != nil { // status 404 if the agent has lost the instance, or any other
			return err
		}
	}
}

// watchInstance returns an error when the agent's instance differs from the
// registered one. The agent answers when it changes, or after the wait.
func (g *registration) watchInstance(ctx context.Context) error {
	rate := &limiter{interval: time.Second, burst: 5} // for agents that do not wait
	hash := ""
	for {
		if err := rate.wait(ctx); err != nil {
			return err
		}
		now, meta, err := g.query(ctx, hash)
		if err != nil { // status 404 if the agent has lost the instance, or any other
			return err
		}
		if !g.matches(now) {
			return errors.New("the instance was changed")
		}
		hash = meta.LastContentHash
	}
}

// query returns the instance when its hash is another one than the given one.
func (g *registration) query(ctx context.Context, hash string) (*api.AgentService, *api.QueryMeta, error) {
	limit, options := g.config.timeout, g.options(ctx)
	if hash != "" {
		options.WaitHash, options.WaitTime = hash, g.config.wait
		limit += g.config.wait + g.config.wait/16
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	now, meta, err := g.Agent().Service(g.service.ID, options.WithContext(ctx))
	return now, meta, classify(ctx, err)
}

// matches reports whether now is the registered instance, in what matters to a
// watcher.
func (g *registration) matches(now *api.AgentService) bool {
	s := g.service
	return now.Service == s.Name && now.Address == s.Address && now.Port == s.Port && now.Weights == *s.Weights &&
		slices.Equal(now.Tags, s.Tags) && maps.Equal(now.Meta, s.Meta)
}

func (g *registration) options(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{Namespace: g.config.namespace}).WithContext(ctx)
}

// deregister removes the instance. It succeeds if the agent no longer has it.
func (g *registration) deregister(ctx context.Context) error {
	if !g.tried {
		return nil
	}
	return discovery.Deregister(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, discovery.DeregisterTimeout/2, errTimeout)
		defer cancel()
		err := classify(ctx, g.Agent().ServiceDeregisterOpts(g.service.ID, g.options(ctx)))
		if status, ok := errors.AsType[api.StatusError](err); ok && (status.Code == http.StatusNotFound || strings.HasPrefix(status.Body, "Unknown service")) {
			return nil // old agents answer with status 500
		}
		return err
	})
}
