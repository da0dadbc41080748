package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func port(name string, number int32) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Port: &number}
}

func at(addr string, change ...func(*discoveryv1.Endpoint)) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{addr}}
	for _, c := range change {
		c(&e)
	}
	return e
}

// state sets the conditions: "ready", "serving" and "terminating", each with "!" before
// it for false; what is absent is unset.
func state(conditions ...string) func(*discoveryv1.Endpoint) {
	return func(e *discoveryv1.Endpoint) {
		for _, c := range conditions {
			name, no := strings.CutPrefix(c, "!")
			map[string]func(){
				"ready":       func() { e.Conditions.Ready = new(!no) },
				"serving":     func() { e.Conditions.Serving = new(!no) },
				"terminating": func() { e.Conditions.Terminating = new(!no) },
			}[name]()
		}
	}
}

func hint(own string, zones ...string) func(*discoveryv1.Endpoint) {
	return func(e *discoveryv1.Endpoint) {
		e.Zone, e.Hints = &own, &discoveryv1.EndpointHints{}
		for _, z := range zones {
			e.Hints.ForZones = append(e.Hints.ForZones, discoveryv1.ForZone{Name: z})
		}
	}
}

func of(kind discoveryv1.AddressType, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{AddressType: kind, Ports: ports, Endpoints: endpoints}
}

// join returns what a view reports of the slices, and what it says of them.
func join(t *testing.T, service string, all []*discoveryv1.EndpointSlice, opts ...Option) (addrs []string, set []discovery.Endpoint, skipped []string, err error) {
	t.Helper()
	c := newConfig(service, append(opts, WithConfig(&rest.Config{}), OnSkipped(func(key string, err error) {
		skipped = append(skipped, key+": "+err.Error())
	})))
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	v := newView(&client{config: c}, func(got []discovery.Endpoint) { set = got })
	read := map[string]*slice{}
	for i, s := range all {
		s.ObjectMeta = metav1.ObjectMeta{Name: fmt.Sprint("s", i), UID: "u", ResourceVersion: "1"}
		read[s.Name] = c.read(s)
	}
	v.replace(read)
	err = v.tell(t.Context())
	for _, e := range set {
		addrs = append(addrs, e.Addr)
	}
	return addrs, set, skipped, err
}

const (
	v4 = discoveryv1.AddressTypeIPv4
	v6 = discoveryv1.AddressTypeIPv6
)

