package consul

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

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
func (w *watcher) replace(set *discovery.Set, a answer) {
	set.Replace(func(yield func(string, []byte) bool) {
		for key, value := range a.values {
			if w.format.NamesOnly { // else another value were a change
				value = nil
			}
			if !yield(key, value) {
				return
			}
		}
	}, a.kept...)
}

// description is how Consul describes an instance, as far as that concerns an endpoint.
type description struct {
	Node *struct {
		Node, Address   string
		TaggedAddresses map[string]string
	}
	Service *format.ConsulService
	Checks  []format.ConsulCheck
}

// valueOf returns the node, the key and the value of an instance. The value is reduced to
// what describes an endpoint, so that anything else, such as a check's last output, is
// no change.
func (w *watcher) valueOf(object []byte) (node, key string, value []byte, err error) {
	var d description
	if err := json.Unmarshal(object, &d); err != nil {
		return "", "", nil, err
	}
	if d.Node == nil || d.Service == nil {
		return "", "", nil, errors.New("an instance without a node or a service")
	}
	key = d.Node.Node + "/" + d.Service.ID
	node = key[:len(d.Node.Node)]
	if d.Service.Kind == "" && !d.choose(w.address) {
		return node, key, []byte(lacking + w.address), nil
	}
	if weights := d.Service.Weights; weights != nil && *weights == (format.ConsulWeights{}) { // an old Consul has no weights
		d.Service.Weights = nil
	}
	value, err = json.Marshal(format.ConsulEntry{Node: format.ConsulNode{Address: d.Node.Address}, Service: *d.Service, Checks: d.Checks})
	return node, key, value, err
}

// choose gives the instance the tagged address, if there is a tag, and reports
// whether it has one. A service that has no lan or wan address of its own has
// the one of its address, or else the one of its node, as with Consul.
func (d *description) choose(tag string) bool {
	s := d.Service
	if tag == "" {
		return true
	}
	if a := s.TaggedAddresses[tag]; a.Address != "" {
		s.Address, s.SocketPath = a.Address, ""
		if a.Port != 0 {
			s.Port = a.Port
		}
		return true
	}
	if s.SocketPath != "" || s.Address != "" {
		return tag == "lan" || tag == "wan"
	}
	if a := d.Node.TaggedAddresses[tag]; a != "" {
		s.Address = a
		return true
	}
	return tag == "lan" || tag == "wan"
}
