package xds_test

import (
	"fmt"
	"maps"
	"testing"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/xds"
)

// locality has endpoints, and a weight unless that is 0.
func locality(zone string, priority, weight uint32, es ...*endpointpb.LbEndpoint) *endpointpb.LocalityLbEndpoints {
	l := &endpointpb.LocalityLbEndpoints{Locality: &corepb.Locality{Region: "eu", Zone: zone}, Priority: priority, LbEndpoints: es}
	if weight > 0 {
		l.LoadBalancingWeight = wrapperspb.UInt32(weight)
	}
	return l
}

const (
	healthy  = corepb.HealthStatus_HEALTHY
	unknown  = corepb.HealthStatus_UNKNOWN
	draining = corepb.HealthStatus_DRAINING
)

func TestWhichEndpointsGetCalls(t *testing.T) {
	type weights = map[string]float64
	for name, c := range map[string]struct {
		ls   []*endpointpb.LocalityLbEndpoints
		want weights
	}{
		"healthy and unknown ones": {
			[]*endpointpb.LocalityLbEndpoints{locality("a", 0, 0, lb("h:1", 0, healthy), lb("h:2", 3, unknown), lb("h:3", 0, draining),
				lb("h:4", 0, corepb.HealthStatus_UNHEALTHY), lb("h:5", 0, corepb.HealthStatus_TIMEOUT), lb("h:6", 0, corepb.HealthStatus_DEGRADED))},
			weights{"h:1": 1, "h:2": 3},
		},
		"of the lowest priority that has one": {
			[]*endpointpb.LocalityLbEndpoints{
				locality("c", 2, 0, lb("h:4", 0, healthy)), locality("a", 0, 0, lb("h:1", 0, draining)),
				locality("b", 1, 0, lb("h:2", 0, healthy)), locality("d", 1, 0, lb("h:3", 0, healthy)),
			},
			weights{"h:2": 1, "h:3": 1},
		},
		"by the weights of their localities": { // a has three quarters of the calls
			[]*endpointpb.LocalityLbEndpoints{locality("a", 0, 30, lb("h:1", 0, healthy)), locality("b", 0, 10, lb("h:2", 1, healthy), lb("h:3", 3, healthy))},
			weights{"h:1": 2.25, "h:2": 0.1875, "h:3": 0.5625},
		},
		"and none of a locality without a weight beside others": {
			[]*endpointpb.LocalityLbEndpoints{locality("a", 0, 5, lb("h:1", 0, healthy)), locality("b", 0, 0, lb("h:2", 0, healthy))},
			weights{"h:1": 1},
		},
		"once each": {
			[]*endpointpb.LocalityLbEndpoints{locality("a", 0, 0, lb("h:1", 2, healthy), lb("h:1", 9, healthy))},
			weights{"h:1": 2},
		},
		"or none": {
			[]*endpointpb.LocalityLbEndpoints{locality("a", 0, 0, lb("h:1", 0, draining)), locality("b", 1, 7)}, weights{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoints, _, _ := xds.Assign(&endpointpb.ClusterLoadAssignment{ClusterName: "echo", Endpoints: c.ls})
			got := weights{}
			for addr, e := range endpoints {
				got[addr] = e.Weight
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAllPrioritiesCountIfTheProgramChooses(t *testing.T) {
	endpoints, _, _ := xds.Assign(&endpointpb.ClusterLoadAssignment{Endpoints: []*endpointpb.LocalityLbEndpoints{
		locality("b", 1, 10, lb("h:3", 0, healthy), lb("h:1", 9, healthy)),
		locality("a", 0, 0, lb("h:1", 2, healthy), lb("h:2", 0, draining)),
		locality("c", 1, 30, lb("h:4", 0, healthy)),
		locality("d", 2, 0, lb("h:5", 0, draining)),
	}}, xds.AllPriorities())
	got := map[string]string{}
	for addr, e := range endpoints {
		got[addr] = fmt.Sprint(e.Attrs["priority"], " ", e.Weight)
	}
	// An address of two priorities is of the lower one.
	if want := map[string]string{"h:1": " 2", "h:3": "1 0.075", "h:4": "1 2.25"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAnEndpointHasItsPlace(t *testing.T) {
	l := locality("eu-1", 3, 0, lb("h:1", 0, healthy))
	l.Locality.SubZone = "rack"
	l.LbEndpoints[0].GetEndpoint().Hostname = "h.example.com"
	endpoints, _, _ := xds.Assign(&endpointpb.ClusterLoadAssignment{Endpoints: []*endpointpb.LocalityLbEndpoints{l}})
	want := discovery.Endpoint{Addr: "h:1", Weight: 1, Zone: "eu-1", Attrs: map[string]string{"region": "eu", "sub_zone": "rack", "priority": "3", "hostname": "h.example.com"}}
	if got := endpoints["h:1"]; !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDroppedCallsAreAWarning(t *testing.T) {
	_, _, warning := xds.Assign(&endpointpb.ClusterLoadAssignment{Policy: &endpointpb.ClusterLoadAssignment_Policy{
		DropOverloads: []*endpointpb.ClusterLoadAssignment_Policy_DropOverload{
			{Category: "throttle", DropPercentage: &typepb.FractionalPercent{Numerator: 250, Denominator: typepb.FractionalPercent_TEN_THOUSAND}},
			{Category: "none", DropPercentage: &typepb.FractionalPercent{}},
		},
	}})
	if want := `xds: the control plane wants 2.5 % of the calls dropped ("throttle"), and none is`; warning == nil || warning.Error() != want {
		t.Errorf("got %v", warning)
	}
}

func TestEndpointsThatAreNoServersAreSkipped(t *testing.T) {
	endpoints, skipped, _ := xds.Assign(malformed("echo"))
	if len(skipped) != 8 {
		t.Errorf("skipped are %v", skipped)
	}
	for addr := range endpoints { // which the set refuses
		switch addr {
		case "10.0.0.1:1048576", "no host:1", "unix:/run/x.sock":
		default:
			t.Errorf("%s is left", addr)
		}
	}
}
