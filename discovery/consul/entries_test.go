package consul_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// object is JSON. The types of Consul's client have fields that old servers
// refuse.
type object map[string]any

// put puts an instance into the catalog, on a node of its own.
func put(t *testing.T, db *api.Client, node, service object) {
	t.Helper()
	name := newService()
	registration := object{"Node": name, "Service": service}
	maps.Copy(registration, node)
	_, err := db.Raw().Write("/v1/catalog/register", registration, nil, nil)
	if status, ok := errors.AsType[api.StatusError](err); ok && strings.Contains(status.Body, "unknown field") {
		t.Skipf("this Consul is too old: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Catalog().Deregister(&api.CatalogDeregistration{Node: name}, nil) })
}

func TestInstanceWithASocketPathIsReachedThroughIt(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	put(t, db, object{"Address": "10.0.0.1"}, object{"Service": service, "Port": 80})
	put(t, db, object{"Address": "10.0.0.1"}, object{"Service": service, "SocketPath": "/run/echo.sock"})
	discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.Allow("*", "unix:/run/"))).Await("10.0.0.1:80", "unix:/run/echo.sock")
}

func TestProxiesAndGatewaysOfTheSameNameAreLeftOut(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	put(t, db, object{"Address": "10.0.0.1"}, object{"Service": service, "Port": 80})
	put(t, db, object{"Address": "10.0.0.2"}, object{
		"Kind": "connect-proxy", "Service": service, "Port": 81, "Proxy": object{"DestinationServiceName": service},
	})
	for _, kind := range []string{"mesh-gateway", "terminating-gateway", "ingress-gateway"} {
		put(t, db, object{"Address": "10.0.0.3"}, object{"Kind": kind, "Service": service, "Port": 82})
	}
	var skipped []string
	f := discoverytest.Follow(t, consul.Watcher([]string{addr}, service,
		consul.OnSkipped(func(key string, _ error) { skipped = append(skipped, key) })))
	f.Await("10.0.0.1:80")
	f.Stop()
	if len(skipped) > 0 {
		t.Errorf("they are reported as malformed: %q", skipped)
	}
}

// TestAddressOfAnInstanceIsTheOneThatIsAskedFor has an instance with addresses
// of its own, one with its plain address, and one with those of its node.
func TestAddressOfAnInstanceIsTheOneThatIsAskedFor(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	node := object{"Address": "10.0.0.1", "TaggedAddresses": object{"lan": "10.0.0.2", "wan": "192.0.2.1"}}
	put(t, db, node, object{"Service": service, "Address": "10.0.1.1", "Port": 80, "TaggedAddresses": object{
		"wan":  object{"Address": "192.0.2.9", "Port": 8080},
		"grpc": object{"Address": "10.0.1.1", "Port": 9090},
	}})
	put(t, db, node, object{"Service": service, "Address": "10.0.1.2", "Port": 80})
	put(t, db, node, object{"Service": service, "Port": 81})
	for tag, want := range map[string][]string{
		"":      {"10.0.0.1:81", "10.0.1.1:80", "10.0.1.2:80"},
		"lan":   {"10.0.0.2:81", "10.0.1.1:80", "10.0.1.2:80"},
		"wan":   {"10.0.1.2:80", "192.0.2.1:81", "192.0.2.9:8080"},
		"grpc":  {"10.0.1.1:9090"},
		"other": {},
	} {
		t.Run(tag, func(t *testing.T) {
			var mu sync.Mutex
			skipped := make(map[string]error)
			f := discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.WithAddress(tag),
				consul.OnSkipped(func(key string, err error) {
					mu.Lock()
					defer mu.Unlock()
					skipped[key] = err
				})))
			f.Await(want...)
			mu.Lock()
			defer mu.Unlock()
			if len(skipped) != 3-len(want) {
				t.Errorf("skipped are %v", skipped)
			}
		})
	}
}