func TestSlicesAreJoinedByTheirStateAsKubeProxyDoes(t *testing.T) {
	p := []discoveryv1.EndpointPort{port("p", 90)}
	ending := state("!ready", "serving", "terminating")
	for name, c := range map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   []string
		opts   []Option
	}{
		"unset is ready": {slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1"), at("10.0.0.2", state("ready")), at("10.0.0.3", state("!ready")))}, want: []string{"10.0.0.1:90", "10.0.0.2:90"}},
		"one that terminates, beside one that is ready": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1"), at("10.0.0.2", ending))}, want: []string{"10.0.0.1:90"},
		},
		"one that terminates, and no other": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1", state("!ready")), at("10.0.0.2", ending))}, want: []string{"10.0.0.2:90"},
		},
		"one that terminates and serves no more": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1", state("!ready", "!serving", "terminating")))},
		},
		"ready though it terminates, as publishNotReadyAddresses makes it": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1", state("ready", "terminating")), at("10.0.0.2"))}, want: []string{"10.0.0.1:90", "10.0.0.2:90"},
		},
		"twice": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1")), of(v4, p, at("10.0.0.1"), at("10.0.0.2"))}, want: []string{"10.0.0.1:90", "10.0.0.2:90"},
		},
		"twice, and ready in the later one": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1", ending)), of(v4, p, at("10.0.0.1"))}, want: []string{"10.0.0.1:90"},
		},
		"two families": {
			slices: []*discoveryv1.EndpointSlice{of(v6, p, at("fd00::1")), of(v4, p, at("10.0.0.1"))}, want: []string{"10.0.0.1:90"},
		},
		"IPv6 alone": {slices: []*discoveryv1.EndpointSlice{of(v6, p, at("fd00::1")), of(v4, p)}, want: []string{"[fd00::1]:90"}},
		"both": {
			slices: []*discoveryv1.EndpointSlice{of(v6, p, at("fd00::1")), of(v4, p, at("10.0.0.1"))}, want: []string{"[fd00::1]:90", "10.0.0.1:90"}, opts: []Option{WithFamily("both")},
		},
		"IPv6 of two": {
			slices: []*discoveryv1.EndpointSlice{of(v6, p, at("fd00::1")), of(v4, p, at("10.0.0.1"))}, want: []string{"[fd00::1]:90"}, opts: []Option{WithFamily("ipv6")},
		},
		"a name": {slices: []*discoveryv1.EndpointSlice{of(discoveryv1.AddressTypeFQDN, p, at("a.example"))}, want: []string{"a.example:90"}},
		"another port in each": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1")), of(v4, []discoveryv1.EndpointPort{port("p", 91)}, at("10.0.0.1"))}, want: []string{"10.0.0.1:90", "10.0.0.1:91"},
		},
		"the first address alone": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1", "10.0.0.2"}})}, want: []string{"10.0.0.1:90"},
		},
		"none": {},
		"denied": {
			slices: []*discoveryv1.EndpointSlice{of(v4, p, at("10.0.0.1"), at("10.0.0.2"))}, want: []string{"10.0.0.2:90"}, opts: []Option{Deny("10.0.0.1")},
		},
	} {
		if len(c.slices) == 0 {
			continue
		}
		if got, _, _, err := join(t, "shop/echo:p", c.slices, c.opts...); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestPortIsChosenByNameOrNumberOrAsTheOnlyOne(t *testing.T) {
	one, two := []discoveryv1.EndpointPort{port("http", 80)}, []discoveryv1.EndpointPort{port("http", 80), port("metrics", 90)}
	udp := port("dns-udp", 53)
	udp.Protocol = new(corev1.ProtocolUDP)
	for name, c := range map[string]struct {
		port  string
		ports []discoveryv1.EndpointPort
		want  string
		err   string
	}{
		"the only one":           {"", one, "10.0.0.1:80", ""},
		"a name":                 {":metrics", two, "10.0.0.1:90", ""},
		"a number":               {":90", two, "10.0.0.1:90", ""},
		"one of two protocols":   {"", []discoveryv1.EndpointPort{port("dns", 53), udp}, "10.0.0.1:53", ""},
		"no ports, and a number": {":7", nil, "10.0.0.1:7", ""},
		"any, and a number":      {":7", []discoveryv1.EndpointPort{{}}, "10.0.0.1:7", ""},
		"several":                {"", two, "", "the ports are http 80, metrics 90: name one of them"},
		"another name":           {":grpc", two, "", "the ports are http 80, metrics 90, and none is named grpc"},
		"another number":         {":8080", two, "", "none is 8080: a number is that of the pods, not that of the Service"},
		"no ports":               {"", nil, "", "no port is listed: name the port by its number"},
		"no ports, and a name":   {":http", nil, "", "no port is listed"},
		"any":                    {"", []discoveryv1.EndpointPort{{}}, "", "of any number"},
	} {
		got, _, _, err := join(t, "shop/echo"+c.port, []*discoveryv1.EndpointSlice{of(v4, c.ports, at("10.0.0.1"))})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || got != nil {
				t.Errorf("%s: got %q, error %v, want %q", name, got, err, c.err)
			}
		} else if err != nil || !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// TestMalformedSliceCostsItselfAlone has what the API server lets pass, and what it does
// not.
func TestMalformedSliceCostsItselfAlone(t *testing.T) {
	p := []discoveryv1.EndpointPort{port("p", 90)}
	got, _, skipped, err := join(t, "shop/echo:p", []*discoveryv1.EndpointSlice{
		of(v4, p, at("10.0.0.1")),
		of(v4, nil, at("10.0.0.2")),
		of(v4, []discoveryv1.EndpointPort{port("q", 91)}, at("10.0.0.3")),
		of(v4, p, at("fd00::1"), at("10.0.0.4")),
		of(v6, p, at("10.0.0.5")),
		of(v4, p, at("")),
		of(v4, p, discoveryv1.Endpoint{}),
		of("IPv9", p, at("10.0.0.6")),
		of(discoveryv1.AddressTypeFQDN, p, at("a/b")),
		of(discoveryv1.AddressTypeFQDN, p, at("10.0.0.7")),
		of(v4, []discoveryv1.EndpointPort{port("p", 0)}, at("10.0.0.8")),
		of(v4, []discoveryv1.EndpointPort{port("p", -1)}, at("10.0.0.8", state("!ready", "serving", "terminating"))),
	})
	if err != nil || !slices.Equal(got, []string{"10.0.0.1:90", "10.0.0.4:90"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for i := 1; i < 12; i++ {
		if !slices.ContainsFunc(skipped, func(s string) bool { return strings.HasPrefix(s, fmt.Sprintf("s%d: ", i)) }) {
			t.Errorf("slice %d is not among the skipped: %q", i, skipped)
		}
	}
}

// A Service that has lost its port is in doubt whichever family counts.
func TestAPortThatNoSliceHasIsAnErrorWhateverTheFamily(t *testing.T) {
	other := []discoveryv1.EndpointPort{port("other", 91)}
	for _, family := range []string{"any", "both", "ipv4", "ipv6"} {
		_, set, _, err := join(t, "shop/echo:p", []*discoveryv1.EndpointSlice{of(v4, other, at("10.0.0.1")), of(v6, other, at("fd00::1"))}, WithFamily(family))
		if err == nil || set != nil {
			t.Errorf("%s: the set is %v, the error %v", family, set, err)
		}
	}
	_, set, _, err := join(t, "shop/echo:p", []*discoveryv1.EndpointSlice{of(v4, other, at("10.0.0.1"))}, WithFamily("ipv6"))
	if err != nil || set == nil || len(set) > 0 {
		t.Errorf("of another family alone: the set is %v, the error %v", set, err)
	}
}

func TestAttributesAndHintsAreThoseOfTheSlices(t *testing.T) {
	p := []discoveryv1.EndpointPort{port("p", 90)}
	pod := at("10.0.0.1", func(e *discoveryv1.Endpoint) {
		e.NodeName, e.Hostname, e.Zone = new("n1"), new("echo-0"), new("eu-1")
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: "echo-abc"}
	})
	_, set, _, _ := join(t, "shop/echo:p", []*discoveryv1.EndpointSlice{of(v4, p, pod)})
	want := discovery.Endpoint{Addr: "10.0.0.1:90", Zone: "eu-1", Attrs: map[string]string{"node": "n1", "hostname": "echo-0", "pod": "echo-abc"}}
	if len(set) != 1 || !set[0].Equal(want) {
		t.Errorf("got %+v", set)
	}
	for name, c := range map[string]struct {
		endpoints []discoveryv1.Endpoint
		want      []string
	}{
		"each is for its own zone":        {[]discoveryv1.Endpoint{at("10.0.0.1", hint("a", "a")), at("10.0.0.2", hint("b", "b"))}, []string{"a", "b"}},
		"one is lent to another zone":     {[]discoveryv1.Endpoint{at("10.0.0.1", hint("a", "a")), at("10.0.0.2", hint("a", "b"))}, []string{"a", "b"}},
		"one is for several":              {[]discoveryv1.Endpoint{at("10.0.0.1", hint("a", "b", "a")), at("10.0.0.2", hint("c", "b", "a"))}, []string{"a", "b"}},
		"one has no hint, so none counts": {[]discoveryv1.Endpoint{at("10.0.0.1", hint("a")), at("10.0.0.2", hint("a", "b"))}, []string{"a", "a"}},
		"one that is not ready does not matter": {
			[]discoveryv1.Endpoint{at("10.0.0.1", hint("a"), state("!ready")), at("10.0.0.2", hint("a", "b"))}, []string{"b"},
		},
	} {
		_, set, _, _ := join(t, "shop/echo:p", []*discoveryv1.EndpointSlice{of(v4, p, c.endpoints...)})
		var zones []string
		for _, e := range set {
			zones = append(zones, e.Zone)
		}
		if !slices.Equal(zones, c.want) {
			t.Errorf("%s: zones %q, want %q", name, zones, c.want)
		}
	}
}
