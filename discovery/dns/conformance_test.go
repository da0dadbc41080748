package dns_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
)

// classNone removes a record by an update (RFC 2136, 2.5.4).
const classNone dnsmessage.Class = 254

var services atomic.Int64

// service is a name with SRV records in BIND, behind a proxy.
type service struct {
	bind  *bind
	proxy *discoverytest.Proxy
	name  string
	has   map[string]dnsmessage.Resource
	hosts map[string]bool
}

func (b *bind) service(t *testing.T) *service {
	proxy, err := discoverytest.NewProxy(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	return &service{
		bind: b, proxy: proxy, name: fmt.Sprintf("_s%d._tcp.test.", services.Add(1)),
		has: map[string]dnsmessage.Resource{}, hosts: map[string]bool{},
	}
}

func (s *service) watcher() (discovery.Watcher, error) {
	return dns.Watcher([]string{s.proxy.Addr()}, s.name, dns.MinTTL(100*time.Millisecond)), nil
}

func (s *service) put(ctx context.Context, eps []discovery.Endpoint) error {
	want := make(map[string]dnsmessage.Resource, len(eps))
	var changes []dnsmessage.Resource
	for _, e := range eps {
		name, port, _ := net.SplitHostPort(e.Addr)
		ip := net.ParseIP(name)
		switch {
		case ip == nil:
			return fmt.Errorf("DNS resolves names, and does not report them (%w)", errors.ErrUnsupported)
		case e.Zone != "" || len(e.Attrs) > 0 || e.Weight != math.Trunc(e.Weight):
			return fmt.Errorf("SRV records have whole weights and no attributes (%w)", errors.ErrUnsupported)
		}
		target := strings.NewReplacer(".", "-", ":", "-").Replace(name) + ".h.test."
		if !s.hosts[target] {
			changes, s.hosts[target] = append(changes, host(target, ip)), true
		}
		p, _ := strconv.Atoi(port)
		r := srv(s.name, dnsmessage.ClassINET, 0, uint16(max(e.Weight, 1)), uint16(p), target)
		want[e.Addr] = r
		if had, ok := s.has[e.Addr]; !ok || !sameSRV(had, r) {
			changes = append(changes, r)
			if ok {
				changes = append(changes, gone(had))
			}
		}
	}
	for addr, r := range s.has {
		if _, ok := want[addr]; !ok {
			changes = append(changes, gone(r))
		}
	}
	s.has = want
	if len(changes) == 0 {
		return nil
	}
	return s.bind.update(ctx, changes...)
}

func sameSRV(a, b dnsmessage.Resource) bool {
	return *a.Body.(*dnsmessage.SRVResource) == *b.Body.(*dnsmessage.SRVResource)
}

func gone(r dnsmessage.Resource) dnsmessage.Resource {
	r.Header.Class = classNone
	return r
}

func (s *service) remove(ctx context.Context) error {
	s.has = map[string]dnsmessage.Resource{}
	return s.bind.update(ctx, without(s.name, dnsmessage.TypeSRV))
}

func (s *service) putMalformed(ctx context.Context) error {
	return s.bind.update(
		ctx,
		srv(s.name, dnsmessage.ClassINET, 0, 1, 0, "10-0-0-1.h.test."),
		srv(s.name, dnsmessage.ClassINET, 0, 1, 9090, "."),
		srv(s.name, dnsmessage.ClassINET, 0, 1, 9090, "none.h.test."),
		srv(s.name, dnsmessage.ClassINET, 0, 1, 9090, "unspecified.h.test."),
		host("unspecified.h.test.", net.IPv4zero),
	)
}

func (s *service) revokeAccess(context.Context) (func() error, error) {
	return func() error { return s.bind.reload("any", dnsmessage.RCodeSuccess) }, s.bind.reload("none", dnsmessage.RCodeRefused)
}

func TestWatcherConforms(t *testing.T) {
	b := startBind(t, "")
	discoverytest.Run(t, func(t *testing.T) discoverytest.Fixture {
		s := b.service(t)
		sibling := &service{bind: b, name: strings.Replace(s.name, "._tcp", "-2._tcp", 1), has: map[string]dnsmessage.Resource{}, hosts: s.hosts}
		return discoverytest.Fixture{
			Watcher:      s.watcher,
			Put:          s.put,
			Close:        func() error { return errors.Join(s.remove(context.Background()), s.proxy.Close()) },
			Proxies:      []*discoverytest.Proxy{s.proxy},
			Remove:       s.remove,
			RevokeAccess: s.revokeAccess,
			PutMalformed: s.putMalformed,
			PutSibling:   sibling.put,
			// More do not fit into an answer.
			Scale: 1000,
		}
	})
}
