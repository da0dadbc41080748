package consul

import (
	"encoding/json"
	"errors"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// replace replaces the entries of the set. An entry is reduced to what describes
// an endpoint, so that anything else in it, such as a check's last output, is
// no change.
func replace(set *discovery.Set, entries []*api.ServiceEntry) error {
	values := make(map[string][]byte, len(entries))
	for _, e := range entries {
		if e == nil || e.Node == nil || e.Service == nil {
			return errors.New("an instance without a node or a service")
		}
		value, err := json.Marshal(entryOf(e))
		if err != nil {
			return err
		}
		values[e.Node.Node+"/"+e.Service.ID] = value
	}
	set.Replace(func(yield func(string, []byte) bool) {
		for key, value := range values {
			if !yield(key, value) {
				return
			}
		}
	})
	return nil
}

func entryOf(e *api.ServiceEntry) *format.ConsulEntry {
	f := &format.ConsulEntry{
		Node: format.ConsulNode{Address: e.Node.Address},
		Service: format.ConsulService{
			ID: e.Service.ID, Tags: e.Service.Tags, Address: e.Service.Address, Port: e.Service.Port, Meta: e.Service.Meta,
		},
	}
	if weights := e.Service.Weights; weights != (api.AgentWeights{}) { // an old Consul has no weights
		f.Service.Weights = &format.ConsulWeights{Passing: weights.Passing, Warning: weights.Warning}
	}
	if l := e.Service.Locality; l != nil {
		f.Service.Locality = &format.ConsulLocality{Region: l.Region, Zone: l.Zone}
	}
	for _, check := range e.Checks {
		f.Checks = append(f.Checks, format.ConsulCheck{Status: check.Status})
	}
	return f
}
