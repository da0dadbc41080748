package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// client is a connection to each server of an etcd cluster, shared by all that
// have the same servers and credentials. Of etcd's own client it uses the
// connections only: that one retries without end and without a word, and
// resumes a watch at a revision that a wiped server may never reach.
type client struct {
	identity
	conn  *clientv3.Client
	kv    pb.KVClient
	watch pb.WatchClient
	lease pb.LeaseClient
	auth  pb.AuthClient
	token atomic.Pointer[string] // nil until the user has logged in
	users int                    // of this client; guarded by clients
}

// identity is what makes two clients the same.
type identity struct {
	endpoints      string // joined by commas
	user, password string
	tls            discovery.TLS
	timeout        time.Duration
}

// clients has those that are in use.
//
//nolint:gochecknoglobals // sharing is its purpose
var clients struct {
	sync.Mutex
	open map[identity]*client
}

// acquire returns the client for c, for release to be given back. It does no
// I/O but reading files of secrets and certificates.
func acquire(c *config) (*client, error) {
	password, err := c.password.Value()
	if err != nil {
		return nil, err
	}
	id := identity{strings.Join(c.endpoints, ","), c.user, password, c.tls, c.timeout}
	clients.Lock()
	defer clients.Unlock()
	cl := clients.open[id]
	if cl == nil {
		if cl, err = dial(id, c.endpoints); err != nil {
			return nil, err
		}
		if clients.open == nil {
			clients.open = make(map[identity]*client)
		}
		clients.open[id] = cl
	}
	cl.users++
	return cl, nil
}

func (c *client) release() {
	clients.Lock()
	defer clients.Unlock()
	if c.users--; c.users == 0 {
		delete(clients.open, c.identity)
		_ = c.conn.Close() // it has nothing to say
	}
}

func dial(id identity, endpoints []string) (*client, error) {
	config, err := id.tls.Config()
	if err != nil {
		return nil, err
	}
	c := &client{identity: id}
	options := []grpc.DialOption{
		grpc.WithPerRPCCredentials(c),
		grpc.WithNoProxy(), // the environment's is for the web, not for a registry
		// gRPC's own pauses grow to two minutes; these stay below a second.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.25, MaxDelay: 800 * time.Millisecond},
			MinConnectTimeout: id.timeout,
		}),
		// Lists grow beyond gRPC's default of 4 MiB.
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	}
	if id.tls.ServerName != "" { // in place of which gRPC would take the address, whatever config says
		options = append(options, grpc.WithAuthority(id.tls.ServerName))
	}
	// Without a user it connects when it is first used.
	c.conn, err = clientv3.New(clientv3.Config{
		Endpoints: endpoints,
		TLS:       config,
		Logger:    zap.NewNop(),
		// A server that is silent is taken for dead; gRPC allows no shorter time.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: id.timeout,
		MaxUnaryRetries:      1, // discovery.Persist does that
		DialOptions:          options,
	})
	if err != nil {
		return nil, err
	}
	conn := c.conn.ActiveConnection()
	c.kv, c.watch, c.lease, c.auth = pb.NewKVClient(conn), pb.NewWatchClient(conn), pb.NewLeaseClient(conn), pb.NewAuthClient(conn)
	return c, nil
}

// ask makes one request, which has the timeout. A user whose token is missing
// or no longer good logs in first.
func (c *client) ask(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.user != "" && c.token.Load() == nil {
		if err := c.login(ctx); err != nil {
			return judge(err)
		}
	}
	err := rpctypes.Error(request(ctx))
	if c.user != "" && outdated(err) {
		if err = c.login(ctx); err == nil {
			err = rpctypes.Error(request(ctx))
		}
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return judge(err)
}

func (c *client) login(ctx context.Context) error {
	answer, err := c.auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: c.user, Password: c.password})
	if err = rpctypes.Error(err); err != nil && !errors.Is(err, rpctypes.ErrAuthNotEnabled) {
		return fmt.Errorf("logging in as %q: %w", c.user, err)
	}
	token := answer.GetToken()
	c.token.Store(&token)
	return nil
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (c *client) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if token := c.token.Load(); token != nil && *token != "" {
		return map[string]string{rpctypes.TokenFieldNameGRPC: *token}, nil
	}
	return nil, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (*client) RequireTransportSecurity() bool { return false }

// outdated tells whether logging in again may help.
func outdated(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) ||
		errors.Is(err, rpctypes.ErrUserEmpty)
}

// judge marks the errors that only a person can help against.
func judge(err error) error {
	for _, p := range []error{rpctypes.ErrAuthFailed, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty} {
		if errors.Is(err, p) {
			return discovery.Permanent(err)
		}
	}
	return err
}
