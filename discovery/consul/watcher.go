package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// Watcher returns a watcher of the instances of a service or, with [WithPrefix], of
// the servers in the key-value store. agents are those to ask, each "host", "host:port" or "unix:/path"; the default port is 8500. It is
// usually one, on the same machine. When a request fails, Watch asks the next
// agent in the list, and the next Watch begins there.
//
// Watcher connects to nothing. The watcher's Validate reports every mistake in the
// arguments and options. Its Watch survives a failure of Consul that lasts less
// than about 10 s. Watch returns an error when a failure lasts longer, and at
// once when Consul refuses the credentials. The watcher is safe for concurrent
// use.
func Watcher(agents []string, service string, opts ...Option) discovery.Watcher {
	return &watcher{config: newConfig(agents, service, opts)}
}

type watcher struct {
	*config
	known known
	next  atomic.Int64 // the agent at which the next Watch begins
}

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error {
	var err error
	if w.format.Decode == nil {
		err = errors.New("the format cannot be read")
	}
	return w.validate(err)
}

// String returns the service, or the prefix, and the agents.
func (w *watcher) String() string {
	return "consul " + w.place() + " at " + strings.Join(w.agents, ",")
}

// place returns the service or the prefix.
func (w *watcher) place() string {
	if w.prefix != "" {
		return w.prefix
	}
	return w.service
}

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	set := w.newSet()
	read := newInstances(w).read
	if w.prefix != "" {
		read = func(ctx context.Context, c *client, index uint64) (answer, *api.QueryMeta, error) {
			values, meta, err := w.readKeys(ctx, c, index)
			return answer{values: values}, meta, err
		}
	}
	rate := &limiter{interval: 100 * time.Millisecond, burst: 10}
	next, servers := int(w.next.Load()), 0
	var warner survey.Warner
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		agent := w.agents[next]
		next = (next + 1) % len(w.agents)
		c, err := newOwnClient(w.config, agent)
		if err == nil {
			defer c.close()
			err = w.follow(ctx, agent, c, rate, read, func(a answer) {
				w.replace(set, a)
				healthy()
				set.Report(func(eps []discovery.Endpoint) {
					servers = len(eps)
					report(eps)
				})
				warner.Look(ctx, set, servers, func(ctx context.Context) error {
					if w.prefix != "" {
						return w.explainKeys(ctx, c, a.values, set.Len())
					}
					return w.explain(set)
				})
			})
		}
		return fmt.Errorf("at %s: %w", agent, err)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.next.Store(int64(next)) // one that refuses is not the first to be asked again
	return fmt.Errorf("consul: watching %s %w", w.place(), err)
}

// explain returns why no instance is a server, nil if there is none.
func (w *watcher) explain(set *discovery.Set) error {
	if n := set.Len() - set.Malformed(); n > 0 {
		return fmt.Errorf("consul: none of the %d instances of %s takes calls: a check is critical, the weight is 0, or it has no address in format %s",
			n, w.service, w.format.Name)
	}
	return nil
}

// reader makes one request for the entries, which waits for a change since index, unless
// index is 0.
type reader func(ctx context.Context, c *client, index uint64) (answer, *api.QueryMeta, error)

// follow passes each answer of the agent to take, in the calling goroutine,
// until one fails.
func (w *watcher) follow(ctx context.Context, agent string, c *client, rate *limiter, read reader, take func(answer)) error {
	leader, err := share(w.config, agent, forLeader) //nolint:contextcheck // it outlives this context
	if err != nil {
		return err
	}
	defer leader.release()
	return wait.First(ctx,
		leader.awaitFailure,
		func(ctx context.Context) error { return w.poll(ctx, c, rate, read, take) })
}

// poll requests the entries again and again. A request with the index of the
// last answer returns when there is a change, or after the wait. So a return
// need not be a change.
func (w *watcher) poll(ctx context.Context, c *client, rate *limiter, read reader, take func(answer)) error {
	index := uint64(0)
	for {
		if err := rate.wait(ctx); err != nil {
			return err
		}
		a, meta, err := read(ctx, c, index)
		if err != nil {
			return err
		}
		take(a)
		index = nextIndex(index, meta, w.wait)
	}
}

// nextIndex returns the index for the next request, after the answer to one with index.
func nextIndex(index uint64, meta *api.QueryMeta, wait time.Duration) uint64 {
	// When Consul is restored from a snapshot, its index goes back, or it
	// breaks the wait off. The next change may then have a lower index than
	// the last answer, so the next request must not wait.
	if meta.LastIndex < index || index > 0 && meta.LastIndex == index && meta.RequestTime < wait {
		return 0
	}
	return max(meta.LastIndex, 1) // Consul does not wait for index 0
}

// longest returns how long a request may take that waits for a change: Consul adds up to a
// sixteenth to the wait.
func (c *config) longest() time.Duration { return c.timeout + c.wait + c.wait/16 }

// query makes a request that waits for a change since index, unless index is 0.
func (c *config) query(ctx context.Context, index uint64, request func(*api.QueryOptions) (*api.QueryMeta, error)) (*api.QueryMeta, error) {
	limit := c.timeout
	options := &api.QueryOptions{}
	if index > 0 {
		options.WaitIndex, options.WaitTime = index, c.wait
		limit = c.longest()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	meta, err := request(options.WithContext(ctx))
	return meta, classify(ctx, err)
}
