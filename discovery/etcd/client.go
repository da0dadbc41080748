package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// client has the connections to the servers of an etcd cluster. All watchers and
// registrars with the same clientKey share it. It uses only the connections of
// etcd's own client, because that client retries for ever without reporting it,
// and resumes a watch at a revision that a wiped server may never reach.
type client struct {
	clientKey
	conn  *clientv3.Client
	kv    pb.KVClient
	watch pb.WatchClient
	lease pb.LeaseClient
	auth  pb.AuthClient
	token atomic.Pointer[string] // nil until the user has logged in
	users int                    // watchers and registrars; guarded by clients
}

// clientKey is what two watchers or registrars have in common if they share a
// client.
type clientKey struct {
	servers        string // sorted, joined by commas
	user, password string
	tls            discovery.TLS
	timeout        time.Duration
}

// clients are the clients in use.
//
//nolint:gochecknoglobals // one client per cluster and user in the whole process is the purpose
var clients struct {
	sync.Mutex
	open map[clientKey]*client
}

// acquire returns the client for c. The caller releases it. Its only I/O is
// reading the files of secrets and certificates.
func acquire(c *config) (*client, error) {
	user, password, err := c.credentials.SplitUserPassword()
	if err != nil {
		return nil, err
	}
	servers := slices.Sorted(slices.Values(c.servers))
	key := clientKey{strings.Join(servers, ","), user, password, c.tls, c.timeout}
	clients.Lock()
	defer clients.Unlock()
	cl := clients.open[key]
	if cl == nil {
		if cl, err = newClient(key, c.servers); err != nil {
			return nil, err
		}
		if clients.open == nil {
			clients.open = make(map[clientKey]*client)
		}
		clients.open[key] = cl
	}
	cl.users++
	return cl, nil
}

// release ends one use of the client. The last one closes it.
func (c *client) release() {
	clients.Lock()
	defer clients.Unlock()
	if c.users--; c.users == 0 {
		delete(clients.open, c.clientKey)
		_ = c.conn.Close() // nothing is lost if it fails
	}
}

func newClient(key clientKey, servers []string) (*client, error) {
	config, err := key.tls.Load()
	if err != nil {
		return nil, err
	}
	c := &client{clientKey: key}
	options := []grpc.DialOption{
		grpc.WithPerRPCCredentials(c),
		grpc.WithNoProxy(), // the environment's proxy is for the web, not for a registry
		// gRPC's own back-off grows to two minutes; this one stays below a second.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.25, MaxDelay: 800 * time.Millisecond},
			MinConnectTimeout: key.timeout,
		}),
		// Lists grow beyond gRPC's default of 4 MiB.
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	}
	if config != nil && config.ServerName != "" { // gRPC would use the address, whatever config says
		options = append(options, grpc.WithAuthority(config.ServerName))
	}
	// Without a user, it connects when it is first used.
	c.conn, err = clientv3.New(clientv3.Config{
		Endpoints: servers,
		TLS:       config,
		Logger:    zap.NewNop(),
		// gRPC allows no shorter time until a silent server counts as dead.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: key.timeout,
		MaxUnaryRetries:      1, // discovery.Retry retries
		DialOptions:          options,
	})
	if err != nil {
		return nil, err
	}
	conn := c.conn.ActiveConnection()
	c.kv, c.watch, c.lease, c.auth = pb.NewKVClient(conn), pb.NewWatchClient(conn), pb.NewLeaseClient(conn), pb.NewAuthClient(conn)
	return c, nil
}

// call makes one request, bounded by the timeout. It logs in first if the user
// has no token or the token has expired.
func (c *client) call(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.user != "" && c.token.Load() == nil {
		if err := c.login(ctx); err != nil {
			return classify(err)
		}
	}
	err := rpctypes.Error(request(ctx))
	if c.user != "" && needsLogin(err) {
		if err = c.login(ctx); err == nil {
			err = rpctypes.Error(request(ctx))
		}
	}
	// The server may notice the deadline before ctx does.
	if err != nil && (errors.Is(ctx.Err(), context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", c.timeout, err)
	}
	return classify(err)
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

// needsLogin reports whether a new token may help against err.
func needsLogin(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) ||
		errors.Is(err, rpctypes.ErrUserEmpty)
}

// classify marks the errors that retrying cannot help against.
func classify(err error) error {
	for _, p := range []error{rpctypes.ErrAuthFailed, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty} {
		if errors.Is(err, p) {
			return discovery.Permanent(err)
		}
	}
	return err
}
