package xds_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/xds"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// liar is a control plane that sends what the test wants.
type liar struct {
	discoverypb.UnimplementedAggregatedDiscoveryServiceServer
	addr    string
	server  *grpc.Server
	sent    atomic.Int64
	tokens  chan string
	refuse  error
	answers chan *discoverypb.DiscoveryRequest // what the client says to the responses

	mu      sync.Mutex
	next    *discoverypb.DiscoveryResponse
	changed chan struct{}
	storm   bool
}

func newLiar(tb testing.TB) *liar {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &liar{
		addr: ln.Addr().String(), server: grpc.NewServer(), tokens: make(chan string, 100),
		answers: make(chan *discoverypb.DiscoveryRequest, 1000), changed: make(chan struct{}),
	}
	discoverypb.RegisterAggregatedDiscoveryServiceServer(l.server, l)
	go func() { _ = l.server.Serve(ln) }() // ends with the test
	tb.Cleanup(l.server.Stop)
	return l
}

// send makes r the state of the control plane.
func (l *liar) send(r *discoverypb.DiscoveryResponse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = r
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *liar) StreamAggregatedResources(s discoverypb.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	if l.refuse != nil {
		return l.refuse
	}
	if md, _ := metadata.FromIncomingContext(s.Context()); len(md["authorization"]) > 0 {
		l.tokens <- md["authorization"][0]
	}
	go func() { // ends with the stream
		for {
			r, err := s.Recv()
			if err != nil {
				return
			}
			select {
			case l.answers <- r:
			default:
			}
		}
	}()
	for {
		l.mu.Lock()
		next, changed, storm := l.next, l.changed, l.storm
		l.mu.Unlock()
		if next != nil {
			next = proto.Clone(next).(*discoverypb.DiscoveryResponse)
			next.Nonce = fmt.Sprint(l.sent.Add(1))
			if err := s.Send(next); err != nil {
				return err
			}
		}
		if storm {
			continue
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// response has the resources, as they are.
func response(version string, resources ...proto.Message) *discoverypb.DiscoveryResponse {
	r := &discoverypb.DiscoveryResponse{VersionInfo: version, TypeUrl: resource.EndpointType}
	for _, m := range resources {
		a, err := anypb.New(m)
		if err != nil {
			panic(err)
		}
		r.Resources = append(r.Resources, a)
	}
	return r
}

func echo(addrs ...string) *endpointpb.ClusterLoadAssignment {
	l := new(endpointpb.LocalityLbEndpoints)
	for _, a := range addrs {
		l.LbEndpoints = append(l.LbEndpoints, lb(a, 0, corepb.HealthStatus_HEALTHY))
	}
	return &endpointpb.ClusterLoadAssignment{ClusterName: "echo", Endpoints: []*endpointpb.LocalityLbEndpoints{l}}
}

// await waits for a request of the client.
func (l *liar) await(t *testing.T, what string, ok func(*discoverypb.DiscoveryRequest) bool) *discoverypb.DiscoveryRequest {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case r := <-l.answers:
			if ok(r) {
				return r
			}
		case <-late:
			t.Fatalf("no request %s", what)
		}
	}
}

func TestNonsenseIsRefusedAndTheLastSetStays(t *testing.T) {
	l := newLiar(t)
	l.send(response("1", echo("10.0.0.1:1")))
	f := discoverytest.Follow(t, xds.Watcher([]string{l.addr}, "echo"))
	f.Await("10.0.0.1:1")
	l.await(t, "that accepts", func(r *discoverypb.DiscoveryRequest) bool {
		return r.GetVersionInfo() == "1" && r.GetErrorDetail() == nil
	})
	for name, bad := range map[string]*discoverypb.DiscoveryResponse{
		"bytes":                      {VersionInfo: "2", TypeUrl: resource.EndpointType, Resources: []*anypb.Any{{TypeUrl: resource.EndpointType, Value: []byte("\xff\xff")}}},
		"another type":               {VersionInfo: "2", TypeUrl: resource.ClusterType},
		"a resource of another type": response("2", &corepb.Node{Id: "x"}),
		"the cluster twice":          response("2", echo("10.0.0.2:1"), echo("10.0.0.3:1")),
	} {
		l.send(bad)
		r := l.await(t, "that refuses "+name, func(r *discoverypb.DiscoveryRequest) bool { return r.GetErrorDetail() != nil })
		if r.GetVersionInfo() != "1" || r.GetResponseNonce() != fmt.Sprint(l.sent.Load()) || r.GetErrorDetail().GetMessage() == "" {
			t.Errorf("%s is refused with %v", name, r)
		}
	}
	f.Await("10.0.0.1:1")
	l.send(response("3", &endpointpb.ClusterLoadAssignment{ClusterName: "other"})) // nothing of ours
	l.await(t, "that accepts", func(r *discoverypb.DiscoveryRequest) bool {
		return r.GetVersionInfo() == "3" && r.GetErrorDetail() == nil
	})
	f.Await("10.0.0.1:1")
	l.send(response("4", echo("10.0.0.2:1")))
	f.Await("10.0.0.2:1")
	if f.Count() != 2 {
		t.Errorf("%d reports", f.Count())
	}
	f.Stop()
}

func TestWhatTheControlPlaneRefusesIsAnErrorAtOnce(t *testing.T) {
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented} {
		l := newLiar(t)
		l.refuse = status.Error(code, "not you")
		if err := discoverytest.Follow(t, xds.Watcher([]string{l.addr}, "echo")).Fails(); !contains(err, "not you") || !contains(err, l.addr) {
			t.Errorf("%v: %v", code, err)
		}
	}
}

// quitter is a control plane that ends each stream after one response.
type quitter struct {
	discoverypb.UnimplementedAggregatedDiscoveryServiceServer
	why error
}

