package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// ConsulEntry is one entry of Consul's answer to a question for the health of
// a service, as far as it says something of an endpoint. Its JSON is Consul's.
type ConsulEntry struct {
	Node    ConsulNode
	Service ConsulService
	Checks  []ConsulCheck
}

// ConsulNode is the node that a service runs on.
type ConsulNode struct {
	Address string
}

// ConsulService is one instance of a service, in an answer as in a
// registration with an agent.
type ConsulService struct {
	// Kind is empty for a server. Proxies and gateways of the service mesh have
	// one.
	Kind       string `json:",omitempty"`
	ID         string
	Name       string            `json:",omitempty"`
	Tags       []string          `json:",omitempty"`
	Address    string            `json:",omitempty"`
	Port       int               `json:",omitempty"`
	SocketPath string            `json:",omitempty"` // of a unix socket, instead of an address
	Meta       map[string]string `json:",omitempty"`
	Weights    *ConsulWeights    `json:",omitempty"`
	Locality   *ConsulLocality   `json:",omitempty"`
}

// ConsulWeights are the weights of an instance by the state of its checks.
type ConsulWeights struct {
	Passing int
	Warning int
}

// ConsulLocality is where an instance runs.
type ConsulLocality struct {
	Region string `json:",omitempty"`
	Zone   string `json:",omitempty"`
}

// ConsulCheck is one check of an instance or of its node.
type ConsulCheck struct {
	Status string
}

// Consul is "consul", Consul's own: the value is the JSON of a [ConsulEntry]
// when it is read, and of a [ConsulService], as an agent takes it, when it is
// written. Zone is the locality's, else the metadata "zone". The weight
// is the one of the worst check; an instance with a critical check, or one in
// a state that is unknown here, is left out, and so is one that has a kind.
func Consul() Format {
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) {
		var c ConsulEntry
		if err := unmarshal(value, &c); err != nil {
			return nil, err
		}
		return c.endpoints()
	}
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) {
		s, err := consulService(path.Base(p), e)
		if err != nil {
			return "", nil, err
		}
		value, err := json.Marshal(s)
		return s.ID, value, err
	}
	return wrap("consul", decode, encode)
}

// Endpoints is what the format's decoder makes of c.
func (c *ConsulEntry) Endpoints() ([]discovery.Endpoint, error) {
	eps, err := c.endpoints()
	if err != nil {
		return nil, fmt.Errorf("format: consul: %w", err)
	}
	return eps, nil
}

func (c *ConsulEntry) endpoints() ([]discovery.Endpoint, error) {
	weight, ok := c.weight()
	if !ok || c.Service.Kind != "" {
		return nil, nil
	}
	addr, err := c.addr()
	if err != nil {
		return nil, err
	}
	e, err := at(addr)
	if err != nil {
		return nil, err
	}
	e.Weight = weight
	attrs := texts(maps.Clone(c.Service.Meta))
	if tags := strings.Join(c.Service.Tags, ","); tags != "" {
		if attrs == nil {
			attrs = texts{}
		}
		attrs["tags"] = tags
	}
	attrs.takeZone(&e)
	if l := c.Service.Locality; l != nil && l.Zone != "" {
		e.Zone = l.Zone
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}

func (c *ConsulEntry) addr() (string, error) {
	if path := c.Service.SocketPath; path != "" {
		return "unix:" + path, nil
	}
	host := c.Service.Address
	if host == "" {
		host = c.Node.Address
	}
	switch {
	case host == "":
		return "", errors.New("no address, neither of the service nor of its node")
	case strings.HasPrefix(host, "unix:"):
		return host, nil
	default:
		return hostPort(host, c.Service.Port), nil
	}
}

// weight returns the weight by the worst check, and false when the instance
// takes no calls.
func (c *ConsulEntry) weight() (weight float64, takesCalls bool) {
	warning := false
	for _, check := range c.Checks {
		switch check.Status {
		case "passing":
		case "warning":
			warning = true
		default: // critical, maintenance, and what may come
			return 0, false
		}
	}
	w := c.Service.Weights
	switch {
	case w == nil:
		return 0, true
	case warning:
		weight = float64(w.Warning)
	default:
		weight = float64(w.Passing)
	}
	return weight, weight > 0
}

// NewConsulService returns the registration of e as an instance of the service
// name. Its ID is name and address.
func NewConsulService(name string, e discovery.Endpoint) (ConsulService, error) {
	s, err := consulService(name, e)
	if err != nil {
		return s, fmt.Errorf("format: consul: %w", err)
	}
	return s, nil
}

func consulService(name string, e discovery.Endpoint) (ConsulService, error) {
	attrs, err := attributes(e)
	if err != nil {
		return ConsulService{}, err
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return ConsulService{}, err
	}
	weight, err := wholeWeight(e, 1)
	if err != nil {
		return ConsulService{}, err
	}
	if weight > math.MaxUint16 { // as much as its DNS answers hold
		return ConsulService{}, lacks(fmt.Sprintf("the weight %d, only up to %d", weight, math.MaxUint16))
	}
	s := ConsulService{
		ID: name + "-" + e.Addr, Name: name, Address: host, Port: port,
		Weights: &ConsulWeights{Passing: weight, Warning: 1},
	}
	if tags, ok := attrs["tags"]; ok {
		if tags == "" {
			return s, lacks("tags that are empty")
		}
		s.Tags = strings.Split(attrs.take("tags"), ",")
	}
	if e.Zone != "" {
		attrs["zone"] = e.Zone
	}
	s.Meta = attrs
	return s, consulMeta(attrs)
}

// consulMeta checks metadata against the limits of Consul's agents.
func consulMeta(meta texts) error {
	const maxPairs, maxKey, maxValue = 64, 128, 512
	if len(meta) > maxPairs {
		return lacks(fmt.Sprintf("%d attributes, only up to %d", len(meta), maxPairs))
	}
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		strange := strings.ContainsFunc(k, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
		if k == "" || len(k) > maxKey || strange || strings.HasPrefix(k, "consul-") {
			return lacks(fmt.Sprintf("an attribute of the name %q", clip(k)))
		}
		if len(meta[k]) > maxValue {
			return lacks(fmt.Sprintf("the attribute %q with %d bytes, only up to %d", k, len(meta[k]), maxValue))
		}
	}
	return nil
}
