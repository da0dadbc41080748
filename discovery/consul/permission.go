package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// known are the nodes of the last complete answer about a service, or the keys of
// the last one about a prefix. They outlive
// a Watch: an answer that hides some of them must not pass for a complete one
// because another Watch is the first to see it.
type known struct {
	mu    sync.Mutex
	names map[string]struct{}
}

// missing returns the known names that are not in now.
func (k *known) missing(now map[string]struct{}) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var missing []string
	for name := range k.names {
		if _, ok := now[name]; !ok {
			missing = append(missing, name)
		}
	}
	return missing
}

func (k *known) set(now map[string]struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names = now
}

func nodesOf(all []instance) map[string]struct{} {
	nodes := make(map[string]struct{}, len(all))
	for _, one := range all {
		nodes[one.node] = struct{}{}
	}
	return nodes
}

// checkComplete returns an error if Consul left instances out of an answer with these
// nodes, because the token may not read them or their nodes. Consul 1.11 and later say
// so, unless their streaming backend answers. Older ones do not, so what has
// vanished is asked about, and all that an empty answer may hide.
func (w *watcher) checkComplete(ctx context.Context, c *client, nodes map[string]struct{}, meta *api.QueryMeta) error {
	complete := !meta.ResultsFilteredByACLs
	missing := w.known.missing(nodes)
	if complete && (len(nodes) == 0 || len(missing) > 0) {
		ask := []permission{{"service", "read", w.service}}
		for _, name := range missing {
			ask = append(ask, permission{"node", "read", name})
		}
		if len(missing) == 0 && meta.QueryBackend == "" { // Consul before 1.10, which marks nothing
			ask = append(ask, permission{"node", "read", ""}) // those that are unknown
		}
		var err error
		if complete, err = c.may(ctx, ask); err != nil {
			return err
		}
	}
	if !complete {
		return discovery.Permanent(errors.New("the token may not read all instances of the service and their nodes"))
	}
	w.known.set(nodes)
	return nil
}

// checkKeys is checkComplete for keys. Consul 1.11 and later mark an answer that
// leaves keys out.
func (w *watcher) checkKeys(ctx context.Context, c *client, keys map[string]struct{}, meta *api.QueryMeta) error {
	complete := !meta.ResultsFilteredByACLs
	missing := w.known.missing(keys)
	if complete && (len(keys) == 0 || len(missing) > 0) {
		ask := []permission{{"key", "read", w.prefix}}
		for _, key := range missing {
			ask = append(ask, permission{"key", "read", key})
		}
		var err error
		if complete, err = c.may(ctx, ask); err != nil {
			return err
		}
	}
	if !complete {
		return discovery.Permanent(fmt.Errorf("the token may not read all keys below %q", w.prefix))
	}
	w.known.set(keys)
	return nil
}

// permission is a question of Consul's authorize endpoint.
type permission struct{ Resource, Access, Segment string }

// may reports whether the token has all permissions. It returns true if Consul
// cannot tell.
func (c *client) may(ctx context.Context, all []permission) (bool, error) {
	const most = 64 // in one request, which is Consul's limit
	for some := range slices.Chunk(all, most) {
		if ok, err := c.authorize(ctx, some); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (c *client) authorize(ctx context.Context, all []permission) (ok bool, err error) {
	body, err := json.Marshal(all)
	if err != nil {
		return false, err
	}
	params := url.Values{}
	if c.config.datacenter != "" {
		params.Set("dc", c.config.datacenter)
	}
	if c.config.namespace != "" {
		params.Set("ns", c.config.namespace)
	}
	status, answer, err := c.do(ctx, http.MethodPost, "/v1/internal/acl/authorize", params, c.token, body)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusUnauthorized, status == http.StatusNotFound:
		return true, nil // Consul has no ACLs, or does not know the question
	case status != http.StatusOK:
		return false, classify(ctx, api.StatusError{Code: status, Body: string(answer)})
	}
	var answers []struct{ Allow bool }
	if err := json.Unmarshal(answer, &answers); err != nil {
		return false, fmt.Errorf("the token's permissions: %w", err)
	}
	return len(answers) == len(all) && !slices.ContainsFunc(answers, func(a struct{ Allow bool }) bool { return !a.Allow }), nil
}
