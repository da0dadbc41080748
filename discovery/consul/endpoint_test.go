package consul_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
)

func TestEndpointThatTheFormatCannotHoldIsAnErrorOfRegister(t *testing.T) {
	r := consul.Registrar([]string{"127.0.0.1:1"}, "echo")
	e := discovery.Endpoint{Addr: "10.0.0.7:9090", Weight: 0.3}
	if g, err := discovery.Register(r, e); err == nil {
		_ = g.Close(t.Context())
		t.Error("it is registered, or tried for ever")
	} else if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "the weight 0.3") {
		t.Errorf("error %v", err)
	}
	e = discovery.Endpoint{Addr: e.Addr}
	g, err := discovery.Register(r, e) // nobody is there, but that may change
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = g.Close(ctx)
}

// TestWhatConsulCannotHoldIsAnErrorAtOnceAndAllElseIsRegistered asks an agent
// about the extremes of what is accepted, so that nothing is refused there that
// was accepted here, and tried for ever.
func TestWhatConsulCannotHoldIsAnErrorAtOnceAndAllElseIsRegistered(t *testing.T) {
	addr := agent(t)
	attrs := func(n int) map[string]string {
		all := make(map[string]string)
		for i := range n {
			all[fmt.Sprint("key-", i)] = "value"
		}
		return all
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		e    discovery.Endpoint
		fits bool
	}{
		"weight 1.5":                {discovery.Endpoint{Weight: 1.5}, false},
		"weight 0.25":               {discovery.Endpoint{Weight: 0.25}, false},
		"weight 65536":              {discovery.Endpoint{Weight: 65536}, false},
		"weight 65535":              {discovery.Endpoint{Weight: 65535}, true},
		"65 attributes":             {discovery.Endpoint{Attrs: attrs(65)}, false},
		"64 attributes and a zone":  {discovery.Endpoint{Attrs: attrs(64), Zone: "a"}, false},
		"64 attributes":             {discovery.Endpoint{Attrs: attrs(64)}, true},
		"a dot in a name":           {discovery.Endpoint{Attrs: map[string]string{"a.b": "c"}}, false},
		"a reserved name":           {discovery.Endpoint{Attrs: map[string]string{"consul-a": "c"}}, false},
		"a name of 129 bytes":       {discovery.Endpoint{Attrs: map[string]string{long(129): "c"}}, false},
		"a name of 128 bytes":       {discovery.Endpoint{Attrs: map[string]string{long(128): "c"}}, true},
		"a value of 513 bytes":      {discovery.Endpoint{Attrs: map[string]string{"a": long(513)}}, false},
		"a value of 512 bytes":      {discovery.Endpoint{Attrs: map[string]string{"a": long(512)}}, true},
		"a zone of 513 bytes":       {discovery.Endpoint{Zone: long(513)}, false},
		"tags":                      {discovery.Endpoint{Attrs: map[string]string{"tags": "a,b c,/"}}, true},
		"a socket":                  {discovery.Endpoint{Addr: "unix:/run/echo.sock"}, false},
		"an address for all hosts":  {discovery.Endpoint{Addr: "0.0.0.0:80"}, false},
		"an IPv6 address for those": {discovery.Endpoint{Addr: "[::]:80"}, false},
		"an IPv6 address":           {discovery.Endpoint{Addr: "[2001:db8::1]:80"}, true},
		"an IPv6 address of a link": {discovery.Endpoint{Addr: "[fe80::1%eth0]:80"}, true},
		"a name":                    {discovery.Endpoint{Addr: "a.example:80"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.e.Addr == "" {
				c.e.Addr = "10.0.0.1:80"
			}
			g, err := discovery.Register(consul.Registrar([]string{addr}, newService()), c.e)
			if !c.fits {
				if err == nil {
					_ = g.Close(t.Context())
					t.Error("it is registered, or tried for ever")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wait(t, g)
			if err := g.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
