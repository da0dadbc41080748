package consul_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

const hostilePrefix = "svc/echo/"

func watcherOfKeys(addr string) discovery.Watcher {
	return consul.Watcher([]string{addr}, "", consul.WithPrefix(hostilePrefix), consul.WithFormat(format.GRPCNaming()))
}

func TestNothingThatConsulSendsHarmsAWatcherOfKeys(t *testing.T) {
	discoverytest.RunHostile(t, func(*testing.T) discoverytest.Fixture {
		return newHostileKeys().fixture(watcherOfKeys)
	})
}

// newHostileKeys is an agent with keys.
func newHostileKeys() *hostileAgent[*api.KVPair] {
	return newHostileAgent(held[*api.KVPair]{
		path: "/v1/kv/",
		answer: func(w http.ResponseWriter, index int, all []*api.KVPair) {
			w.Header().Set("X-Consul-Index", strconv.Itoa(index))
			if len(all) == 0 {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_ = json.NewEncoder(w).Encode(all)
		},
		of: func(e discovery.Endpoint) (*api.KVPair, error) {
			key, value, err := format.GRPCNaming().Encode(hostilePrefix, e)
			return &api.KVPair{Key: hostilePrefix + key, Value: value}, err
		},
		unchecked: func(n int, e discovery.Endpoint) (*api.KVPair, error) {
			metadata := map[string]string{"zone": e.Zone}
			maps.Copy(metadata, e.Attrs)
			value, err := json.Marshal(map[string]any{"Addr": e.Addr, "Metadata": metadata})
			return &api.KVPair{Key: fmt.Sprint(hostilePrefix, "unchecked", n), Value: value}, err
		},
		contradictions: [5]string{"[null]", `[{"Key":"svc/other/a","Value":"e30="}]`, "{}", `[{"Key":"svc/echo/a","Value":"!"}]`, `"`},
		part:           `{"Key":"svc/echo/a"},`,
		flooded: func(i int, filler string) string {
			pair, err := json.Marshal(api.KVPair{
				Key:   fmt.Sprint(hostilePrefix, i),
				Value: fmt.Appendf(nil, `{"Addr":"10.%d.%d.%d:80","Metadata":{"a":%q}}`, i>>16, i>>8&255, i&255, filler),
			})
			if err != nil {
				panic(err)
			}
			return string(pair)
		},
	})
}

// TestAnswerThatIsNotConsulsIsNoEmptySet has another program at the agent's port, which
// knows no such path. Consul's client takes that for a list without keys.
func TestAnswerThatIsNotConsulsIsNoEmptySet(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	f := discoverytest.Follow(t, watcherOfKeys(s.Listener.Addr().String()))
	if err := f.Fails(); f.Count() > 0 || !strings.Contains(err.Error(), "without an index") {
		t.Errorf("%d reports, error %v", f.Count(), err)
	}
}
