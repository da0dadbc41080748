package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// keyClaim is what the registration of a key knows from one call of Register to the next.
type keyClaim struct {
	// session is the last one, empty before the first. With another one, a request of the
	// Register before that is still under way could put the key back after its removal.
	session  string
	held     bool // the registration has had the key
	reported bool // and has reported that another one has it
}

// keyRegistration is one key and its session.
type keyRegistration struct {
	*config
	keyClaim

	key   string
	value []byte
	at    int // number of the agent in use, past the end again the first

	own        *client // for what waits, and for all else when nothing waits
	servers    *shared // for the renewals of all registrations
	registered func()
	// lapse calls lapsed, which ends run, when the session has not been renewed for its
	// TTL. It is nil until the key is there.
	lapse  *time.Timer
	lapsed func()
}

var (
	// errSessionEnded is the cause of the end of a registration whose session has ended.
	errSessionEnded = discovery.Permanent(errors.New("the session has ended"))

	errFree   = errors.New("the key was deleted, released or overwritten")
	errNotYet = errors.New("the key was another session's, or is still under the lock delay of one that has ended")
)

// run keeps the key in Consul until ctx is done, Consul fails for long, or the key is
// lost.
func (g *keyRegistration) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.lapsed = func() { cancel(errSessionEnded) }
	var last error
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		agent := g.agent()
		err := fmt.Errorf("at %s: %w", agent, g.hold(ctx, agent, healthy))
		if ctx.Err() == nil {
			last = err
			g.at++ // another agent knows the session too
		}
		return err
	})
	if g.lapse != nil {
		g.lapse.Stop()
	}
	if errors.Is(context.Cause(ctx), errSessionEnded) {
		err = fmt.Errorf("%w: no renewal for %v", errSessionEnded, g.ttl)
		if last != nil {
			err = fmt.Errorf("%w: %w", err, last)
		}
	}
	return err
}

func (g *keyRegistration) agent() string { return g.agents[g.at%len(g.agents)] }

// hold takes the key, then renews its session and watches the key until either fails.
func (g *keyRegistration) hold(ctx context.Context, agent string, healthy func()) (err error) {
	if g.own, err = newOwnClient(g.config, agent); err != nil {
		return err
	}
	defer g.own.close()
	if g.servers, err = share(g.config, agent, forCatalog); err != nil { //nolint:contextcheck // it outlives this context
		return err
	}
	defer g.servers.release()
	if err := g.take(ctx, healthy); err != nil {
		return err
	}
	if err := g.renew(ctx); err != nil { // a session of an earlier try may be about to end
		return err
	}
	g.held, g.reported = true, false
	g.registered()
	healthy()
	return wait.First(ctx, g.keepAlive, func(ctx context.Context) error { return g.watchKey(ctx, func() {}) })
}

// take puts the key. The first time, it takes an existing key over; later, the key of
// another registration is a conflict. Once that has been reported, take waits until the
// key is free, and returns errNotYet.
func (g *keyRegistration) take(ctx context.Context, healthy func()) error {
	taken, err := g.put(ctx)
	if taken || err != nil {
		return err
	}
	if err := g.watchKey(ctx, healthy); !errors.Is(err, errFree) {
		return err
	}
	return errNotYet
}

// put puts the key with its session, or with a new one, unless the key is another's. That
// Consul takes the session proves that Consul still has it.
func (g *keyRegistration) put(ctx context.Context) (taken bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.requestTimeout(), errTimeout)
	defer cancel()
	for {
		if g.session == "" {
			if err := g.newSession(ctx); err != nil {
				return false, err
			}
		}
		taken, err := g.lock(ctx)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("invalid session %q", g.session)) {
			return taken, err
		}
		g.session = ""
		if g.lapse != nil { // the key was gone with the session
			return false, errSessionEnded
		}
	}
}

// lock puts the key, which the session then holds. A key that another session holds is
// replaced the first time, in one step, so that no watcher sees it missing.
func (g *keyRegistration) lock(ctx context.Context) (taken bool, err error) {
	if g.held {
		err = g.own.call(ctx, func(ctx context.Context) (err error) {
			pair := &api.KVPair{Key: g.key, Value: g.value, Session: g.session}
			taken, _, err = g.own.KV().Acquire(pair, (&api.WriteOptions{}).WithContext(ctx))
			return err
		})
		return taken, err
	}
	ops := api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVDelete, Key: g.key, Namespace: g.namespace}},
		{KV: &api.KVTxnOp{Verb: api.KVLock, Key: g.key, Value: g.value, Session: g.session, Namespace: g.namespace}},
	}
	err = g.own.call(ctx, func(ctx context.Context) error {
		ok, answer, _, err := g.own.Txn().Txn(ops, (&api.QueryOptions{}).WithContext(ctx))
		if err == nil && !ok {
			err = refusal(answer.Errors)
		}
		return err
	})
	return err == nil, err
}

