package xds_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cache "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resource "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	xdsserver "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/xds"
)

// plane is go-control-plane's server, in this process.
type plane struct {
	addr   string
	cache  *cache.LinearCache
	server *grpc.Server
	stop   context.CancelFunc
	mu     sync.Mutex
	asked  []*discoverypb.DiscoveryRequest
}

// newPlane starts a control plane. prefix is that of its versions.
func newPlane(tb testing.TB, addr, prefix string, options ...grpc.ServerOption) *plane {
	tb.Helper()
	p := &plane{cache: cache.NewLinearCache(resource.EndpointType, cache.WithVersionPrefix(prefix))}
	p.serve(tb, addr, p.cache, options...)
	return p
}

func (p *plane) serve(tb testing.TB, addr string, c cache.Cache, options ...grpc.ServerOption) {
	tb.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	p.addr = ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.server = grpc.NewServer(options...)
	discoverypb.RegisterAggregatedDiscoveryServiceServer(p.server, xdsserver.NewServer(ctx, c, xdsserver.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discoverypb.DiscoveryRequest) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.asked = append(p.asked, r)
			return nil
		},
	}))
	go func() { _ = p.server.Serve(ln) }() // ends with close
	tb.Cleanup(p.close)
}

func (p *plane) close() {
	p.stop()
	p.server.Stop()
}

// requests returns what was asked so far.
func (p *plane) requests() []*discoverypb.DiscoveryRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*discoverypb.DiscoveryRequest{}, p.asked...)
}

// lb is an endpoint of EDS.
func lb(addr string, weight uint32, health corepb.HealthStatus) *endpointpb.LbEndpoint {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 32)
	e := &endpointpb.LbEndpoint{
		HealthStatus: health,
		HostIdentifier: &endpointpb.LbEndpoint_Endpoint{Endpoint: &endpointpb.Endpoint{Address: &corepb.Address{
			Address: &corepb.Address_SocketAddress{SocketAddress: &corepb.SocketAddress{
				Address: host, PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: uint32(n)},
			}},
		}}},
	}
	if weight > 0 {
		e.LoadBalancingWeight = wrapperspb.UInt32(weight)
	}
	return e
}

// assignmentOf has each endpoint in a locality of its own, without a weight of that.
func assignmentOf(cluster string, set []discovery.Endpoint) (*endpointpb.ClusterLoadAssignment, error) {
	cla := &endpointpb.ClusterLoadAssignment{ClusterName: cluster}
	zones := map[string]*endpointpb.LocalityLbEndpoints{}
	for _, e := range set {
		l := zones[e.Zone]
		if l == nil {
			l = &endpointpb.LocalityLbEndpoints{Locality: &corepb.Locality{Zone: e.Zone}}
			zones[e.Zone] = l
			cla.Endpoints = append(cla.Endpoints, l)
		}
		one := lb(e.Addr, uint32(e.Weight), corepb.HealthStatus_HEALTHY)
		if len(e.Attrs) > 0 {
			fields := map[string]any{}
			for k, v := range e.Attrs {
				fields[k] = v
			}
			s, err := structpb.NewStruct(fields)
			if err != nil {
				return nil, err
			}
			one.Metadata = &corepb.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.lb": s}}
		}
		l.LbEndpoints = append(l.LbEndpoints, one)
	}
	return cla, nil
}

func TestWatcherConforms(t *testing.T) {
	p := newPlane(t, "127.0.0.1:0", "")
	number := 0
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		proxy, err := discoverytest.NewProxy(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		number++
		cluster := fmt.Sprintf("echo-%d", number)
		held := map[string]*endpointpb.ClusterLoadAssignment{}
		put := func(cluster string) func(context.Context, []discovery.Endpoint) error {
			return func(_ context.Context, set []discovery.Endpoint) error {
				cla, err := assignmentOf(cluster, set)
				if err != nil {
					return err
				}
				held[cluster] = cla
				return p.cache.UpdateResource(cluster, cla)
			}
		}
		if err := put(cluster)(t.Context(), nil); err != nil { // the service exists
			t.Fatal(err)
		}
		return discoverytest.Fixture{
			Watcher: func() (discovery.Watcher, error) {
				return xds.Watcher([]string{proxy.Addr()}, cluster, xds.Timeout(time.Second)), nil
			},
			Put:        put(cluster),
			PutSibling: put(cluster + "-2"),
			PutMalformed: func(context.Context) error {
				all := malformed(cluster)
				all.Endpoints = append(all.Endpoints, held[cluster].GetEndpoints()...)
				return p.cache.UpdateResource(cluster, all)
			},
			Close:   func() error { return proxy.Close() },
			Proxies: []*discoverytest.Proxy{proxy},
		}
	})
}

