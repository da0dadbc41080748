package grpcresolver_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// patience is how long a test waits for what should happen at once.
const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real one, which answers health checks.
type server struct {
	addr  string
	conns atomic.Int32 // that it has accepted
}

func start(t *testing.T) *server {
	t.Helper()
	return startOn(t, "tcp", "127.0.0.1:0")
}

func startOn(t *testing.T, network, addr string) *server {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String()}
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, health.NewServer())
	var done sync.WaitGroup
	done.Go(func() {
		if err := g.Serve(counting{ln, &s.conns}); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		g.Stop()
		done.Wait()
	})
	return s
}

type counting struct {
	net.Listener

	n *atomic.Int32
}

func (c counting) Accept() (net.Conn, error) {
	nc, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return nc, err
}

// roundRobin is the service config that makes gRPC call all servers, by way of the spy.
const roundRobin = `{"loadBalancingConfig":[{"spied_round_robin":{}}]}`

func dial(t *testing.T, target string, b resolver.Builder, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	opts = append([]grpc.DialOption{
		grpc.WithResolvers(b), grpc.WithDefaultServiceConfig(roundRobin),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}, opts...)
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() }) // a test may have closed it
	return cc
}

// call makes a call and returns the address of the server that answered.
func call(t *testing.T, cc *grpc.ClientConn, opts ...grpc.CallOption) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var p peer.Peer
	_, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{}, append(opts, grpc.Peer(&p))...)
	if err != nil {
		return "", err
	}
	return p.Addr.String(), nil
}

// answering makes some calls, none of which may fail, and returns the servers that answered.
func answering(t *testing.T, cc *grpc.ClientConn) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for range 20 {
		addr, err := call(t, cc, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		seen[addr] = true
	}
	return seen
}

// until waits for ok, which other goroutines bring about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// serving waits until exactly these servers answer.
func serving(t *testing.T, cc *grpc.ClientConn, servers ...*server) {
	t.Helper()
	until(t, "the servers answer that should", func() bool {
		seen := answering(t, cc)
		for _, s := range servers {
			if !seen[s.addr] {
				return false
			}
		}
		return len(seen) == len(servers)
	})
}

func endpoints(servers ...*server) []discovery.Endpoint {
	var eps []discovery.Endpoint
	for _, s := range servers {
		eps = append(eps, discovery.Endpoint{Addr: s.addr})
	}
	return eps
}

// script is a watcher that does what the test sends it. It counts watches, and those that run.
type script struct {
	watches, running atomic.Int32
	reports          chan []discovery.Endpoint
	ends             chan error
}

func newScript() *script {
	return &script{reports: make(chan []discovery.Endpoint), ends: make(chan error)}
}

func (s *script) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	s.watches.Add(1)
	s.running.Add(1)
	defer s.running.Add(-1)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.ends:
			return err
		case set := <-s.reports:
			report(set)
		}
	}
}

// spy is gRPC's round robin, and keeps what it gets from the resolver.
type spy struct {
	balancer.Builder

	mu     sync.Mutex
	states []resolver.State
	errs   []error
}

var spied = func() *spy {
	s := &spy{Builder: balancer.Get(roundrobin.Name)}
	balancer.Register(s)
	return s
}()

func (s *spy) Name() string { return "spied_round_robin" }

func (s *spy) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states, s.errs = nil, nil
	return spyBalancer{s.Builder.Build(cc, opts), s}
}

// got returns what the newest balancer got.
func (s *spy) got() ([]resolver.State, []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states, s.errs
}

type spyBalancer struct {
	balancer.Balancer

	spy *spy
}

func (b spyBalancer) UpdateClientConnState(s balancer.ClientConnState) error {
	b.spy.mu.Lock()
	b.spy.states = append(b.spy.states, s.ResolverState)
	b.spy.mu.Unlock()
	return b.Balancer.UpdateClientConnState(s)
}

func (b spyBalancer) ResolverError(err error) {
	b.spy.mu.Lock()
	b.spy.errs = append(b.spy.errs, err)
	b.spy.mu.Unlock()
	b.Balancer.ResolverError(err)
}
