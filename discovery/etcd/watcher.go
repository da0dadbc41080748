package etcd

import (
	"context"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Watcher watches the servers whose keys are under prefix, to which it adds a
// slash at its end if there is none. endpoints are servers of etcd, each
// "host:port" or "unix:/path"; some of the cluster will do. It does no I/O,
// and mistakes are reported by its method Validate() error.
//
// Its Watch gets over troubles of etcd that last less than about 10 s, and
// returns an error when one lasts longer, or at once when etcd refuses the
// user. It may be called several times at once.
func Watcher(endpoints []string, prefix string, opts ...Option) core.Watcher {
	return &watcher{newConfig(endpoints, prefix, opts)}
}

type watcher struct{ config }

// Validate reports every mistake in what the watcher was made of.
func (w *watcher) Validate() error { return w.validate() }

// Watch implements [core.Watcher].
func (w *watcher) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if err := w.validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := acquire(&w.config)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer c.release()
	set := discovery.NewSet(w.format.Decode, w.skipped)
	err = discovery.Persist(ctx, func(ctx context.Context, well func()) error {
		return w.follow(ctx, c, set, func() { set.Report(report) }, well)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("etcd: watching %s at %s: %w", w.prefix, strings.Join(w.endpoints, ", "), err)
}

// follow lists the keys and keeps up with them, until that breaks. Then they
// are listed again, whatever it was: changes may have been compacted
// meanwhile, or the server may be another one than before, with other data at
// the same revision.
func (w *watcher) follow(ctx context.Context, c *client, set *discovery.Set, report, well func()) error {
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
	s, err := c.open(ctx, w.prefix, clientv3.GetPrefixRangeEnd(w.prefix), listed)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		answer, err := s.next()
		if err != nil {
			return err
		}
		well()
		for _, e := range answer.Events {
			if e.Type == mvccpb.Event_DELETE {
				set.Delete(string(e.Kv.Key))
			} else {
				set.Put(string(e.Kv.Key), e.Kv.Value)
			}
		}
		if !answer.Fragment { // else the rest of one change is still to come
			report()
		}
	}
}

// page is how many keys are asked for at a time.
const page = 10_000

// list returns all keys as they were at one revision.
func (w *watcher) list(ctx context.Context, c *client) (all []*mvccpb.KeyValue, listed position, err error) {
	request := &pb.RangeRequest{
		Key: []byte(w.prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(w.prefix)),
		Limit: page, KeysOnly: w.format.NamesOnly,
	}
	for {
		var answer *pb.RangeResponse
		err = c.ask(ctx, func(ctx context.Context) (err error) {
			answer, err = c.kv.Range(ctx, request)
			return err
		})
		if err != nil {
			return nil, listed, err
		}
		if request.Revision == 0 {
			listed = at(answer.Header)
			request.Revision = listed.revision
		} else if now := at(answer.Header); now.cluster != listed.cluster {
			return nil, listed, fmt.Errorf("a part of the list is of cluster %x, not %x as before", now.cluster, listed.cluster)
		}
		all = append(all, answer.Kvs...)
		if !answer.More {
			return all, listed, nil
		}
		request.Key = []byte(string(all[len(all)-1].Key) + "\x00") // the next possible key
	}
}