// refusal returns why Consul has not carried a transaction out.
func refusal(reasons api.TxnErrors) error {
	if len(reasons) == 0 {
		return errors.New("the transaction was refused without a reason")
	}
	err := errors.New(reasons[0].What)
	if strings.Contains(reasons[0].What, "Permission denied") {
		return discovery.Permanent(err)
	}
	return err
}

// newSession makes a session. Nothing but its TTL ends it: with the check of the agent's
// node, the end of an agent would remove the servers of programs that go on, although they
// may renew the session through another agent. Without a lock delay, a program that was
// killed takes its key again as soon as it is back.
func (g *keyRegistration) newSession(ctx context.Context) error {
	var answer struct{ ID string }
	err := g.own.call(ctx, func(ctx context.Context) error {
		// Consul's own client leaves out a lock delay of zero, which then is 15 s.
		_, err := g.own.Raw().Write("/v1/session/create", map[string]any{
			"Name": "multipool registration of " + g.key, "TTL": g.ttl.String(), "Behavior": api.SessionBehaviorDelete,
			"LockDelay": "0s", "NodeChecks": []string{},
		}, &answer, (&api.WriteOptions{}).WithContext(ctx))
		return err
	})
	switch {
	case err != nil && strings.Contains(err.Error(), "Invalid Session TTL"):
		return discovery.Permanent(fmt.Errorf("creating a session: %w; Consul's least is session_ttl_min", err))
	case err != nil:
		return fmt.Errorf("creating a session: %w", err)
	case answer.ID == "":
		return errors.New("creating a session: the answer names none")
	}
	g.session = answer.ID
	return nil
}

// requestTimeout bounds a put and the renewal of a session. A session is renewed after a
// quarter of its TTL. The rest of the TTL is enough for a few more agents.
func (g *keyRegistration) requestTimeout() time.Duration { return min(g.timeout, g.ttl/6) }

// keepAlive renews the session four times per TTL.
func (g *keyRegistration) keepAlive(ctx context.Context) error {
	for {
		if err := wait.For(ctx, g.ttl/4); err != nil {
			return err
		}
		if err := g.renew(ctx); err != nil {
			return err
		}
	}
}

func (g *keyRegistration) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.requestTimeout(), errTimeout)
	defer cancel()
	begin := time.Now()
	var renewed *api.SessionEntry
	err := g.servers.call(ctx, func(ctx context.Context) (err error) {
		options := &api.WriteOptions{Namespace: g.namespace, Token: g.own.token}
		renewed, _, err = g.servers.Session().Renew(g.session, options.WithContext(ctx))
		return err
	})
	if err == nil && renewed == nil { // "404 Not Found"
		err = errSessionEnded
	}
	if err != nil {
		return fmt.Errorf("renewing the session: %w", err)
	}
	left := time.Until(begin.Add(g.ttl)) // Consul keeps the session that long at least
	if g.lapse == nil {
		g.lapse = time.AfterFunc(left, g.lapsed)
	} else {
		g.lapse.Reset(left)
	}
	return nil
}

// watchKey watches the key, and returns errFree when the key may be put. If another
// registration has the key, watchKey returns ErrConflict, unless that has been reported
// before.
func (g *keyRegistration) watchKey(ctx context.Context, healthy func()) error {
	rate := &limiter{interval: 100 * time.Millisecond, burst: 10} // for agents that do not wait
	for index := uint64(0); ; {
		if err := rate.wait(ctx); err != nil {
			return err
		}
		var now *api.KVPair
		meta, err := g.query(ctx, index, func(options *api.QueryOptions) (meta *api.QueryMeta, err error) {
			now, meta, err = g.own.KV().Get(g.key, options)
			return meta, err
		})
		switch {
		case err != nil:
			return err
		case meta.LastIndex == 0: // not Consul's own "404 Not Found"
			return errNoIndex
		}
		healthy()
		switch {
		case now == nil, now.Session == "", now.Session == g.session && (g.reported || !bytes.Equal(now.Value, g.value)):
			return errFree
		case now.Session != g.session && !g.reported:
			return discovery.Permanent(discovery.ErrConflict)
		}
		index = nextIndex(index, meta, g.wait)
	}
}

// remove ends the session, which deletes the key if the session still holds it. What is
// under way with the session then fails.
func (g *keyRegistration) remove(ctx context.Context) error {
	if g.session == "" {
		return nil
	}
	return discovery.Deregister(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, discovery.DeregisterTimeout/2, errTimeout)
		defer cancel()
		c, err := newOwnClient(g.config, g.agent())
		if err != nil {
			return err
		}
		defer c.close()
		err = c.call(ctx, func(ctx context.Context) error {
			_, err := c.Session().Destroy(g.session, (&api.WriteOptions{}).WithContext(ctx))
			return err
		})
		if err != nil && strings.Contains(err.Error(), "Unknown session") { // old servers answer so
			return nil
		}
		if err != nil {
			g.at++
		}
		return err
	})
}