// malformed has an endpoint of each kind that is no server.
func malformed(cluster string) *endpointpb.ClusterLoadAssignment {
	at := func(a *corepb.Address) *endpointpb.LbEndpoint {
		return &endpointpb.LbEndpoint{HostIdentifier: &endpointpb.LbEndpoint_Endpoint{Endpoint: &endpointpb.Endpoint{Address: a}}}
	}
	socket := func(s *corepb.SocketAddress) *endpointpb.LbEndpoint {
		return at(&corepb.Address{Address: &corepb.Address_SocketAddress{SocketAddress: s}})
	}
	return &endpointpb.ClusterLoadAssignment{ClusterName: cluster, Endpoints: []*endpointpb.LocalityLbEndpoints{{LbEndpoints: []*endpointpb.LbEndpoint{
		{},
		at(nil),
		{HostIdentifier: &endpointpb.LbEndpoint_EndpointName{EndpointName: "elsewhere"}},
		socket(&corepb.SocketAddress{Address: "10.0.0.1"}),
		socket(&corepb.SocketAddress{Address: "10.0.0.1", PortSpecifier: &corepb.SocketAddress_NamedPort{NamedPort: "http"}}),
		socket(&corepb.SocketAddress{Address: "10.0.0.1", PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: 1 << 20}}),
		socket(&corepb.SocketAddress{Address: "no host", PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: 1}}),
		socket(&corepb.SocketAddress{Protocol: corepb.SocketAddress_UDP, Address: "10.0.0.1", PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: 1}}),
		socket(&corepb.SocketAddress{ResolverName: "r", Address: "10.0.0.1", PortSpecifier: &corepb.SocketAddress_PortValue{PortValue: 1}}),
		at(&corepb.Address{Address: &corepb.Address_Pipe{Pipe: &corepb.Pipe{Path: "/run/x.sock"}}}), // not admitted
		at(&corepb.Address{Address: &corepb.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corepb.EnvoyInternalAddress{}}}),
	}}}}
}

// A control plane restarts: it has forgotten versions and nonces.
func TestAControlPlaneThatRestartsIsFollowed(t *testing.T) {
	set := []discovery.Endpoint{{Addr: "10.0.0.1:1"}, {Addr: "10.0.0.2:1"}}
	p := newPlane(t, "127.0.0.1:0", "first-")
	update := func(p *plane, n int) {
		cla, err := assignmentOf("echo", set[:n])
		if err != nil {
			t.Fatal(err)
		}
		if err := p.cache.UpdateResource("echo", cla); err != nil {
			t.Fatal(err)
		}
	}
	update(p, 1)
	f := discoverytest.Follow(t, xds.Watcher([]string{p.addr}, "echo", xds.WithNode("me"), xds.WithNodeCluster("front"), xds.Timeout(time.Second)))
	f.Await("10.0.0.1:1")
	first := p.requests()[0]
	if n := first.GetNode(); n.GetId() != "me" || n.GetCluster() != "front" || first.GetVersionInfo() != "" || first.GetResourceNames()[0] != "echo" {
		t.Errorf("the first request is %v", first)
	}
	p.close()
	q := newPlane(t, p.addr, "second-")
	update(q, 2)
	f.Await("10.0.0.1:1", "10.0.0.2:1")
	if r := q.requests()[0]; r.GetVersionInfo() != "first-1" || r.GetResponseNonce() != "" || r.GetNode().GetId() != "me" {
		t.Errorf("the first request after the restart is %v", r)
	}
	f.Stop()
}

