package consul

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// lacking begins the value of an instance that does not have the address that
// is asked for. No JSON begins like that.
const lacking = "lacking "

// decode is the decoder of the set.
func decode(key string, value []byte) ([]discovery.Endpoint, error) {
	if tag, ok := strings.CutPrefix(string(value[:min(len(value), 100)]), lacking); ok {
		return nil, fmt.Errorf("consul: the instance has no address %q", tag)
	}
	return format.Consul().Decode(key, value)
}

// replace replaces the entries of the set. An entry is reduced to what describes
// an endpoint, so that anything else in it, such as a check's last output, is
// no change.
func (w *watcher) replace(set *discovery.Set, entries []*api.ServiceEntry) error {
	values := make(map[string][]byte, len(entries))
	for _, e := range entries {
		if e == nil || e.Node == nil || e.Service == nil {
			return errors.New("an instance without a node or a service")
		}
		entry := entryOf(e)
		value := []byte(lacking + w.address)
		if entry.Service.Kind != "" || choose(entry, e, w.address) {
			var err error
			if value, err = json.Marshal(entry); err != nil {
				return err
			}
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
			Kind: string(e.Service.Kind), ID: e.Service.ID, Tags: e.Service.Tags, Address: e.Service.Address, Port: e.Service.Port,
			SocketPath: e.Service.SocketPath, Meta: e.Service.Meta,
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

// choose gives the entry the tagged address, if there is a tag, and reports
// whether it has one. A service that has no lan or wan address of its own has
// the one of its address, or else the one of its node, as with Consul.
func choose(entry *format.ConsulEntry, e *api.ServiceEntry, tag string) bool {
	s := &entry.Service
	if tag == "" {
		return true
	}
	if a := e.Service.TaggedAddresses[tag]; a.Address != "" {
		s.Address, s.SocketPath = a.Address, ""
		if a.Port != 0 {
			s.Port = a.Port
		}
		return true
	}
	if s.SocketPath != "" || s.Address != "" {
		return tag == "lan" || tag == "wan"
	}
	if a := e.Node.TaggedAddresses[tag]; a != "" {
		s.Address = a
		return true
	}
	return tag == "lan" || tag == "wan"
}
