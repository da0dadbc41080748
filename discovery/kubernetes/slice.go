package kubernetes

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Attributes of endpoints.
const (
	attrNode        = "node"
	attrPod         = "pod"
	attrHostname    = "hostname"
	attrNodeZone    = "node_zone"
	attrForZones    = "for_zones"
	attrForNodes    = "for_nodes"
	attrTerminating = "terminating"
)

// slice is what counts of one EndpointSlice.
type slice struct {
	version string
	size    int // in bytes, of the whole EndpointSlice
	ready   []discovery.Endpoint
	ending  []discovery.Endpoint // terminating, and still serving
	total   int                  // endpoints in any state, of the families that count
	other   int                  // those of a family that does not
	noPort  error                // why none of its ports counts
	err     error                // what else is malformed
}

// read reads an EndpointSlice.
func (c *config) read(s *discoveryv1.EndpointSlice) *slice {
	got := &slice{version: string(s.UID) + "/" + s.ResourceVersion, size: s.Size()}
	if !c.counts(s.AddressType == discoveryv1.AddressTypeIPv6) {
		got.other = len(s.Endpoints)
		return got
	}
	if got.total = len(s.Endpoints); got.total == 0 {
		return got // slices without endpoints have no ports either
	}
	var port string
	if port, got.noPort = c.choose(s.Ports); got.noPort != nil {
		return got
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		ending := !ready && isTrue(e.Conditions.Serving) && isTrue(e.Conditions.Terminating)
		if !ready && !ending {
			continue
		}
		host, err := address(s.AddressType, e.Addresses)
		if err != nil {
			got.err = err
			continue
		}
		server := discovery.Endpoint{Addr: net.JoinHostPort(host, port), Attrs: attributes(e)}
		if e.Zone != nil {
			server.Zone = *e.Zone
		}
		if ending {
			server.Attrs[attrTerminating] = "true"
			got.ending = append(got.ending, server)
		} else {
			got.ready = append(got.ready, server)
		}
	}
	return got
}

func isTrue(b *bool) bool { return b != nil && *b }

// choose returns the port's number, or why there is none.
func (c *config) choose(ports []discoveryv1.EndpointPort) (string, error) {
	number := c.port != "" && strings.Trim(c.port, "0123456789") == ""
	if number && len(ports) == 0 {
		return c.port, nil // of a headless Service without ports
	}
	var found []string
	for _, p := range ports {
		n := "any"
		if p.Port != nil {
			n = strconv.Itoa(int(*p.Port))
		}
		switch {
		case c.port == "", number && n == c.port, !number && p.Name != nil && *p.Name == c.port:
			found = append(found, n)
		case number && p.Port == nil:
			found = append(found, c.port)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found) // of several protocols
	switch {
	case len(found) == 1 && found[0] != "any":
		return found[0], nil
	case len(ports) == 0:
		return "", errors.New("no port is listed: name the port by its number")
	case c.port == "":
		return "", fmt.Errorf("the ports are %s: name one of them", show(ports))
	case number:
		return "", fmt.Errorf("the ports are %s, and none is %s: a number is that of the pods, not that of the Service", show(ports), c.port)
	default:
		return "", fmt.Errorf("the ports are %s, and none is named %s", show(ports), c.port)
	}
}

// show lists ports for an error: "http 8080, metrics 9090".
func show(ports []discoveryv1.EndpointPort) string {
	const most = 8
	var all []string
	for i, p := range ports {
		if i == most {
			all = append(all, "...")
			break
		}
		text := "of any number"
		if p.Port != nil {
			text = strconv.Itoa(int(*p.Port))
		}
		if p.Name != nil && *p.Name != "" {
			text = brief.Clip(*p.Name) + " " + text
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// address returns the first address; no others mean anything.
func address(kind discoveryv1.AddressType, all []string) (string, error) {
	if len(all) == 0 {
		return "", errors.New("an endpoint has no address")
	}
	a := all[0]
	ip, _ := netip.ParseAddr(a)
	switch {
	case kind == discoveryv1.AddressTypeFQDN && !ip.IsValid(): // discovery.Endpoint says which names are valid
		return a, nil
	case kind == discoveryv1.AddressTypeIPv4 && ip.Is4(), kind == discoveryv1.AddressTypeIPv6 && ip.Is6():
		return a, nil
	}
	return "", fmt.Errorf("the address %q is not of type %s", brief.Clip(a), brief.Clip(string(kind)))
}

func attributes(e *discoveryv1.Endpoint) map[string]string {
	attrs := map[string]string{}
	set := func(name string, value *string) {
		if value != nil && *value != "" {
			attrs[name] = *value
		}
	}
	set(attrNode, e.NodeName)
	set(attrHostname, e.Hostname)
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		set(attrPod, &e.TargetRef.Name)
	}
	if e.Hints != nil {
		var zones, nodes []string
		for _, z := range e.Hints.ForZones {
			zones = append(zones, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			nodes = append(nodes, n.Name)
		}
		forZones, forNodes := strings.Join(zones, ","), strings.Join(nodes, ",")
		set(attrForZones, &forZones)
		set(attrForNodes, &forNodes)
		if forZones != "" {
			set(attrNodeZone, e.Zone)
		}
	}
	return attrs
}

// pick decides over the whole set, as kube-proxy does.
func (c *config) pick(set []discovery.Endpoint) []discovery.Endpoint {
	if c.family == familyAny && slices.ContainsFunc(set, func(e discovery.Endpoint) bool { return !isV6(e) }) {
		set = slices.DeleteFunc(set, isV6)
	}
	if slices.ContainsFunc(set, func(e discovery.Endpoint) bool { return !isEnding(e) }) {
		set = slices.DeleteFunc(set, isEnding)
	}
	// Hints count if every endpoint has one.
	if !slices.ContainsFunc(set, func(e discovery.Endpoint) bool { return e.Attrs[attrForZones] == "" }) {
		for i, e := range set {
			if zones := strings.Split(e.Attrs[attrForZones], ","); !slices.Contains(zones, e.Zone) {
				set[i].Zone = zones[0]
			}
		}
	}
	return set
}

func isV6(e discovery.Endpoint) bool { return strings.HasPrefix(e.Addr, "[") }

func isEnding(e discovery.Endpoint) bool { return e.Attrs[attrTerminating] != "" }
