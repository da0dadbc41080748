package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
)

// sliceSize is how many endpoints the API server takes in one slice.
const sliceSize = 1000

var services atomic.Int64

// service is a Service, behind a proxy of its own. There is nothing but its slices.
type service struct {
	cluster   *cluster
	proxy     *discoverytest.Proxy
	namespace string
	name      string
	where     map[string]string // the slice of each address
	slices    map[string]*discoveryv1.EndpointSlice
	requests  atomic.Int64 // of watchers
}

func (c *cluster) service(tb testing.TB, namespace string) *service {
	return c.named(namespace, fmt.Sprintf("s%d", services.Add(1)), plugintest.Proxy(tb, c.addr))
}

func (c *cluster) named(namespace, name string, proxy *discoverytest.Proxy) *service {
	return &service{
		cluster: c, proxy: proxy, namespace: namespace, name: name,
		where: map[string]string{}, slices: map[string]*discoveryv1.EndpointSlice{},
	}
}

func (s *service) watcher(opts ...kubernetes.Option) (discovery.Watcher, error) {
	r := s.cluster.config(s.proxy.Addr(), followerToken)
	r.WrapTransport = func(rt http.RoundTripper) http.RoundTripper { return &counter{rt, &s.requests} }
	opts = append(opts, kubernetes.WithConfig(r), kubernetes.WithFamily("both"))
	return kubernetes.Watcher(s.namespace+"/"+s.name+":p", opts...), nil
}

// counter counts requests.
type counter struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// put writes the slices that differ. Each has one port and one kind of addresses.
func (s *service) put(ctx context.Context, set []discovery.Endpoint) error {
	next := map[string]*discoveryv1.EndpointSlice{}
	for name, old := range s.slices { // those that are empty stay
		next[name] = old.DeepCopy()
		next[name].Endpoints = nil
	}
	// Those that have a slice come first, so that they stay in it.
	set = slices.Clone(set)
	slices.SortStableFunc(set, func(a, b discovery.Endpoint) int { return len(s.where[b.Addr]) - len(s.where[a.Addr]) })
	for _, e := range set {
		if e.Weight != 0 && e.Weight != 1 || len(e.Attrs) > 0 {
			return fmt.Errorf("an EndpointSlice has no weights and no attributes of one's own (%w)", errors.ErrUnsupported)
		}
		host, port, err := net.SplitHostPort(e.Addr)
		if err != nil {
			return fmt.Errorf("an EndpointSlice has no sockets (%w)", errors.ErrUnsupported)
		}
		kind := discoveryv1.AddressTypeFQDN
		if ip, err := netip.ParseAddr(host); err == nil {
			kind = discoveryv1.AddressTypeIPv4
			if ip.Is6() {
				kind = discoveryv1.AddressTypeIPv6
			}
		}
		n, _ := strconv.Atoi(port)
		slice := s.place(next, e.Addr, kind, int32(n))
		endpoint := discoveryv1.Endpoint{Addresses: []string{host}}
		if e.Zone != "" {
			endpoint.Zone = &e.Zone
		}
		slice.Endpoints = append(slice.Endpoints, endpoint)
	}
	if len(next) == 0 {
		s.place(next, "", discoveryv1.AddressTypeIPv4, 1)
	}
	for name, slice := range next {
		if old := s.slices[name]; old != nil && fmt.Sprint(old.Endpoints) == fmt.Sprint(slice.Endpoints) {
			continue
		}
		if err := s.cluster.put(ctx, slicesPath(s.namespace), name, slice); apierrors.IsInvalid(err) {
			return fmt.Errorf("the API server refuses loopback addresses, and names without a dot (%w): %w", errors.ErrUnsupported, err)
		} else if err != nil {
			return err
		}
		s.slices[name] = slice
	}
	return nil
}

