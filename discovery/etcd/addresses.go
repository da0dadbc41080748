package etcd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

const (
	// scheme is what gRPC knows addresses by.
	scheme = "multipool-etcd"
	// lookupPause is the least time between two lookups of a name.
	lookupPause = time.Second
)

// addresses resolves the names of the listed servers. Each address of a name is
// a server of its own to gRPC: one that hangs leaves the others in use. gRPC
// would dial the first address of a name, and that again and again.
type addresses struct {
	servers []string
	timeout time.Duration // of a lookup
}

// Scheme implements [resolver.Builder].
func (*addresses) Scheme() string { return scheme }

// Build implements [resolver.Builder].
func (a *addresses) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &lookups{conn: cc, timeout: a.timeout, again: make(chan struct{}, 1), cancel: cancel}
	for _, server := range a.servers {
		if host, port, err := net.SplitHostPort(server); err == nil && isName(server, host) {
			l.names = append(l.names, &name{listed: server, host: host, port: port})
		} else {
			l.fixed = append(l.fixed, endpoint(server, server))
		}
	}
	if len(l.fixed) > 0 {
		l.update()
	}
	if len(l.names) > 0 {
		l.running.Go(func() { l.run(ctx) }) // Close ends it and waits
	}
	return l, nil
}

func isName(server, host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && !strings.HasPrefix(server, "unix:")
}

// endpoint is an address of a server as it is listed, whose name its
// certificate must be valid for.
func endpoint(addr, listed string) resolver.Endpoint {
	if strings.HasPrefix(listed, "unix:") {
		listed = "localhost"
	}
	return resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr, ServerName: listed}}}
}

// lookups are the names of one client's servers.
type lookups struct {
	conn    resolver.ClientConn
	timeout time.Duration
	fixed   []resolver.Endpoint // of servers that are listed by address
	again   chan struct{}
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	names []*name
}

type name struct {
	listed, host, port string

	addrs []string // what the last lookup that succeeded found
	err   error    // of the last lookup
}

// ResolveNow implements [resolver.Resolver]. gRPC calls it when a server cannot
// be reached.
func (l *lookups) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// Close implements [resolver.Resolver].
func (l *lookups) Close() {
	l.cancel()
	l.running.Wait()
}

// run looks the names up, and again whenever a server cannot be reached. Names
// that failed are looked up again unasked.
func (l *lookups) run(ctx context.Context) {
	for ctx.Err() == nil {
		var all sync.WaitGroup
		for _, n := range l.names { // at the same time: a slow one delays no other
			all.Go(func() { l.lookUp(ctx, n) })
		}
		all.Wait()
		if wait.For(ctx, lookupPause) != nil || slices.ContainsFunc(l.names, func(n *name) bool { return n.err != nil }) {
			continue
		}
		select {
		case <-l.again:
		case <-ctx.Done():
		}
	}
}

func (l *lookups) lookUp(ctx context.Context, n *name) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, n.host)
	slices.Sort(found)
	l.mu.Lock()
	defer l.mu.Unlock()
	n.err = err
	if err == nil && !slices.Equal(found, n.addrs) {
		n.addrs = found
		l.update()
	} else if err != nil && n.addrs == nil {
		l.update()
	}
}

// update tells gRPC the addresses, or why there is none.
func (l *lookups) update() {
	all := slices.Clone(l.fixed)
	var errs []error
	for _, n := range l.names {
		for _, addr := range n.addrs {
			all = append(all, endpoint(net.JoinHostPort(addr, n.port), n.listed))
		}
		if n.addrs == nil {
			errs = append(errs, n.err)
		}
	}
	if len(all) > 0 {
		_ = l.conn.UpdateState(resolver.State{Endpoints: all}) // the balancer takes any address
	} else if err := errors.Join(errs...); err != nil {
		l.conn.ReportError(err)
	}
}