// The control plane in use restarts, and the next one does not have the cluster: its silence
// does not mean that nothing is new.
func TestAControlPlaneThatNeverHadTheClusterIsLeft(t *testing.T) {
	p, ignorant := newPlane(t, "127.0.0.1:0", "a-"), newPlane(t, "127.0.0.1:0", "b-")
	update := func(p *plane, addr string) {
		cla, err := assignmentOf("echo", []discovery.Endpoint{{Addr: addr}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.cache.UpdateResource("echo", cla); err != nil {
			t.Fatal(err)
		}
	}
	update(p, "10.0.0.1:1")
	f := discoverytest.Follow(t, xds.Watcher([]string{p.addr, ignorant.addr}, "echo", xds.Timeout(300*time.Millisecond)))
	f.Await("10.0.0.1:1")
	p.close()
	q := newPlane(t, p.addr, "c-")
	update(q, "10.0.0.2:1")
	f.Await("10.0.0.2:1")
	if r := ignorant.requests(); len(r) > 0 && r[0].GetVersionInfo() != "" {
		t.Errorf("another control plane was asked with the version of the first: %v", r[0])
	}
	f.Stop()
}

// A snapshot cache answers only if it has nothing that was not asked for.
func TestASnapshotIsFollowed(t *testing.T) {
	c := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	put := func(version string, addrs ...string) {
		var set []discovery.Endpoint
		for _, a := range addrs {
			set = append(set, discovery.Endpoint{Addr: a})
		}
		cla, err := assignmentOf("echo", set)
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := cache.NewSnapshot(version, map[resource.Type][]types.Resource{resource.EndpointType: {cla}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetSnapshot(t.Context(), "me", snapshot); err != nil {
			t.Fatal(err)
		}
	}
	put("1", "10.0.0.1:1")
	p := new(plane)
	p.serve(t, "127.0.0.1:0", c)
	f := discoverytest.Follow(t, xds.Watcher([]string{p.addr}, "echo", xds.WithNode("me")))
	f.Await("10.0.0.1:1")
	put("2", "10.0.0.1:1", "10.0.0.2:1")
	f.Await("10.0.0.1:1", "10.0.0.2:1")
	f.Stop()
}

// The next control plane is asked if one is down or does not know the cluster.
func TestAnyOfTheControlPlanesWillDo(t *testing.T) {
	ignorant, p := newPlane(t, "127.0.0.1:0", ""), newPlane(t, "127.0.0.1:0", "")
	cla, err := assignmentOf("echo", []discovery.Endpoint{{Addr: "10.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cache.UpdateResource("echo", cla); err != nil {
		t.Fatal(err)
	}
	f := discoverytest.Follow(t, xds.Watcher([]string{"127.0.0.1:1", ignorant.addr, p.addr}, "echo", xds.Timeout(200*time.Millisecond)))
	f.Await("10.0.0.1:1")
	f.Stop()
}

func TestAClusterThatDoesNotExistIsAnErrorThatSaysSo(t *testing.T) {
	p := newPlane(t, "127.0.0.1:0", "")
	w := xds.Watcher([]string{p.addr}, "nobody", xds.WithNode("me"), xds.Timeout(200*time.Millisecond))
	err := discoverytest.Follow(t, w).Fails()
	if want := `no endpoints of cluster "nobody" within 200ms: the control plane has none of that name for node "me", or hangs`; !contains(err, want) {
		t.Errorf("got %v", err)
	}
}

func TestTLSWithCertificatesOfBothSides(t *testing.T) {
	ca, cert, key := plugintest.Certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	p := newPlane(t, "127.0.0.1:0", "", grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities, MinVersion: tls.VersionTLS12,
	})))
	cla, err := assignmentOf("echo", []discovery.Endpoint{{Addr: "10.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cache.UpdateResource("echo", cla); err != nil {
		t.Fatal(err)
	}
	var m discovery.Mux
	m.Handle("xds", xds.Opener)
	w, err := m.Open("xds://" + p.addr + "/echo?tls=true&tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key)
	if err != nil {
		t.Fatal(err)
	}
	f := discoverytest.Follow(t, w)
	f.Await("10.0.0.1:1")
	f.Stop()
}
