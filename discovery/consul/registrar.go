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

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// Registrar registers servers as instances of a service with an agent, the one
// on the same machine: the instances of an agent that dies are critical. Its
// parameters are those of [Watcher], but for a single agent. The token needs
// to write the service and to read it: an instance that is deregistered or
// changed is put back.
//
// An instance whose program died is critical, and so watched no more, within
// the TTL; the agent removes it after another minute at the earliest, as
// [DeregisterAfter] says.
func Registrar(agent, service string, opts ...Option) discovery.Registrar {
	return &registrar{newConfig(strings.Split(agent, ","), service, opts)}
}

type registrar struct{ config }

// Validate reports every mistake in what the registrar was made of.
func (r *registrar) Validate() error {
	if err := r.validate(); err != nil {
		return err
	}
	switch {
	case len(r.agents) > 1:
		return errors.New("consul: an instance is registered with one agent, not with several")
	case r.datacenter != "":
		return errors.New("consul: an instance is registered in the datacenter of its agent, and in no other")
	case r.passing:
		return errors.New("consul: whether instances that warn are left out is a question of watching")
	}
	return nil
}

// Register implements [discovery.Registrar].
func (r *registrar) Register(ctx context.Context, e core.Endpoint) error {
	if err := r.Validate(); err != nil {
		return err
	}
	service, err := r.instance(e)
	if err != nil {
		return err
	}
	c, err := dial(&r.config, r.agents[0])
	if err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	defer c.close()
	k := &keeper{client: c, service: service}
	err = discovery.Persist(ctx, k.keep)
	if ctx.Err() == nil {
		return fmt.Errorf("consul: registering %s at %s: %w", service.ID, r.agents[0], err)
	}
	if err := k.deregister(ctx); err != nil {
		return fmt.Errorf("consul: %s may stay for up to %v: removing it at %s: %w", service.ID, r.ttl, r.agents[0], err)
	}
	return ctx.Err()
}

// instance is e as Consul keeps it.
func (r *registrar) instance(e core.Endpoint) (*api.AgentServiceRegistration, error) {
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
			Status:  api.HealthPassing, // else it is critical at first, and each time it is put back
			// After a crash. The instance itself deregisters when it ends.
			DeregisterCriticalServiceAfter: r.reap.String(),
		},
	}, nil
}

// keeper keeps one instance.
type keeper struct {
	*client
	service *api.AgentServiceRegistration
	tried   bool // to register: there may be something to remove
}

// keep registers the instance, and then keeps it passing and looks after it,
// until either fails.
func (k *keeper) keep(ctx context.Context, well func()) error {
	if err := k.register(ctx); err != nil {
		return err
	}
	discovery.Confirm(ctx)
	well()
	ctx, cancel := context.WithCancelCause(ctx)
	looked := make(chan struct{})
	go func() { // ends with the context; waited for below
		defer close(looked)
		cancel(k.guard(ctx))
	}()
	cancel(k.pass(ctx))
	<-looked
	return context.Cause(ctx)
}

// register registers, or changes, the instance. It is not broken off where it
// may do so after the removal that follows: it has half of the time for that.
func (k *keeper) register(ctx context.Context) error {
	k.tried = true
	finish, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	end := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(discovery.DeregisterTimeout/2, cancel)
		context.AfterFunc(finish, func() { late.Stop() })
	})
	defer end()
	return k.ask(finish, func(ctx context.Context) error {
		return k.Agent().ServiceRegisterOpts(k.service, api.ServiceRegisterOpts{}.WithContext(ctx))
	})
}

// pass tells the agent that the program is alive, twice as often as it has to,
// so that one loss does no harm.
func (k *keeper) pass(ctx context.Context) error {
	tick := time.NewTicker(k.config.ttl / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		err := k.ask(ctx, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeoutCause(ctx, k.config.ttl/4, errSlow)
			defer cancel()
			// Always the same text: a new one would be written by the servers.
			return judge(ctx, k.Agent().UpdateTTLOpts(k.service.Check.CheckID, "", api.HealthPassing, k.options(ctx)))
		})
		if err != nil { // 404, when the agent has lost it, or any other
			return err
		}
	}
}

// guard waits until the instance is not what was registered any more. Without
// a change the agent answers when the wait is over.
func (k *keeper) guard(ctx context.Context) error {
	pace := &pacer{gap: time.Second, burst: 5} // there may be agents that do not wait
	hash := ""
	for {
		if err := pace.wait(ctx); err != nil {
			return err
		}
		now, meta, err := k.look(ctx, hash)
		if err != nil { // 404, when it is gone, or any other
			return err
		}
		if !k.is(now) {
			return errors.New("somebody has changed the instance")
		}
		hash = meta.LastContentHash
	}
}

// look returns the instance, with a hash once it has another one.
func (k *keeper) look(ctx context.Context, hash string) (*api.AgentService, *api.QueryMeta, error) {
	limit, options := k.config.timeout, k.options(ctx)
	if hash != "" {
		options.WaitHash, options.WaitTime = hash, k.config.wait
		limit += k.config.wait + k.config.wait/16
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	now, meta, err := k.Agent().Service(k.service.ID, options.WithContext(ctx))
	return now, meta, judge(ctx, err)
}

// is tells whether now is what was registered, as far as it matters to a
// watcher.
func (k *keeper) is(now *api.AgentService) bool {
	s := k.service
	return now.Service == s.Name && now.Address == s.Address && now.Port == s.Port && now.Weights == *s.Weights &&
		slices.Equal(now.Tags, s.Tags) && maps.Equal(now.Meta, s.Meta)
}

func (k *keeper) options(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{Namespace: k.config.namespace}).WithContext(ctx)
}

// deregister removes the instance, which may be gone already.
func (k *keeper) deregister(ctx context.Context) error {
	if !k.tried {
		return nil
	}
	return discovery.Deregister(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, discovery.DeregisterTimeout/2, errSlow)
		defer cancel()
		err := judge(ctx, k.Agent().ServiceDeregisterOpts(k.service.ID, k.options(ctx)))
		if status, ok := errors.AsType[api.StatusError](err); ok && (status.Code == http.StatusNotFound || strings.HasPrefix(status.Body, "Unknown service")) {
			return nil // old agents answer 500
		}
		return err
	})
}
