package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// client has the connections to the servers of an etcd cluster. All watchers and
// registrars with the same clientKey share it. It is not etcd's own client,
// because that one retries for ever without reporting it, resumes a watch at a
// revision that a wiped server may never reach, and keeps the certificates that
// it began with.
type client struct {
	clientKey
	conn  *grpc.ClientConn
	kv    pb.KVClient
	watch pb.WatchClient
	lease pb.LeaseClient
	auth  pb.AuthClient
	token atomic.Pointer[string] // nil until the user has logged in
	users int                    // watchers and registrars; guarded by clients

	ctx     context.Context //nolint:containedctx // the client's lifetime
	cancel  context.CancelFunc
	running sync.WaitGroup // goroutines of streams and logins

	mu     sync.Mutex // guards the fields below, and all fields of streams and watches that can change
	stream *stream    // which new watches share; nil if there is none
	login  *login     // under way; nil if there is none
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
	c.users--
	last := c.users == 0
	if last {
		delete(clients.open, c.clientKey)
	}
	clients.Unlock()
	if last {
		c.cancel()
		c.running.Wait()
		_ = c.conn.Close() // nothing is lost if it fails
	}
}

func newClient(key clientKey, servers []string) (*client, error) {
	c := &client{clientKey: key}
	conn, err := dial(key, servers, c)
	if err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background()) // release ends it
	c.conn, c.kv, c.watch, c.lease, c.auth = conn, pb.NewKVClient(conn), pb.NewWatchClient(conn), pb.NewLeaseClient(conn), pb.NewAuthClient(conn)
	return c, nil
}

// errLearner is the answer of a member that only learns what the others have.
// Only etcd's administrators make requests to it.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// maxLearners is the number of servers in a row that may refuse a request
// because they are learners.
const maxLearners = 10

// call makes one request, bounded by the client's timeout.
func (c *client) call(ctx context.Context, request func(context.Context) error) error {
	return c.callWithin(ctx, c.timeout, request)
}

// callWithin makes one request, which may take so long. It logs in first if the
// user has no token or the token has expired, and passes over learners.
func (c *client) callWithin(ctx context.Context, timeout time.Duration, request func(context.Context) error) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.try(ctx, request)
	if err == nil {
		return nil
	}
	// The server may notice the deadline before ctx does, and may answer by a
	// reset instead of the code that says so.
	late := time.Since(begun) >= timeout-timeout/10
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded || late && status.Code(err) == codes.Canceled {
		return fmt.Errorf("no answer within %v: %w", timeout, err)
	}
	return classify(err)
}

func (c *client) try(ctx context.Context, request func(context.Context) error) error {
	renewed := false
	for learners := 0; ; {
		token := c.token.Load()
		if c.user != "" && token == nil {
			if err := c.renewToken(ctx, nil); err != nil {
				return err
			}
			token, renewed = c.token.Load(), true
		}
		err := rpctypes.Error(request(ctx))
		switch {
		case errors.Is(err, errLearner) && learners < maxLearners:
			learners++
		case c.user != "" && !renewed && needsLogin(err):
			renewed = true
			if err := c.renewToken(ctx, token); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// login is a login under way.
type login struct {
	done chan struct{} // closed when err is set
	err  error
}

// renewToken replaces the token old, unless that has been done. It waits no
// longer than ctx, but the login goes on: etcd takes long for one on purpose,
// and a request that is in a hurry would begin it again and again.
func (c *client) renewToken(ctx context.Context, old *string) error {
	c.mu.Lock()
	if c.token.Load() != old {
		c.mu.Unlock()
		return nil
	}
	l := c.login
	if l == nil {
		l = &login{done: make(chan struct{})}
		c.login = l
		c.running.Go(func() { c.logIn(l) }) //nolint:contextcheck // release ends it and waits
	}
	c.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return fmt.Errorf("logging in as %q: %w", c.user, ctx.Err())
	}
}

func (c *client) logIn(l *login) {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	var answer *pb.AuthenticateResponse
	err := errLearner
	for learners := 0; errors.Is(err, errLearner) && learners <= maxLearners; learners++ {
		answer, err = c.auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: c.user, Password: c.password})
		err = rpctypes.Error(err)
	}
	if err == nil || errors.Is(err, rpctypes.ErrAuthNotEnabled) {
		token := answer.GetToken()
		c.token.Store(&token)
	} else {
		l.err = fmt.Errorf("logging in as %q: %w", c.user, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login = nil
	close(l.done)
}

// GetRequestMetadata implements credentials.PerRPCCredentials. A login goes
// without a token: etcd 3.4 refuses it for the token that it is to replace.
func (c *client) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	call, _ := credentials.RequestInfoFromContext(ctx)
	if call.Method == pb.Auth_Authenticate_FullMethodName {
		return nil, nil
	}
	if token := c.token.Load(); token != nil && *token != "" {
		return map[string]string{rpctypes.TokenFieldNameGRPC: *token}, nil
	}
	return nil, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: what has TLS
// never sends a token without.
func (c *client) RequireTransportSecurity() bool { return c.tls.Enabled }

// needsLogin reports whether a new token may help against err.
func needsLogin(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) ||
		errors.Is(err, rpctypes.ErrUserEmpty)
}

// classify marks the errors that retrying cannot help against.
func classify(err error) error {
	for _, p := range []error{rpctypes.ErrAuthFailed, rpctypes.ErrPermissionDenied, rpctypes.ErrUserEmpty, rpctypes.ErrRequestTooLarge} {
		if errors.Is(err, p) {
			return discovery.Permanent(err)
		}
	}
	if status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max") { // gRPC's own limit, which has no error of etcd's
		return discovery.Permanent(err)
	}
	return err
}
