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
	"github.com/minicaptain/multi_connection_pool/discovery/internal/survey"
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
	set := w.format.NewSet(strings.TrimSuffix(w.prefix, "/"), w.onSkipped)
	set.Admit(w.admission)
	v := &view{watcher: w, client: c, set: set, report: report}
	err = discovery.Retry(ctx, v.follow)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("etcd: watching %s at %s: %w", w.prefix, strings.Join(w.servers, ", "), err)
}

// view is what one Watch knows of the prefix.
type view struct {
	*watcher
	client  *client
	set     *discovery.Set
	report  func([]discovery.Endpoint)
	servers int // in the last report
	warner  survey.Warner
}

// follow lists the keys and follows their changes until either fails. After any
// failure the keys must be listed again: etcd may have compacted changes
// meanwhile, and the next server may have other data at the same revision.
func (v *view) follow(ctx context.Context, healthy func()) error {
	entries, listed, err := v.list(ctx, v.client)
	if err != nil {
		return err
	}
	v.set.Replace(func(yield func(string, []byte) bool) {
		for _, e := range entries {
			if !yield(string(e.Key), e.Value) {
				return
			}
		}
	})
	v.tell()
	changes, err := v.client.openWatch(ctx, v.prefix, clientv3.GetPrefixRangeEnd(v.prefix), listed)
	if err != nil {
		return err
	}
	defer changes.close()
	healthy()
	for {
		// Changes that come meanwhile wait in the watch.
		v.warner.Look(ctx, v.set, v.servers, v.explain)
		answer, err := changes.next(ctx)
		if err != nil {
			return err
		}
		for _, e := range answer.Events {
			if e.Type == mvccpb.Event_DELETE {
				v.set.Delete(string(e.Kv.Key))
			} else {
				v.set.Put(string(e.Kv.Key), e.Kv.Value)
			}
		}
		if !answer.Fragment { // the last fragment of a change completes it
			v.tell()
		}
	}
}

// tell reports the set if it has changed.
func (v *view) tell() {
	v.set.Report(func(set []discovery.Endpoint) {
		v.servers = len(set)
		v.report(set)
	})
}

// pageSize is the number of keys that one request lists.
const pageSize = 10_000

// maxKeys is the number of keys above which a prefix is not taken for a service,
// and maxListed that of the bytes in keys and values.
const (
	maxKeys   = 1 << 20
	maxListed = maxAnswer
)

// list returns all keys as they were at one revision, and that revision.
func (w *watcher) list(ctx context.Context, c *client) (all []*mvccpb.KeyValue, listed position, err error) {
	request := &pb.RangeRequest{
		Key: []byte(w.prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(w.prefix)),
		Limit: pageSize, KeysOnly: w.format.NamesOnly,
	}
	for size := 0; ; {
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
		for _, kv := range answer.Kvs {
			size += len(kv.Key) + len(kv.Value)
		}
		switch n := len(answer.Kvs); {
		case size > maxListed:
			return nil, listed, fmt.Errorf("keys and values of more than %d bytes", maxListed)
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
