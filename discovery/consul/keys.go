package consul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
)

// keyPrefix returns the prefix of the keys below path. Without the slash at its end, a
// sibling such as services/echo-2 would match.
func keyPrefix(path string) string {
	path = strings.TrimLeft(path, "/")
	if path != "" && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return path
}

var errNoIndex = errors.New("an answer without an index")

// validatePrefix reports mistakes that concern keys and values.
func (c *config) validatePrefix() error {
	var errs []error
	if c.service != "" {
		errs = append(errs, fmt.Errorf("both a service, %q, and a prefix, %q, are given", c.service, c.prefix))
	}
	if c.ofInstances() {
		errs = append(errs, fmt.Errorf("the format %q is one of instances; what is below a prefix has another, such as rpcx", c.format.Name))
	}
	if len(c.tags) > 0 || c.passing || c.address != "" {
		errs = append(errs, errors.New("keys have no tags, no checks and no tagged addresses"))
	}
	return errors.Join(errs...)
}

// readKeys returns the values below the prefix by key.
func (w *watcher) readKeys(ctx context.Context, c *client, index uint64) (map[string][]byte, *api.QueryMeta, error) {
	keys, values, meta, err := w.listKeys(ctx, c, index)
	if err == nil && index > 0 && (len(keys) == 0 || len(w.known.missing(keys)) > 0) {
		// The answer to a request that waited has what the token could read when the
		// wait began. Whether it may read more by now must not decide about that.
		keys, values, meta, err = w.listKeys(ctx, c, 0)
	}
	if err != nil {
		return nil, nil, err
	}
	return values, meta, w.checkKeys(ctx, c, keys, meta)
}

// listKeys returns all keys below the prefix, and the values of those that are entries.
func (w *watcher) listKeys(ctx context.Context, c *client, index uint64) (keys map[string]struct{}, values map[string][]byte, meta *api.QueryMeta, err error) {
	var pairs api.KVPairs
	meta, err = w.query(ctx, index, func(options *api.QueryOptions) (meta *api.QueryMeta, err error) {
		pairs, meta, err = c.KV().List(w.prefix, options)
		return meta, err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	// Consul's client takes any answer "404 Not Found" for an empty list. Consul's
	// own has an index, which those of a proxy or of another program lack.
	if meta.LastIndex == 0 {
		return nil, nil, nil, errNoIndex
	}
	keys, values, err = w.keysOf(pairs)
	return keys, values, meta, err
}

// keysOf returns the keys of a list, and the values of those that are entries.
func (w *watcher) keysOf(pairs api.KVPairs) (keys map[string]struct{}, values map[string][]byte, err error) {
	keys, values = make(map[string]struct{}, len(pairs)), make(map[string][]byte, len(pairs))
	for _, p := range pairs {
		if p == nil || !strings.HasPrefix(p.Key, w.prefix) {
			return nil, nil, fmt.Errorf("an answer that has something not below %q", w.prefix)
		}
		keys[p.Key] = struct{}{}
		if !strings.HasSuffix(p.Key, "/") { // else it is a folder, as Consul's web interface makes them
			values[p.Key] = p.Value
		}
	}
	return keys, values, nil
}

// explainKeys returns what is at and above a prefix without a server, nil if there is
// nothing. What the token may not read is not there.
func (w *watcher) explainKeys(ctx context.Context, c *client, values map[string][]byte, total int) error {
	if total > 0 {
		sample := make([]survey.Entry, 0, survey.Sample)
		for _, key := range slices.Sorted(maps.Keys(values))[:min(len(values), survey.Sample)] {
			sample = append(sample, survey.Entry{Key: key, Value: values[key]})
		}
		path := strings.TrimSuffix(w.prefix, "/")
		if len(sample) == 0 || survey.Servers(w.format, path, sample) > 0 { // they are not admitted
			return nil
		}
		return fmt.Errorf("consul: below %q: %s", w.prefix, survey.Describe(w.format, path, total, sample))
	}
	path := strings.TrimSuffix(w.prefix, "/")
	above := path[:strings.LastIndexByte(path, '/')+1]
	if above == "" { // all that Consul has
		return nil
	}
	sample, total := w.sample(ctx, c, above)
	if survey.Servers(w.format, strings.TrimSuffix(above, "/"), sample) == 0 {
		return nil
	}
	return fmt.Errorf("consul: nothing is below %q; one level up, below %q: %s", w.prefix, above,
		survey.Describe(w.format, strings.TrimSuffix(above, "/"), total, sample))
}

// sample returns the first entries directly below the prefix, and how many there are.
func (w *watcher) sample(ctx context.Context, c *client, prefix string) (entries []survey.Entry, total int) {
	var keys []string
	if c.call(ctx, func(ctx context.Context) (err error) {
		keys, _, err = c.KV().Keys(prefix, "/", (&api.QueryOptions{}).WithContext(ctx))
		return err
	}) != nil {
		return nil, 0
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return strings.HasSuffix(key, "/") || !strings.HasPrefix(key, prefix) })
	for _, key := range keys[:min(len(keys), survey.Sample)] {
		var pair *api.KVPair
		if c.call(ctx, func(ctx context.Context) (err error) {
			pair, _, err = c.KV().Get(key, (&api.QueryOptions{}).WithContext(ctx))
			return err
		}) == nil && pair != nil {
			entries = append(entries, survey.Entry{Key: key, Value: pair.Value})
		}
	}
	return entries, len(keys)
}
