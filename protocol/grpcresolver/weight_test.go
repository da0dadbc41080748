package grpcresolver_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/ringhash" // registers ring_hash_experimental
	"google.golang.org/grpc/experimental/balancer/weight"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/protocol/grpcresolver"
)

// ring is the service config of gRPC's ring hash by the header "key".
const ring = `{"loadBalancingConfig":[{"ring_hash_experimental":{"minRingSize":4096,"requestHashHeader":"key"}}]}`

// placed makes a call with each of so many keys and returns which server answered it.
func placed(t *testing.T, cc *grpc.ClientConn, keys int) []string {
	t.Helper()
	var at []string
	client := healthpb.NewHealthClient(cc)
	for i := range keys {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "key", strconv.Itoa(i))
		var p peer.Peer
		if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&p), grpc.WaitForReady(true)); err != nil {
			t.Fatal(err)
		}
		at = append(at, p.Addr.String())
	}
	return at
}

func TestRingHashDistributesByWeight(t *testing.T) {
	const keys, tolerance = 3000, 0.3
	servers := []*server{start(t), start(t), start(t)}
	set := endpoints(servers...)
	list := static.NewList(set...)
	for _, weights := range [][]float64{{0, 2, 5}, {2, 0.5, 1.5}} {
		total := 0.0
		for i, w := range weights {
			set[i].Weight = w
			total += capacity(w)
		}
		if err := list.Set(set...); err != nil {
			t.Fatal(err)
		}
		cc := dial(t, "multipool:///echo", grpcresolver.Of(list), grpc.WithDefaultServiceConfig(ring))
		at := placed(t, cc, keys)
		for i, s := range servers {
			n := 0
			for _, a := range at {
				if a == s.addr {
					n++
				}
			}
			want := capacity(weights[i]) / total
			if got := float64(n) / keys; math.Abs(got-want) > tolerance*want {
				t.Errorf("weights %v: server %d answers %.3f of the calls, want %.3f", weights, i, got, want)
			}
		}
	}
}

// capacity of a weight: 0 means 1.
func capacity(w float64) float64 {
	if w == 0 {
		return 1
	}
	return w
}

func TestEveryClientHasTheSameRing(t *testing.T) {
	const keys = 500
	a, b, c := start(t), start(t), start(t)
	list := static.NewList(endpoints(a, b, c)...)
	client := func() *grpc.ClientConn {
		return dial(t, "multipool:///echo", grpcresolver.Of(list), grpc.WithDefaultServiceConfig(ring))
	}
	before := placed(t, client(), keys)
	if other := placed(t, client(), keys); !slices.Equal(before, other) {
		t.Error("two clients call different servers with the same keys")
	}
	for _, set := range [][]*server{{a, b}, {c, b, a}} {
		if err := list.Set(endpoints(set...)...); err != nil {
			t.Fatal(err)
		}
	}
	if after := placed(t, client(), keys); !slices.Equal(before, after) {
		t.Error("a server that left and came back has another place")
	}
}

func TestWeightsAreWholeNumbersInProportion(t *testing.T) {
	for _, k := range []struct {
		weights []float64
		want    []uint32
	}{
		{[]float64{0, 0}, []uint32{1, 1}},
		{[]float64{1, 2, 5}, []uint32{1, 2, 5}},
		{[]float64{0, 3}, []uint32{1, 3}},
		{[]float64{100, 300}, []uint32{100, 300}},
		{[]float64{2, 2.5}, []uint32{2000, 2500}},
		{[]float64{0.5, 1}, []uint32{1000, 2000}},
		{[]float64{0.0001, 0.0003}, []uint32{1000, 3000}},
		{[]float64{1e-9, 1}, []uint32{2, math.MaxInt32 - 2}},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, []uint32{1 << 30, 1 << 30}},
		{[]float64{math.MaxFloat64, 1}, []uint32{math.MaxInt32, 1}},
		{[]float64{5e-324, 1}, []uint32{1, math.MaxInt32}},
	} {
		t.Run(fmt.Sprint(k.weights), func(t *testing.T) {
			var set []discovery.Endpoint
			for i, w := range k.weights {
				set = append(set, discovery.Endpoint{Addr: "h:" + strconv.Itoa(i+1), Weight: w})
			}
			cc := states{got: make(chan resolver.State, 1)}
			r, err := grpcresolver.Of(static.NewList(set...)).Build(resolver.Target{}, cc, resolver.BuildOptions{})
			if err != nil {
				t.Fatal(err)
			}
			state := <-cc.got
			r.Close()
			got := make([]uint32, len(set))
			var sum uint64
			for i, e := range state.Endpoints {
				own, _ := grpcresolver.FromEndpoint(e)
				n := slices.IndexFunc(set, func(s discovery.Endpoint) bool { return s.Addr == own.Addr })
				got[n] = weight.FromEndpoint(e).Weight
				sum += uint64(got[n])
				if key := ringhash.HashKey(e); key != own.Addr {
					t.Errorf("%s has the hash key %q", own.Addr, key)
				}
				old := resolver.Endpoint{Attributes: state.Addresses[i].BalancerAttributes} //nolint:staticcheck // of balancers that read it
				if w := weight.FromEndpoint(old).Weight; w != got[n] {
					t.Errorf("the address of %s has weight %d", own.Addr, w)
				}
			}
			if !slices.Equal(got, k.want) || sum > math.MaxUint32 {
				t.Errorf("got %v, want %v", got, k.want)
			}
		})
	}
}

// states is a ClientConn that passes on the states.
type states struct {
	resolver.ClientConn

	got chan resolver.State
}

func (s states) UpdateState(st resolver.State) error { s.got <- st; return nil }
