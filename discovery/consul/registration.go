package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// claim is what a registration knows from one call of Register to the next.
type claim struct {
	name     string // of the registration, which no other has
	number   int    // of the times that it has registered the instance
	held     bool   // it has had the instance
	reported bool   // and has reported that another registration has it
}

// notesOfCheck begin the notes of a check. The name of the registration
// follows, and the number.
const notesOfCheck = "multipool registration "

// registration is one instance.
type registration struct {
	*client // of its own, for what waits, and for all else when nothing waits
	agent   *shared
	catalog *shared
	service *api.AgentServiceRegistration
	claim

	tried      bool      // the agent may have the instance
	heard      time.Time // when the agent last heard of it, zero if this call has not registered it yet
	registered func()
}

var (
	errGone    = errors.New("the instance is gone")
	errChanged = errors.New("the instance was changed")
)

// hold registers the instance, then keeps its check passing and watches it
// until either fails.
func (g *registration) hold(ctx context.Context, healthy func()) error {
	return g.verdict(g.tryHold(ctx, healthy))
}

func (g *registration) tryHold(ctx context.Context, healthy func()) error {
	if g.held {
		if err := g.awaitTurn(ctx); err != nil {
			return err
		}
	}
	if err := g.register(ctx); err != nil {
		return err
	}
	if err := g.awaitCatalog(ctx); err != nil {
		return err
	}
	g.held, g.reported = true, false
	g.registered()
	healthy()
	return wait.First(ctx, g.keepPassing, g.watchInstance)
}

// verdict decides whether a failure is returned to the caller of Register, who
// believes that the instance is registered, or tried against in silence. It is
// returned before the TTL is over. An error that is permanent is returned at
// once.
func (g *registration) verdict(err error) error {
	const pause = time.Second // of Retry, at most
	if !g.heard.IsZero() && time.Until(g.latest()) < pause {
		return discovery.Permanent(err)
	}
	return err
}

// latest returns when it is time to say that the agent has not been heard, a
// little before it makes the check critical.
func (g *registration) latest() time.Time { return g.heard.Add(g.config.ttl - g.config.ttl/8) }

// inTime bounds a request by the TTL, as long as the caller of Register believes
// that the instance is registered.
func (g *registration) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if g.heard.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, g.latest(), errTimeout)
}

// register registers or updates the instance. The end of ctx does not cancel
// the request at once, because the agent could then carry it out after the
// deregistration that follows. The request has half of that time to complete.
func (g *registration) register(ctx context.Context) error {
	g.tried = true
	finish, cancel := g.inTime(context.WithoutCancel(ctx))
	defer cancel()
	end := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(discovery.DeregisterTimeout/2, cancel)
		context.AfterFunc(finish, func() { late.Stop() })
	})
	defer end()
	// An agent writes to the catalog only what differs from what it has written
	// before, and does not know what was removed there. A new note differs.
	g.number++
	g.service.Check.Notes = notesOfCheck + g.name + " " + strconv.Itoa(g.number)
	begin := time.Now()
	err := g.call(finish, func(ctx context.Context) error {
		return g.Agent().ServiceRegisterOpts(g.service, api.ServiceRegisterOpts{}.WithContext(ctx))
	})
	if err == nil {
		// A check that the agent knew keeps its state.
		err = g.update(finish, g.client)
	}
	if err == nil && !g.heard.IsZero() {
		g.heard = begin
	}
	return err
}

// update makes the check passing. The output is always the same: a new one
// would be written to the servers.
func (g *registration) update(ctx context.Context, c *client) error {
	return c.call(ctx, func(ctx context.Context) error {
		return c.Agent().UpdateTTLOpts(g.service.Check.CheckID, "", api.HealthPassing, g.options(ctx))
	})
}

// awaitCatalog waits until the servers have the instance, of which the agent
// tells them.
func (g *registration) awaitCatalog(ctx context.Context) error {
	ctx, cancel := g.inTime(ctx)
	defer cancel()
	return g.call(ctx, func(ctx context.Context) error {
		begin := time.Now()
		owner, node, err := g.look(ctx, g.client)
		if err == nil {
			err = owner.err()
		}
		if err != nil {
			return err
		}
		for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
			has, err := g.inCatalog(ctx, g.client, node)
			if err != nil {
				return err
			}
			if has {
				g.heard = begin
				return nil
			}
			if wait.For(ctx, pause) != nil {
				return errors.New("the agent has the instance, the servers do not")
			}
		}
	})
}