// place returns the slice that an address belongs to, which never changes.
func (s *service) place(all map[string]*discoveryv1.EndpointSlice, addr string, kind discoveryv1.AddressType, port int32) *discoveryv1.EndpointSlice {
	name := s.where[addr]
	for i := 0; name == "" || all[name] != nil && len(all[name].Endpoints) >= sliceSize; i++ {
		name = fmt.Sprintf("%s-%d-%s-%d", s.name, port, strings.ToLower(string(kind)), i)
	}
	s.where[addr] = name
	if all[name] == nil {
		all[name] = newSlice(s.name, name, kind, port)
	}
	return all[name]
}

func newSlice(service, name string, kind discoveryv1.AddressType, port int32, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	portName := "p"
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: kind,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
		Endpoints:   endpoints,
	}
}

func (s *service) remove(ctx context.Context) error {
	var errs []error
	for name := range s.slices {
		errs = append(errs, s.cluster.remove(ctx, slicesPath(s.namespace), name))
	}
	s.slices = map[string]*discoveryv1.EndpointSlice{}
	return errors.Join(errs...)
}

// putMalformed adds all that the API server lets pass: slices without ports, and with
// others.
func (s *service) putMalformed(ctx context.Context) error {
	for i, change := range []func(*discoveryv1.EndpointSlice){
		func(e *discoveryv1.EndpointSlice) { e.Ports = nil },
		func(e *discoveryv1.EndpointSlice) { other := "other"; e.Ports[0].Name = &other },
		func(e *discoveryv1.EndpointSlice) { e.Ports[0].Port = nil },
	} {
		slice := newSlice(s.name, fmt.Sprintf("%s-malformed-%d", s.name, i), discoveryv1.AddressTypeIPv4, 9090,
			discoveryv1.Endpoint{Addresses: []string{"10.9.9.9"}})
		change(slice)
		if err := s.cluster.put(ctx, slicesPath(s.namespace), slice.Name, slice); err != nil {
			return err
		}
		defer func() { s.slices[slice.Name] = slice }() // to be removed
	}
	return nil
}

func (s *service) fixture() discoverytest.Fixture {
	sibling := s.cluster.named(s.namespace, s.name+"-2", s.proxy)
	return discoverytest.Fixture{
		Watcher: func() (discovery.Watcher, error) { return s.watcher() },
		Put:     s.put,
		Close: func() error {
			return errors.Join(s.remove(context.Background()), sibling.remove(context.Background()))
		},
		Proxies:       []*discoverytest.Proxy{s.proxy},
		Compact:       s.cluster.compact,
		CountRequests: func(context.Context) (int, error) { return int(s.requests.Load()), nil },
		Remove:        s.remove,
		RevokeAccess: func(ctx context.Context) (func() error, error) {
			return func() error { return s.cluster.allow(context.Background(), s.namespace, "list", "watch") }, s.cluster.forbid(ctx, s.namespace)
		},
		PutMalformed: s.putMalformed,
		PutSibling:   sibling.put,
		Timeout:      20 * time.Second,
	}
}

// TestWatcherConforms has the three ways in which an API server lists and watches. The
// cut at each byte of the connection, which takes minutes, is made with the first alone.
func TestWatcherConforms(t *testing.T) {
	for _, c := range []struct {
		name, etcd string
		flags      []string
	}{
		{name: "streaming lists", etcd: "ETCD_BINARY"},
		{name: "etcd 3.4, lists", etcd: "ETCD_OLD_BINARY"},
		{name: "no cache, watch of etcd", etcd: "ETCD_BINARY", flags: []string{"--watch-cache=false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := startCluster(t, c.etcd, c.flags...)
			if err := errors.Join(cluster.namespace(t.Context(), "shop"), cluster.allow(t.Context(), "shop", "list", "watch")); err != nil {
				t.Fatal(err)
			}
			discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
				s := cluster.service(t, "shop")
				f := s.fixture()
				if c.etcd == "ETCD_OLD_BINARY" || c.flags != nil {
					f.Proxies = nil
					f.Cut = func(context.Context) (func() error, error) { s.proxy.Cut(); return s.proxy.Heal, nil }
					f.Hang = func(context.Context) (func() error, error) { return s.proxy.Heal, s.proxy.Hang() }
					f.Break = func(context.Context) error { s.proxy.Break(); return nil }
				}
				return f
			})
		})
	}
}
