package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// tries is how many servers in a row are asked to renew a lease, and do not,
// before the registration begins anew.
const tries = 3

// Registrar registers servers as keys under prefix, each attached to a lease.
// Its parameters are those of [Watcher]. The user needs to write the keys and
// to read them: one that is deleted or overwritten is put back.
func Registrar(endpoints []string, prefix string, opts ...Option) discovery.Registrar {
	return newRegistrar(newConfig(endpoints, prefix, opts))
}

func newRegistrar(c config) *registrar {
	return &registrar{config: c, left: make(map[string]int64)}
}

type registrar struct {
	config

	mu sync.Mutex
	// left has, by key, the lease of a Register that has failed, for the next
	// one to go on with: were it forgotten, a request that is still under way
	// could put the key back after its removal.
	left map[string]int64
}

// Validate reports every mistake in what the registrar was made of.
func (r *registrar) Validate() error { return r.validate() }

// Register implements [discovery.Registrar].
func (r *registrar) Register(ctx context.Context, e core.Endpoint) error {
	if err := r.validate(); err != nil {
		return err
	}
	name, value, err := r.format.Encode(strings.TrimSuffix(r.prefix, "/"), e)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	c, err := acquire(&r.config)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer c.release()
	k := &keeper{client: c, key: r.prefix + name, value: value, ttl: r.ttl, lease: r.take(r.prefix + name)}
	err = discovery.Persist(ctx, k.keep)
	if ctx.Err() == nil {
		r.leave(k)
		return fmt.Errorf("etcd: registering %s at %s: %w", k.key, strings.Join(r.endpoints, ", "), err)
	}
	if err := k.revoke(ctx); err != nil {
		return fmt.Errorf("etcd: %s may stay for up to %v: removing it at %s: %w", k.key, r.ttl, strings.Join(r.endpoints, ", "), err)
	}
	return ctx.Err()
}

func (r *registrar) take(key string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	lease := r.left[key]
	delete(r.left, key)
	return lease
}

func (r *registrar) leave(k *keeper) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[k.key] = k.lease
}

// keeper keeps one key.
type keeper struct {
	*client
	key   string
	value []byte
	ttl   time.Duration
	lease int64 // 0 before there is one
}

// keep puts the key, and then keeps its lease alive and looks after it, until
// either fails.
func (k *keeper) keep(ctx context.Context, well func()) error {
	put, err := k.put(ctx)
	if err != nil {
		return err
	}
	discovery.Confirm(ctx)
	well()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var both sync.WaitGroup
	both.Go(func() { cancel(k.keepAlive(ctx)) })
	both.Go(func() { cancel(k.guard(ctx, put)) })
	both.Wait() // each ends with the other, and with ctx
	return context.Cause(ctx)
}

// put puts the key with its lease, which shows that it still has one, or with
// a new one.
func (k *keeper) put(ctx context.Context) (position, error) {
	ctx, cancel := context.WithTimeout(ctx, k.patience())
	defer cancel()
	for {
		if k.lease == 0 {
			if err := k.grant(ctx); err != nil {
				return position{}, err
			}
		}
		var answer *pb.PutResponse
		err := k.ask(ctx, func(ctx context.Context) (err error) {
			answer, err = k.kv.Put(ctx, &pb.PutRequest{Key: []byte(k.key), Value: k.value, Lease: k.lease})
			return err
		})
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return at(answer.GetHeader()), err
		}
		k.lease = 0
	}
}

func (k *keeper) grant(ctx context.Context) error {
	return k.ask(ctx, func(ctx context.Context) error {
		answer, err := k.client.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(k.ttl / time.Second)})
		k.lease = answer.GetID()
		return err
	})
}

// patience is how long etcd may take for an answer: with the pause of a quarter
// before them, there is time for tries servers, and a put to one more, before the
// TTL is over.
func (k *keeper) patience() time.Duration { return min(k.timeout, k.ttl/6) }

// keepAlive renews the lease over and over, until tries servers in a row do not.
// Whoever is silent is left for the next at once: a lease does not wait.
func (k *keeper) keepAlive(ctx context.Context) error {
	ctx = clientv3.WithRequireLeader(ctx)
	for failed := 0; ; {
		renewed, err := k.renew(ctx)
		if renewed {
			failed = 0
		}
		if failed++; failed == tries || ctx.Err() != nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
}

// renew renews the lease by one stream, to the server whose turn it is, until
// that fails, and reports whether it ever did.
func (k *keeper) renew(ctx context.Context) (renewed bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(k.patience(), func() { cancel(errSilent) })
	defer late.Stop()
	s, err := k.client.lease.LeaseKeepAlive(ctx)
	for err == nil {
		if err = s.Send(&pb.LeaseKeepAliveRequest{ID: k.lease}); err != nil {
			break
		}
		var answer *pb.LeaseKeepAliveResponse
		if answer, err = s.Recv(); err != nil {
			break
		}
		if answer.TTL <= 0 {
			return renewed, rpctypes.ErrLeaseNotFound
		}
		renewed = true
		late.Stop()
		pause := time.NewTimer(k.ttl / 4)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return renewed, context.Cause(ctx)
		}
		late.Reset(k.patience())
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return renewed, fmt.Errorf("%w for %v", errSilent, k.patience())
	}
	return renewed, judge(rpctypes.Error(err))
}

// guard watches the key and returns when it is to be put back.
func (k *keeper) guard(ctx context.Context, put position) error {
	s, err := k.open(ctx, k.key, "", put)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		answer, err := s.next()
		if err != nil {
			return err
		}
		for _, e := range answer.Events {
			switch {
			case e.Type == mvccpb.Event_DELETE:
				return errors.New("somebody has deleted the key")
			case e.Kv.Lease == 0 || string(e.Kv.Value) != string(k.value):
				return errors.New("somebody has overwritten the key")
			default:
				// Another program keeps the same server registered. When it
				// stops, the key is deleted.
			}
		}
	}
}

// revoke removes the lease, and with it the key.
func (k *keeper) revoke(ctx context.Context) error {
	if k.lease == 0 {
		return nil
	}
	return discovery.Deregister(ctx, func(ctx context.Context) error {
		err := k.ask(ctx, func(ctx context.Context) error {
			_, err := k.client.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: k.lease})
			return err
		})
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		return err
	})
}