// keepPassing updates the check four times per TTL, so that one lost request
// does no harm, and looks after the instance.
func (g *registration) keepPassing(ctx context.Context) error {
	tick := time.NewTicker(g.config.ttl / 4)
	defer tick.Stop()
	for i := 1; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := g.pass(ctx, i%2 == 0); err != nil {
			return err
		}
	}
}

func (g *registration) pass(ctx context.Context, check bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.config.ttl/4, errTimeout)
	defer cancel()
	begin := time.Now()
	err := g.update(ctx, g.agent.client)
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusNotFound {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return err
	}
	if late := begin.Sub(g.heard); late > g.config.ttl {
		return discovery.Permanent(fmt.Errorf("%w: nothing was heard of the program for %v", errGone, late.Round(time.Millisecond)))
	}
	g.heard = begin
	if !check {
		return nil
	}
	owner, node, err := g.look(ctx, g.agent.client)
	switch {
	case err != nil:
		return err
	case owner != own:
		return owner.err()
	}
	// If the servers do not answer, nobody sees that the instance is not there.
	if has, err := g.inCatalog(ctx, g.catalog.client, node); err == nil && !has {
		return discovery.Permanent(fmt.Errorf("%w from the catalog", errGone))
	}
	return nil
}

// watchInstance returns an error when the agent's instance differs from the
// registered one. The agent answers when it changes, or after the wait.
func (g *registration) watchInstance(ctx context.Context) error {
	return g.follow(ctx, func(now *api.AgentService) error {
		if g.matches(now) {
			return nil
		}
		owner, _, err := g.look(ctx, g.client)
		if err == nil {
			err = owner.err()
		}
		if err == nil {
			err = errChanged
		}
		return err
	})
}

