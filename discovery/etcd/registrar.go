package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/memo"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// maxRenewFailures is the number of servers in a row that may fail to renew a
// lease before the registration starts again.
const maxRenewFailures = 3

// Registrar returns a registrar of servers as keys under prefix, each attached
// to a lease. Its parameters are those of [Watcher]. The user needs permission
// to write and to read the keys. A key that somebody deletes, or overwrites
// without a lease, is put back. A key that another program has attached to its
// own lease is a conflict, see [discovery.ErrConflict].
//
// A registration that etcd has not heard from for TTL is reported as lost.
func Registrar(servers []string, prefix string, opts ...Option) discovery.Registrar {
	return newRegistrar(newConfig(servers, prefix, opts))
}

func newRegistrar(c *config) *registrar { return &registrar{config: c} }

type registrar struct {
	*config
	claims memo.Memo[claim]
}

// claim is what a registration knows from one Register to the next.
type claim struct {
	// lease is the last one, 0 before the first grant. With another lease, a
	// request of the Register before that is still under way could put the key
	// back after its removal.
	leaseID  int64
	expires  time.Time // when the lease ends, as far as is known
	held     bool      // the registration has had the key
	conflict bool      // and has reported since that another one has it
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
	g := &registration{client: c, key: r.prefix + name, value: value, ttl: r.ttl, registered: registered}
	g.claim = r.claims.Take(ctx, g.key)
	err = g.run(ctx)
	if ctx.Err() == nil {
		g.conflict = errors.Is(err, discovery.ErrConflict)
		r.claims.Leave(ctx, g.key, g.claim)
		return fmt.Errorf("etcd: registering %s at %s: %w", g.key, strings.Join(r.servers, ", "), err)
	}
	if err := g.revoke(ctx); err != nil {
		return fmt.Errorf("etcd: %s may stay for up to %v: removing it at %s: %w", g.key, r.ttl, strings.Join(r.servers, ", "), err)
	}
	return ctx.Err()
}

// registration is one key and its lease.
type registration struct {
	*client
	claim
	key   string
	value []byte
	ttl   time.Duration

	registered func()
	// lapse ends run when the lease has not been renewed for its TTL. It is nil
	// as long as the key is not there.
	lapse *time.Timer
}

// errLapsed is the cause of the end of a registration whose lease has ended.
var errLapsed = discovery.Permanent(errors.New("the lease has ended"))

// run keeps the key in etcd until ctx is done, etcd fails for long, or the key
// is lost.
func (g *registration) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var last error
	err := discovery.Retry(ctx, func(ctx context.Context, healthy func()) error {
		err := g.hold(ctx, healthy, func() { cancel(errLapsed) })
		if ctx.Err() == nil {
			last = err
		}
		return err
	})
	if g.lapse != nil {
		g.lapse.Stop()
	}
	if errors.Is(context.Cause(ctx), errLapsed) {
		err = fmt.Errorf("%w: no renewal for %v", errLapsed, g.ttl)
		if last != nil {
			err = fmt.Errorf("%w: %w", err, last)
		}
	}
	return err
}

// hold puts the key, then renews its lease and watches the key until either
// fails.
func (g *registration) hold(ctx context.Context, healthy, lapsed func()) error {
	put, err := g.take(ctx, healthy)
	if err != nil {
		return err
	}
	if g.lapse == nil {
		g.lapse = time.AfterFunc(time.Until(g.expires), lapsed)
	}
	g.held, g.conflict = true, false
	g.registered()
	healthy()
	err = wait.First(ctx, g.keepAlive, func(ctx context.Context) error { return g.watchKey(ctx, put, func() {}) })
	if errors.Is(err, errLapsed) {
		g.leaseID = 0 // which both have read
	}
	return err
}

// take puts the key. The first time, it takes an existing key over; later, the
// key of another registration is a conflict. Once that has been reported, take
// waits until the key is free.
func (g *registration) take(ctx context.Context, healthy func()) (put position, err error) {
	for {
		put, free, err := g.put(ctx)
		if free || err != nil {
			return put, err
		}
		if !g.conflict {
			return put, discovery.Permanent(discovery.ErrConflict)
		}
		if err := g.watchKey(ctx, put, healthy); !errors.Is(err, errFree) {
			return put, err
		}
	}
}

