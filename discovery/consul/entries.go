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

// newSet returns the set of a watch.
func (w *watcher) newSet() *discovery.Set {
	f := w.format
	f.Decode = func(key string, value []byte) ([]discovery.Endpoint, error) {
		if tag, ok := strings.CutPrefix(string(value[:min(len(value), 100)]), lacking); ok {
			return nil, fmt.Errorf("consul: the instance has no address %q", tag)
		}
		return w.format.Decode(key, value)
	}
	set := f.NewSet(w.place(), w.onSkipped)
	set.Admit(w.admission)
	return set
}

// replace replaces the entries of the set.
func (w *watcher) replace(set *discovery.Set, values map[string][]byte) {
	set.Replace(func(yield func(string, []byte) bool) {
		for key, value := range values {
			if w.format.NamesOnly { // else another value were a change
				value = nil
			}
			if !yield(key, value) {
				return
			}
		}
	})
}

// valuesOf returns the values of instances. An entry is reduced to what describes
// an endpoint, so that anything else in it, such as a check's last output, is
// no change.
func (w *watcher) valuesOf(entries []*api.ServiceEntry) (map[string][]byte, error) {
	values := make(map[string][]byte, len(entries))
	for _, e := range entries {
		if e == nil || e.Node == nil || e.Service == nil {
			return nil, errors.New("an instance without a node or a service")
		}
		entry := entryOf(e)
		value := []byte(lacking + w.address)
		if entry.Service.Kind != "" || choose(entry, e, w.address) {
			var err error
			if value, err = json.Marshal(entry); err != nil {
				return nil, err
			}
		}
		values[e.Node.Node+"/"+e.Service.ID] = value
	}
	return values, nil
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
	for name, a := range e.Service.TaggedAddresses {
		if f.Service.TaggedAddresses == nil {
			f.Service.TaggedAddresses = make(map[string]format.ConsulAddress, len(e.Service.TaggedAddresses))
		}
		f.Service.TaggedAddresses[name] = format.ConsulAddress{Address: a.Address, Port: a.Port}
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