// follow passes each state of the agent's instance to take, until that returns
// an error.
func (g *registration) follow(ctx context.Context, take func(*api.AgentService) error) error {
	rate := &limiter{interval: time.Second, burst: 5} // for agents that do not wait
	hash := ""
	for {
		if err := rate.wait(ctx); err != nil {
			return err
		}
		now, meta, err := g.query(ctx, hash)
		if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusNotFound {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if err != nil {
			return err
		}
		if err := take(now); err != nil {
			return err
		}
		hash = meta.LastContentHash
	}
}

// query returns the instance when its hash is another one than the given one.
func (g *registration) query(ctx context.Context, hash string) (*api.AgentService, *api.QueryMeta, error) {
	limit, options := g.config.timeout, g.options(ctx)
	if hash != "" {
		options.WaitHash, options.WaitTime = hash, g.config.wait
		limit = g.config.longest()
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

// owner is who has the instance at the agent.
type owner int

const (
	nobody owner = iota // there is none, or its check is not a registration's
	own
	other  // another registration
	lapsed // another one whose check is critical: it may have crashed
)

func (o owner) err() error {
	switch o {
	case own:
		return nil
	case other, lapsed:
		return discovery.Permanent(discovery.ErrConflict)
	default:
		return errGone
	}
}

// look returns who has the instance at the agent, and the agent's node.
func (g *registration) look(ctx context.Context, c *client) (owner, string, error) {
	params := g.params()
	params.Set("format", "json")
	status, answer, err := c.do(ctx, http.MethodGet, "/v1/agent/health/service/id/"+g.service.ID, params, g.token, nil)
	if err != nil {
		return nobody, "", err
	}
	switch status {
	case http.StatusNotFound:
		return nobody, "", nil
	case http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable: // passing, warning, critical
	default:
		return nobody, "", classify(ctx, api.StatusError{Code: status, Body: string(answer)})
	}
	var instance struct {
		Checks []struct{ Node, CheckID, Status, Notes string }
	}
	if err := json.Unmarshal(answer, &instance); err != nil {
		return nobody, "", fmt.Errorf("the instance's health: %w", err)
	}
	for _, check := range instance.Checks {
		if check.CheckID != g.service.Check.CheckID {
			continue
		}
		text, ok := strings.CutPrefix(check.Notes, notesOfCheck)
		name, _, _ := strings.Cut(text, " ")
		switch {
		case ok && name == g.name:
			return own, check.Node, nil
		case ok && check.Status == api.HealthCritical:
			return lapsed, check.Node, nil
		case ok:
			return other, check.Node, nil
		}
	}
	return nobody, "", nil
}

// awaitTurn returns nil if no other registration has the instance. If one has,
// awaitTurn reports that once, and then waits for the other's end.
func (g *registration) awaitTurn(ctx context.Context) error {
	owner, err := g.lookInTime(ctx, g.client)
	switch {
	case err != nil:
		return err
	case owner == nobody || owner == own:
		return nil
	case !g.reported:
		return owner.err()
	}
	err = wait.First(ctx, g.awaitLapse, func(ctx context.Context) error {
		return g.follow(ctx, func(*api.AgentService) error { return nil })
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// awaitLapse returns errGone when the other registration has the instance no
// more, or has crashed.
func (g *registration) awaitLapse(ctx context.Context) error {
	was := other
	for {
		if err := wait.For(ctx, g.config.ttl/4); err != nil {
			return err
		}
		now, err := g.lookInTime(ctx, g.agent.client)
		switch {
		case err != nil:
			return err
		case now == nobody || now == own:
			return errGone
		case now == lapsed && was == lapsed: // and not one that is about to return
			return errGone
		}
		was = now
	}
}

func (g *registration) lookInTime(ctx context.Context, c *client) (owner, error) {
	ctx, cancel := g.inTime(ctx)
	defer cancel()
	owner, _, err := g.look(ctx, c)
	return owner, classify(ctx, err)
}

// inCatalog reports whether the servers have the instance's check, and so the
// instance. It returns true if the token does not let it know.
func (g *registration) inCatalog(ctx context.Context, c *client, node string) (bool, error) {
	// Consul's own client has fields that Consul before 1.9 refuses.
	type object map[string]any
	body, err := json.Marshal([]object{{"Check": object{"Verb": api.CheckGet, "Check": object{
		"Node": node, "CheckID": g.service.Check.CheckID,
	}}}})
	if err != nil {
		return false, err
	}
	status, answer, err := c.do(ctx, http.MethodPut, "/v1/txn", g.params(), g.token, body)
	if err == nil && status != http.StatusOK && status != http.StatusConflict {
		err = classify(ctx, api.StatusError{Code: status, Body: string(answer)})
	}
	if err != nil {
		return false, err
	}
	var result struct{ Errors []struct{ What string } }
	if err := json.Unmarshal(answer, &result); err != nil {
		return false, fmt.Errorf("the instance's check in the catalog: %w", err)
	}
	return len(result.Errors) == 0, nil
}

// options are those of a request through a shared client, which has no token.
func (g *registration) options(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{Namespace: g.config.namespace, Token: g.token}).WithContext(ctx)
}

func (g *registration) params() url.Values {
	params := url.Values{}
	if g.config.namespace != "" {
		params.Set("ns", g.config.namespace)
	}
	return params
}

// deregister removes the instance, unless another registration has it. It
// succeeds if the agent no longer has it.
func (g *registration) deregister(ctx context.Context) error {
	if !g.tried {
		return nil
	}
	return discovery.Deregister(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, discovery.DeregisterTimeout/2, errTimeout)
		defer cancel()
		owner, _, err := g.look(ctx, g.client)
		status, ok := errors.AsType[api.StatusError](err)
		switch {
		case err == nil && (owner == other || owner == lapsed):
			return nil
		case err != nil && (!ok || status.Code != http.StatusForbidden): // it may be another's
			return classify(ctx, err)
		}
		err = classify(ctx, g.Agent().ServiceDeregisterOpts(g.service.ID, g.options(ctx)))
		if status, ok := errors.AsType[api.StatusError](err); ok && (status.Code == http.StatusNotFound || strings.HasPrefix(status.Body, "Unknown service")) {
			return nil // old agents answer with status 500
		}
		return err
	})
}
