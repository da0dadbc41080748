package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// Watcher watches the instances of a service. agent is "host:port" or
// "unix:/path", usually of the agent on the same machine; several, joined by
// commas, are asked in turn when one fails. It does no I/O, and mistakes are
// reported by its method Validate() error.
//
// Its Watch gets over troubles of Consul that last less than about 10 s, and
// returns an error when one lasts longer, or at once when Consul refuses the
// token. It may be called several times at once.
func Watcher(agent, service string, opts ...Option) core.Watcher {
	return &watcher{newConfig(strings.Split(agent, ","), service, opts)}
}

type watcher struct{ config }

// Validate reports every mistake in what the watcher was made of.
func (w *watcher) Validate() error { return w.validate() }

// Watch implements [core.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if err := w.validate(); err != nil {
		return err
	}
	set := discovery.NewSet(format.Consul().Decode, w.skipped)
	pace := &pacer{gap: 100 * time.Millisecond, burst: 10}
	tries := 0
	err := discovery.Persist(ctx, func(ctx context.Context, well func()) error {
		agent := w.agents[tries%len(w.agents)]
		tries++
		c, err := dial(&w.config, agent)
		if err == nil {
			defer c.close()
			err = w.follow(ctx, c, pace, func(entries []*api.ServiceEntry) error {
				if err := fill(set, entries); err != nil {
					return err
				}
				well()
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

// follow asks for the instances, and again with the index of the last answer,
// for which Consul waits until there is a change, or for as long as it is told
// to. A return is not a change.
func (w *watcher) follow(ctx context.Context, c *client, pace *pacer, take func([]*api.ServiceEntry) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	prodded := make(chan struct{})
	defer func() {
		cancel(nil)
		<-prodded
	}()
	go func() { // ends with the context; the deferred function waits
		defer close(prodded)
		cancel(w.prod(ctx, c))
	}()
	index := uint64(0)
	for {
		if err := pace.wait(ctx); err != nil {
			return judge(ctx, err)
		}
		entries, meta, err := w.query(ctx, c, index)
		if err != nil {
			return err
		}
		if err := w.trust(ctx, c, entries, meta); err != nil {
			return err
		}
		if err := take(entries); err != nil {
			return err
		}
		// An index that went back, or a wait that was broken off, as it is when
		// Consul is restored, says that what comes next may have a lower index
		// than the last: the next request is not to wait for that.
		if meta.LastIndex < index || index > 0 && meta.LastIndex == index && meta.RequestTime < w.wait {
			index = 0
		} else {
			index = max(meta.LastIndex, 1) // a wait for index 0 is none
		}
	}
}

func (w *watcher) query(ctx context.Context, c *client, index uint64) ([]*api.ServiceEntry, *api.QueryMeta, error) {
	limit := w.timeout
	options := &api.QueryOptions{}
	if index > 0 {
		options.WaitIndex, options.WaitTime = index, w.wait
		limit += w.wait + w.wait/16
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	entries, meta, err := c.Health().ServiceMultipleTags(w.service, w.tags, w.passing, options.WithContext(ctx))
	return entries, meta, judge(ctx, err)
}

// trust tells whether the answer is all that there is.
func (w *watcher) trust(ctx context.Context, c *client, entries []*api.ServiceEntry, meta *api.QueryMeta) error {
	may := !meta.ResultsFilteredByACLs
	if may && len(entries) == 0 {
		var err error
		if may, err = c.mayRead(ctx); err != nil {
			return err
		}
	}
	if !may {
		return discovery.Permanent(errors.New("the token may not read all instances of the service and their nodes"))
	}
	return nil
}

// prod asks now and then whether Consul is there, since a request that waits
// is silent whether it is or not.
func (w *watcher) prod(ctx context.Context, c *client) error {
	tick := time.NewTicker(w.timeout)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := c.alive(ctx); err != nil {
			return err
		}
	}
}
