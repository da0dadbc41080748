package consul_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// awaitOnly waits until w reports want and nothing else.
func awaitOnly(t *testing.T, w discovery.Watcher, want discovery.Endpoint) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var last []discovery.Endpoint
	err := w.Watch(ctx, func(set []discovery.Endpoint) {
		last = slices.Clone(set)
		if len(set) == 1 && set[0].Equal(want) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, error %v; want %+v", last, err, want)
	}
}

// TestInstancesOfKratosAreReadByTheirTaggedAddresses has what kratos 2.9.2 registers.
func TestInstancesOfKratosAreReadByTheirTaggedAddresses(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	put(t, db, object{"Address": "10.0.0.1"}, object{
		"Service": service, "Tags": []string{"version=v1"}, "Address": "10.0.0.1", "Port": 28882, "Meta": object{"weight": "20", "zone": "eu"},
		"TaggedAddresses": object{
			"grpc": object{"Address": "grpc://10.0.0.1:28882?isSecure=false", "Port": 28882},
			"http": object{"Address": "http://10.0.0.1:28883?isSecure=false", "Port": 28883},
		},
	})
	for layout, want := range map[string]string{"kratos:grpc": "10.0.0.1:28882", "kratos:http": "10.0.0.1:28883"} {
		awaitOnly(t, consul.Watcher([]string{addr}, service, consul.WithFormat(format.Consul(layout))),
			discovery.Endpoint{Addr: want, Weight: 0.2, Zone: "eu", Attrs: map[string]string{"version": "v1"}})
	}
}

// TestWhatARegistrarWritesForAFrameworkHasItsPlaces looks at the agent's answer.
func TestWhatARegistrarWritesForAFrameworkHasItsPlaces(t *testing.T) {
	addr := agent(t)
	db := raw(t, addr)
	e := discovery.Endpoint{Addr: "10.0.0.1:9000", Weight: 2, Zone: "eu", Attrs: map[string]string{"version": "v1"}}
	for _, layout := range []string{"kratos:grpc", "kitex", "hertz", "micro", "goframe"} {
		t.Run(layout, func(t *testing.T) {
			service := newService()
			opts := []consul.Option{consul.WithFormat(format.Consul(layout))}
			g, err := discovery.Register(consul.Registrar([]string{addr}, service, opts...), e)
			if err != nil {
				t.Fatal(err)
			}
			wait(t, g)
			awaitOnly(t, consul.Watcher([]string{addr}, service, opts...), e)
			if layout == "kratos:grpc" {
				all, _, err := db.Health().Service(service, "", true, nil)
				if err != nil || len(all) != 1 {
					t.Fatalf("%d instances, error %v", len(all), err)
				}
				s := all[0].Service
				if a := s.TaggedAddresses["grpc"]; a.Address != "grpc://10.0.0.1:9000?isSecure=false" || a.Port != 9000 ||
					!maps.Equal(s.Meta, map[string]string{"weight": "200", "zone": "eu"}) || len(s.Tags) != 1 || s.Tags[0] != "version=v1" {
					t.Errorf("it is %+v", s)
				}
			}
			if err := g.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTagsMayHoldCommas(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	put(t, db, object{"Address": "10.0.0.1"}, object{"Service": service, "Port": 80, "Tags": []string{"rule=Host(a,b)", "v1"}})
	put(t, db, object{"Address": "10.0.0.2"}, object{"Service": service, "Port": 80, "Tags": []string{"rule=Host(a"}})
	awaitOnly(t, consul.Watcher([]string{addr}, service, consul.WithTag("rule=Host(a,b)")),
		discovery.Endpoint{Addr: "10.0.0.1:80", Weight: 1, Attrs: map[string]string{"tags": `["rule=Host(a,b)","v1"]`}})
}