func (q *quitter) StreamAggregatedResources(s discoverypb.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	r := response("1", echo("10.0.0.1:1"))
	r.Nonce = "1"
	return cmp.Or(s.Send(r), q.why)
}

// What ends the stream may be noticed by a request on it first, which does not know why.
func TestTheReasonForTheEndOfAStreamIsTold(t *testing.T) {
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		discoverypb.RegisterAggregatedDiscoveryServiceServer(server, &quitter{why: status.Error(codes.PermissionDenied, "your token has expired")})
		go func() { _ = server.Serve(ln) }() // ends with the test
		t.Cleanup(server.Stop)
		if err := discoverytest.Follow(t, xds.Watcher([]string{ln.Addr().String()}, "echo")).Fails(); !contains(err, "your token has expired") {
			t.Fatalf("got %v", err)
		}
	}
}

func TestTheNextControlPlaneIsAskedAfterOneThatRefuses(t *testing.T) {
	bad, good := newLiar(t), newLiar(t)
	bad.refuse = status.Error(codes.PermissionDenied, "not you")
	good.send(response("1", echo("10.0.0.1:1")))
	ctx, cancel := context.WithCancel(t.Context())
	found := make(chan struct{})
	var once sync.Once
	var following sync.WaitGroup
	following.Go(func() {
		discovery.Follow(ctx, xds.Watcher([]string{bad.addr, good.addr}, "echo"), discovery.Follower{
			Reported: func([]discovery.Endpoint) { once.Do(func() { close(found) }) },
		})
	})
	select {
	case <-found:
	case <-time.After(30 * time.Second):
		t.Error("the good one was never asked")
	}
	cancel()
	following.Wait()
}

func TestTheTokenIsSent(t *testing.T) {
	l := newLiar(t)
	l.send(response("1", echo("10.0.0.1:1")))
	f := discoverytest.Follow(t, xds.Watcher([]string{l.addr}, "echo", xds.WithCredentials(discovery.NewSecret("hunter2"))))
	f.Await("10.0.0.1:1")
	if got := <-l.tokens; got != "Bearer hunter2" {
		t.Errorf("got %q", got)
	}
	f.Stop()
}

func TestNothingThatAControlPlaneSendsHarmsAWatcher(t *testing.T) {
	discoverytest.RunHostile(t, func(t *testing.T) discoverytest.Fixture {
		t.Helper()
		l := newLiar(t)
		var good, extra *endpointpb.ClusterLoadAssignment
		var version atomic.Int64
		state := func() {
			all := &endpointpb.ClusterLoadAssignment{ClusterName: "echo"}
			for _, cla := range []*endpointpb.ClusterLoadAssignment{good, extra} {
				all.Endpoints = append(all.Endpoints, cla.GetEndpoints()...)
			}
			l.send(response(fmt.Sprint(version.Add(1)), all))
		}
		setStorm := func(on bool) {
			l.mu.Lock()
			l.storm = on
			l.mu.Unlock()
		}
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				return xds.Watcher([]string{l.addr}, "echo", xds.Timeout(time.Second)), nil
			},
			Put: func(_ context.Context, set []discovery.Endpoint) (err error) {
				good, err = assignmentOf("echo", set)
				state()
				return err
			},
			Close: func() error { l.server.Stop(); return nil },
			Contradict: func(context.Context) (func() error, error) {
				l.send(response("x", echo("10.9.9.1:1"), echo("10.9.9.2:1")))
				return func() error { state(); return nil }, nil
			},
			Storm: func(context.Context) (func() error, error) {
				setStorm(true)
				state()
				return func() error { setStorm(false); return nil }, nil
			},
			CountRequests: func(context.Context) (int, error) { return int(l.sent.Load()), nil },
			Flood: func(_ context.Context, entries, size int) (func() error, error) {
				big := new(endpointpb.LocalityLbEndpoints)
				entries = min(entries, 20<<20/max(size, 1000)) // in one response, whose length the client sees before it reads it
				for i := range entries {
					e := lb(fmt.Sprintf("10.%d.%d.%d:1", i>>16&255, i>>8&255, i&255), 0, corepb.HealthStatus_HEALTHY)
					e.GetEndpoint().Hostname = strings.Repeat("x", min(size, 1<<20))
					big.LbEndpoints = append(big.LbEndpoints, e)
				}
				extra = &endpointpb.ClusterLoadAssignment{Endpoints: []*endpointpb.LocalityLbEndpoints{big}}
				state()
				return func() error { extra = nil; state(); return nil }, nil
			},
			PutUnchecked: func(_ context.Context, e discovery.Endpoint) error {
				cla, err := assignmentOf("echo", []discovery.Endpoint{e})
				extra = cla
				state()
				return err
			},
			Timeout: time.Minute,
		}
	})
}

func FuzzResponse(f *testing.F) {
	for _, m := range []*endpointpb.ClusterLoadAssignment{echo("10.0.0.1:1"), malformed("echo"), {}} {
		b, err := proto.Marshal(response("1", m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(discoverypb.DiscoveryResponse)
		if proto.Unmarshal(b, r) != nil {
			return
		}
		cla, err := xds.Read(r, "echo")
		if cla == nil || err != nil {
			return
		}
		endpoints, skipped, _ := xds.Assign(cla)
		for key, e := range endpoints {
			if e.Addr != key || math.IsNaN(e.Weight) || math.IsInf(e.Weight, 0) || e.Weight <= 0 {
				t.Fatalf("%q is %+v", key, e)
			}
		}
		if len(endpoints)+len(skipped) > len(b) {
			t.Fatalf("%d endpoints of %d bytes", len(endpoints), len(b))
		}
	})
}
