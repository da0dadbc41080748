package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// Watcher returns a watcher of the instances of a service. agents are those to
// ask, each "host", "host:port" or "unix:/path"; the default port is 8500. It is
// usually one, on the same machine. When a request fails, Watch asks the next
// agent in the list.
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
}

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error { return w.validate() }

// String returns the service and the agents.
func (w *watcher) String() string {
	return "consul " + w.service + " at " + strings.Join(w.agents, ",")
}

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	set := discovery.NewSet(decode, w.onSkipped)
	set.Admit(w.admission)
	rate := &limiter{interval: 100 * time.Millisecond, burst: 10}
	attempts := 0
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		agent := w.agents[attempts%len(w.agents)]
		attempts++
		c, err := newOwnClient(w.config, agent)
		if err == nil {
			defer c.close()
			err = w.follow(ctx, agent, c, rate, func(entries []*api.ServiceEntry) error {
				if err := w.replace(set, entries); err != nil {
					return err
				}
				healthy()
				set.Report(report)
				return nil
			})
		}
		return fmt.Errorf("at %s: %w", agent, err)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("consul: watching %s %w", w.service, err)
}

// follow passes each answer of the agent to take, in the calling goroutine,
// until one fails.
func (w *watcher) follow(ctx context.Context, agent string, c *client, rate *limiter, take func([]*api.ServiceEntry) error) error {
	leader, err := share(w.config, agent, forLeader) //nolint:contextcheck // it outlives this context
	if err != nil {
		return err
	}
	defer leader.release()
	return wait.First(ctx,
		leader.awaitFailure,
		func(ctx context.Context) error { return w.poll(ctx, c, rate, take) })
}

// poll requests the instances again and again. A request with the index of the
// last answer returns when there is a change, or after the wait. So a return
// need not be a change.
func (w *watcher) poll(ctx context.Context, c *client, rate *limiter, take func([]*api.ServiceEntry) error) error {
	index := uint64(0)
	for {
		if err := rate.wait(ctx); err != nil {
			return err
		}
		entries, meta, err := w.query(ctx, c, index)
		if err != nil {
			return err
		}
		if err := w.checkComplete(ctx, c, entries, meta); err != nil {
			return err
		}
		if err := take(entries); err != nil {
			return err
		}
		// When Consul is restored from a snapshot, its index goes back, or it
		// breaks the wait off. The next change may then have a lower index than
		// the last answer, so the next request must not wait.
		if meta.LastIndex < index || index > 0 && meta.LastIndex == index && meta.RequestTime < w.wait {
			index = 0
		} else {
			index = max(meta.LastIndex, 1) // Consul does not wait for index 0
		}
	}
}

func (w *watcher) query(ctx context.Context, c *client, index uint64) ([]*api.ServiceEntry, *api.QueryMeta, error) {
	limit := w.timeout
	// Consul 1.10 and later answer a request that waits from their streaming
	// backend, which leaves out, unmarked, what the token may not read, and does
	// not see that an index has gone back. It cannot sort, so a question for
	// the order by distance is answered as by older ones. Nothing is sorted by
	// the distance from a node that there is not.
	options := &api.QueryOptions{Near: "-"}
	if index > 0 {
		options.WaitIndex, options.WaitTime = index, w.wait
		limit += w.wait + w.wait/16
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	entries, meta, err := c.Health().ServiceMultipleTags(w.service, w.tags, w.passing, options.WithContext(ctx))
	return entries, meta, classify(ctx, err)
}
