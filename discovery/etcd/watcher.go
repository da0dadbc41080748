package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Watcher returns a watcher of the servers whose keys are under prefix, to which
// it adds a slash at the end if there is none. servers are those of the etcd
// cluster, each "host", "host:port" or "unix:/path"; the default port is 2379.
// One of them is enough.
//
// Watcher connects to nothing. The watcher's Validate reports every mistake in the
// arguments and options. Its Watch survives a failure of etcd that lasts less
// than about 10 s. Watch returns an error when a failure lasts longer, and at
// once when etcd refuses the credentials. The watcher is safe for concurrent
// use.
func Watcher(servers []string, prefix string, opts ...Option) discovery.Watcher {
	return &watcher{newConfig(servers, prefix, opts)}
}

type watcher struct{ *config }

// Validate reports every mistake in the arguments and options.
func (w *watcher) Validate() error {
	var err error
	if w.format.Decode == nil {
		err = errors.New("the format cannot be read")
	}
	return w.validate(err)
}

// String returns the prefix and the servers.
func (w *watcher) String() string { return "etcd " + w.prefix + " at " + strings.Join(w.servers, ",") }

// Watch implements [discovery.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := errors.Join(ctx.Err(), w.Validate()); err != nil {
		return err
	}
	c, err := acquire(w.config)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer c.release()
	set := discovery.NewSet(w.format.Decode, w.onSkipped)
	set.Admit(w.admission)
	err = discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		return w.follow(ctx, c, set, func() { set.Report(report) }, healthy)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("etcd: watching %s at %s: %w", w.prefix, strings.Join(w.servers, ", "), err)
}

// follow lists the keys and follows their changes until either fails. After any
// failure the keys must be listed again: etcd may have compacted changes
// meanwhile, and the next server may have other data at the same revision.
func (w *watcher) follow(ctx context.Context, c *client, set *discovery.Set, report, healthy func()) error {
	entries, listed, err := w.list(ctx, c)
	if err != nil {
		return err
	}
	set.Replace(func(yield func(string, []byte) bool) {
		for _, e := range entries {
			if !yield(string(e.Key), e.Value) {
				return
			}
		}
	})
	report()
	changes, err := c.openWatch(ctx, w.prefix, clientv3.GetPrefixRangeEnd(w.prefix), listed)
	if err != nil {
		return err
	}
	defer changes.close()
	healthy()
	for {
		answer, err := changes.next(ctx)
		if err != nil {
			return err
		}
		for _, e := range answer.Events {
			if e.Type == mvccpb.Event_DELETE {
				set.Delete(string(e.Kv.Key))
			} else {
				set.Put(string(e.Kv.Key), e.Kv.Value)
			}
		}
		if !answer.Fragment { // the last fragment of a change completes it
			report()
		}
	}
}

// pageSize is the number of keys that one request lists.
const pageSize = 10_000

// maxKeys is the number of keys above which a prefix is not taken for a service.
const maxKeys = 1 << 20

// list returns all keys as they were at one revision, and that revision.
func (w *watcher) list(ctx context.Context, c *client) (all []*mvccpb.KeyValue, listed position, err error) {
	request := &pb.RangeRequest{
		Key: []byte(w.prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(w.prefix)),
		Limit: pageSize, KeysOnly: w.format.NamesOnly,
	}
	for {
		var answer *pb.RangeResponse
		err = c.call(ctx, func(ctx context.Context) (err error) {
			answer, err = c.kv.Range(ctx, request)
			return err
		})
		if err != nil {
			return nil, listed, err
		}
		if request.Revision == 0 {
			listed = positionOf(answer.Header)
			request.Revision = listed.revision
		} else if now := positionOf(answer.Header); now.cluster != listed.cluster {
			return nil, listed, fmt.Errorf("one page of the list is from cluster %x, another from %x", listed.cluster, now.cluster)
		}
		all = append(all, answer.Kvs...)
		switch n := len(answer.Kvs); {
		case !answer.More:
			return all, listed, nil
		case len(all) > maxKeys:
			return nil, listed, fmt.Errorf("more than %d keys", maxKeys)
		case n == 0 || bytes.Compare(answer.Kvs[n-1].Key, request.Key) < 0:
			return nil, listed, errors.New("a page of the list does not go on where the one before ended")
		}
		request.Key = []byte(string(all[len(all)-1].Key) + "\x00") // the next possible key
	}
}