// put puts the key, if it is free, with its lease or with a new one. That etcd
// takes the lease proves that etcd still has it.
func (g *registration) put(ctx context.Context) (at position, free bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.requestTimeout())
	defer cancel()
	for {
		switch {
		case g.leaseID == 0:
			err = g.grant(ctx)
		case g.lapse == nil && time.Until(g.expires) < g.ttl/2:
			// It lapsed, or the put took long, as after an outage: etcd may have it still,
			// but not for how long it was granted.
			err = g.renew(ctx)
		}
		if err == nil {
			at, free, err = g.putWithLease(ctx)
		}
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return at, free, err
		}
		g.leaseID = 0
		if g.lapse != nil { // the key was gone with the lease
			return at, false, errLapsed
		}
	}
}

func (g *registration) putWithLease(ctx context.Context) (at position, free bool, err error) {
	put := &pb.PutRequest{Key: []byte(g.key), Value: g.value, Lease: g.leaseID}
	err = g.callWithin(ctx, g.requestTimeout(), func(ctx context.Context) error {
		if !g.held {
			answer, err := g.kv.Put(ctx, put)
			at, free = positionOf(answer.GetHeader()), true
			return err
		}
		put := []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}}
		ifFree := &pb.TxnRequest{Compare: g.leaseIs(0), Success: put} // no key has no lease either
		answer, err := g.kv.Txn(ctx, &pb.TxnRequest{
			Compare: g.leaseIs(g.leaseID), Success: put,
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: ifFree}}},
		})
		at, free = positionOf(answer.GetHeader()), answer.GetSucceeded()
		for _, other := range answer.GetResponses() {
			free = free || other.GetResponseTxn().GetSucceeded()
		}
		return err
	})
	return at, free, err
}

// leaseIs is the condition that the key is attached to the lease.
func (g *registration) leaseIs(lease int64) []*pb.Compare {
	return []*pb.Compare{{
		Key: []byte(g.key), Target: pb.Compare_LEASE, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_Lease{Lease: lease},
	}}
}

func (g *registration) grant(ctx context.Context) error {
	asked := time.Now()
	return g.callWithin(ctx, g.requestTimeout(), func(ctx context.Context) error {
		answer, err := g.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(g.ttl / time.Second)})
		g.leaseID, g.expires = answer.GetID(), asked.Add(g.ttl)
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
	for failed := 0; ; {
		err := g.renew(ctx)
		switch {
		case err == nil:
			failed = 0
			err = wait.For(ctx, g.ttl/4)
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return errLapsed
		default:
			failed++
		}
		if ctx.Err() != nil || failed == maxRenewFailures {
			return err
		}
	}
}

// renew renews the lease. It keeps no call open: a server may limit the number
// of calls on a connection.
func (g *registration) renew(ctx context.Context) error {
	asked := time.Now()
	err := g.callWithin(clientv3.WithRequireLeader(ctx), g.requestTimeout(), func(ctx context.Context) error {
		call, err := g.lease.LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		if err := call.Send(&pb.LeaseKeepAliveRequest{ID: g.leaseID}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		answer, err := call.Recv()
		if err != nil {
			return err
		}
		if answer.TTL <= 0 {
			err = rpctypes.ErrLeaseNotFound
		}
		// A call that is canceled instead counts as failed at the server.
		_ = call.CloseSend()
		_, _ = call.Recv()
		return err
	})
	if err == nil {
		g.expires = asked.Add(g.ttl)
		if g.lapse != nil {
			g.lapse.Reset(time.Until(g.expires))
		}
	}
	return err
}

// errFree means that the key may be put.
var errFree = errors.New("the key was deleted or overwritten")

// watchKey watches the key after the position, and returns errFree when the key
// may be put. If another registration takes the key, watchKey returns
// ErrConflict, unless that has been reported before.
func (g *registration) watchKey(ctx context.Context, after position, healthy func()) error {
	changes, err := g.openWatch(ctx, g.key, "", after)
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
			switch {
			case e.Type == mvccpb.Event_DELETE || e.Kv.Lease == 0 || e.Kv.Lease == g.leaseID && (g.conflict || string(e.Kv.Value) != string(g.value)):
				return errFree
			case e.Kv.Lease != g.leaseID && !g.conflict:
				return discovery.Permanent(discovery.ErrConflict)
			}
		}
	}
}

// revoke revokes the lease, which deletes the key if it is still attached.
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
