package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
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
	Name       string   `json:",omitempty"`
	Tags       []string `json:",omitempty"`
	Address    string   `json:",omitempty"`
	Port       int      `json:",omitempty"`
	SocketPath string   `json:",omitempty"` // of a unix socket, instead of an address
	// TaggedAddresses are further addresses by name: Consul's own, such as lan_ipv4, and
	// those of the instance.
	TaggedAddresses map[string]ConsulAddress `json:",omitempty"`
	Meta            map[string]string        `json:",omitempty"`
	Weights         *ConsulWeights           `json:",omitempty"`
	Locality        *ConsulLocality          `json:",omitempty"`
}

// ConsulAddress is one of several addresses of an instance.
type ConsulAddress struct {
	Address string
	Port    int
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
// a state that is unknown here, is left out, and so is one that has a kind. Tags are
// joined by commas, or a JSON array if one of them has a comma.
//
// The layout is how a framework uses an instance, empty for none:
//
//	kratos    Kratos: an endpoint for each tagged address, which is a URL, as of [Kratos];
//	          "kratos:grpc" for one protocol
//	kitex     Kitex: tags are "name:value", and weight 10 is 1
//	hertz     Hertz: the same
//	micro     go-micro: metadata and version are compressed tags; metadata is read where Consul has it
//	goframe   GoFrame: the metadata "metadata" is JSON
func Consul(layout string) Format {
	name := "consul"
	if layout != "" {
		name += ":" + layout
	}
	l, ok := consulLayoutOf(layout)
	decode := func(_ string, value []byte) ([]discovery.Endpoint, error) {
		var c ConsulEntry
		if err := unmarshal(value, &c); err != nil {
			return nil, err
		}
		if !ok {
			return nil, errors.New("no such layout")
		}
		return c.endpoints(l)
	}
	encode := func(p string, e discovery.Endpoint) (string, []byte, error) {
		s, err := consulService(path.Base(p), e, l)
		if err != nil {
			return "", nil, err
		}
		value, err := json.Marshal(s)
		return s.ID, value, err
	}
	f := wrap("consul", decode, encode)
	f.Name = name
	if !ok {
		f.Decode, f.Encode = nil, nil
	}
	if l.relative {
		f.Select = levelZero
	}
	return f
}

func (c *ConsulEntry) endpoints(l consulLayout) ([]discovery.Endpoint, error) {
	weight, ok := c.weight()
	if !ok || c.Service.Kind != "" {
		return nil, nil
	}
	attrs := texts(maps.Clone(c.Service.Meta))
	if attrs == nil {
		attrs = texts{}
	}
	if l.instance != nil {
		return l.instance(c, attrs)
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
	if !l.read(c, &e, attrs) {
		return nil, nil
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
	s, err := consulService(name, e, plainConsul())
	if err != nil {
		return s, fmt.Errorf("format: consul: %w", err)
	}
	return s, nil
}

func consulService(name string, e discovery.Endpoint, l consulLayout) (ConsulService, error) {
	attrs, err := attributes(e)
	if err != nil {
		return ConsulService{}, err
	}
	host, port, err := splitAddr(e)
	if err != nil {
		return ConsulService{}, err
	}
	s := ConsulService{
		ID: name + "-" + e.Addr, Name: name, Address: host, Port: port,
		Weights: &ConsulWeights{Passing: 1, Warning: 1}, Meta: attrs,
	}
	if err := l.write(&s, e, attrs); err != nil {
		return s, err
	}
	if err := consulMeta(s.Meta); err != nil {
		return s, err
	}
	// Whether the layout has a place for all of it is told by reading it.
	c := ConsulEntry{Service: s}
	got, err := c.endpoints(l)
	if err != nil || len(got) != 1 || !same(got[0], e) {
		return s, lacks(fmt.Sprintf("such an endpoint: %s", brief.Clip(fmt.Sprint(e))))
	}
	return s, nil
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
			return lacks(fmt.Sprintf("an attribute of the name %q", brief.Clip(k)))
		}
		if len(meta[k]) > maxValue {
			return lacks(fmt.Sprintf("the attribute %q with %d bytes, only up to %d", k, len(meta[k]), maxValue))
		}
	}
	return nil
}
