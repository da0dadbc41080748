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

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// maxRenewFailures is the number of servers in a row that may fail to renew a
// lease before the registration starts again.
const maxRenewFailures = 3

// Registrar returns a registrar of servers as keys under prefix, each attached
// to a lease. Its parameters are those of [Watcher]. The user needs permission
// to write and to read the keys. A key that somebody deletes or overwrites is
// put back.
func Registrar(servers []string, prefix string, opts ...Option) discovery.Registrar {
	return newRegistrar(newConfig(servers, prefix, opts))
}

func newRegistrar(c *config) *registrar {
	return &registrar{config: c, leases: make(map[string]int64)}
}

type registrar struct {
	*config

	mu sync.Mutex
	// leases has, by key, the lease of a Register that failed. The next
	// Register of the key uses it: with another lease, a request of the first
	// that is still under way could put the key back after its removal.
	leases map[string]int64
}

// Validate reports every mistake in the arguments and options.
func (r *registrar) Validate() error {
	var err error
	if r.format.Encode == nil {
		err = errors.New("the format cannot be written")
	}
	return r.validate(err)
}

// ValidateEndpoint reports what the format cannot hold.
func (r *registrar) ValidateEndpoint(e discovery.Endpoint) error {
	_, _, err := r.encode(e)
	return err
}

func (r *registrar) encode(e discovery.Endpoint) (name string, value []byte, err error) {
	name, value, err = r.format.Encode(strings.TrimSuffix(r.prefix, "/"), e)
	if err != nil {
		return "", nil, fmt.Errorf("etcd: %w", err)
	}
	return name, value, nil
}

// Register implements [discovery.Registrar].
func (r *registrar) Register(ctx context.Context, e discovery.Endpoint, registered func()) error {
	if err := errors.Join(ctx.Err(), r.Validate()); err != nil {
		return err
	}
	name, value, err := r.encode(e)
	if err != nil {
		return err
	}
	c, err := acquire(r.config)
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer c.release()
	g := &registration{client: c, key: r.prefix + name, value: value, ttl: r.ttl, leaseID: r.takeLease(r.prefix + name), registered: registered}
	err = discovery.Retry(ctx, g.hold)
	if ctx.Err() == nil {
		r.keepLease(g)
		return fmt.Errorf("etcd: registering %s at %s: %w", g.key, strings.Join(r.servers, ", "), err)
	}
	if err := g.revoke(ctx); err != nil {
		return fmt.Errorf("etcd: %s may stay for up to %v: removing it at %s: %w", g.key, r.ttl, strings.Join(r.servers, ", "), err)
	}
	return ctx.Err()
}

func (r *registrar) takeLease(key string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	lease := r.leases[key]
	delete(r.leases, key)
	return lease
}

func (r *registrar) keepLease(g *registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[g.key] = g.leaseID
}

// registration is one key and its lease.
type registration struct {
	*client
	key     string
	value   []byte
	ttl     time.Duration
	leaseID int64 // 0 before the first grant

	registered func()
}

// hold puts the key, then renews its lease and watches the key until either
// fails.
func (g *registration) hold(ctx context.Context, healthy func()) error {
	put, err := g.put(ctx)
	if err != nil {
		return err
	}
	g.registered()
	healthy()
	return wait.First(ctx, g.keepAlive, func(ctx context.Context) error { return g.watchKey(ctx, put) })
}

// put puts the key with its lease, which proves that etcd still has the lease,
// or with a new one.
func (g *registration) put(ctx context.Context) (position, error) {
	ctx, cancel := context.WithTimeout(ctx, g.requestTimeout())
	defer cancel()
	for {
		if g.leaseID == 0 {
			if err := g.grant(ctx); err != nil {
				return position{}, err
			}
		}
		var answer *pb.PutResponse
		err := g.call(ctx, func(ctx context.Context) (err error) {
			answer, err = g.kv.Put(ctx, &pb.PutRequest{Key: []byte(g.key), Value: g.value, Lease: g.leaseID})
			return err
		})
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return positionOf(answer.GetHeader()), err
		}
		g.leaseID = 0
	}
}

func (g *registration) grant(ctx context.Context) error {
	return g.call(ctx, func(ctx context.Context) error {
		answer, err := g.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(g.ttl / time.Second)})
		g.leaseID = answer.GetID()
		return err
	})
}

// requestTimeout bounds a put and the renewal of a lease. A lease is renewed
// after a quarter of its TTL. The rest of the TTL is enough for
// maxRenewFailures servers, and a put to one more.
func (g *registration) requestTimeout() time.Duration { return min(g.timeout, g.ttl/6) }

// keepAlive renews the lease until maxRenewFailures servers in a row fail. It
// asks the next server without a pause, because the TTL is running.
func (g *registration) keepAlive(ctx context.Context) error {
	ctx = clientv3.WithRequireLeader(ctx)
	for failed := 0; ; {
		renewed, err := g.renew(ctx)
		if renewed {
			failed = 0
		}
		if failed++; failed == maxRenewFailures || ctx.Err() != nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
}

// renew renews the lease on one stream, to the server whose turn it is, until
// that fails. It reports whether it renewed the lease at least once.
func (g *registration) renew(ctx context.Context) (renewed bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(g.requestTimeout(), func() { cancel(errSilent) })
	defer late.Stop()
	s, err := g.lease.LeaseKeepAlive(ctx)
	for err == nil {
		if err = s.Send(&pb.LeaseKeepAliveRequest{ID: g.leaseID}); err != nil {
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
		if err := wait.For(ctx, g.ttl/4); err != nil {
			return renewed, err
		}
		late.Reset(g.requestTimeout())
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return renewed, fmt.Errorf("%w for %v", errSilent, g.requestTimeout())
	}
	return renewed, classify(rpctypes.Error(err))
}

// watchKey watches the key and returns an error when the key must be put back.
func (g *registration) watchKey(ctx context.Context, put position) error {
	s, err := g.openStream(ctx, g.key, "", put)
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
				return errors.New("the key was deleted")
			case e.Kv.Lease == 0 || string(e.Kv.Value) != string(g.value):
				return errors.New("the key was overwritten")
			default:
				// Another program has registered the same server. When it
				// stops, etcd deletes the key.
			}
		}
	}
}

// revoke revokes the lease, which deletes the key.
func (g *registration) revoke(ctx context.Context) error {
	if g.leaseID == 0 {
		return nil
	}
	return discovery.Deregister(ctx, func(ctx context.Context) error {
		err := g.call(ctx, func(ctx context.Context) error {
			_, err := g.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: g.leaseID})
			return err
		})
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		return err
	})
}
