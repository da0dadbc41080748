package zk_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

func TestEndpointThatTheFormatCannotHoldIsAnErrorOfRegister(t *testing.T) {
	r := zk.Registrar([]string{"127.0.0.1:1"}, "/services/echo")
	e := discovery.Endpoint{Addr: "10.0.0.7:9090", Weight: 2}
	if g, err := discovery.Register(r, e); err == nil {
		_ = g.Close(t.Context())
		t.Error("it is registered, or tried for ever")
	} else if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "a weight") {
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

func TestEachEndpointIsAnErrorOfRegisterOrReadBackAsItIs(t *testing.T) {
	attrs := map[string]string{"version": "2"}
	for _, e := range []discovery.Endpoint{
		{Addr: "10.0.0.7:9090"},
		{Addr: "10.0.0.7:9090", Weight: 0.25},
		{Addr: "10.0.0.7:9090", Weight: 3},
		{Addr: "10.0.0.7:9090", Weight: 1e18},
		{Addr: "10.0.0.7:9090", Zone: "b"},
		{Addr: "10.0.0.7:9090", Attrs: attrs},
		{Addr: "[2001:db8::1]:9090", Weight: 2, Zone: "b", Attrs: attrs},
		{Addr: "unix:/run/a.sock"},
		{Addr: "unix:/run/a.sock", Weight: 0.25, Attrs: attrs},
		{Addr: "10.0.0.7:9090", Attrs: map[string]string{"": ""}},
		{Addr: "10.0.0.7:9090", Attrs: map[string]string{"big": strings.Repeat("x", 2<<20)}},
		{Addr: "0.0.0.0:9090"},
		{Addr: "[::]:9090"},
		{Addr: "*:9090"},
	} {
		for _, name := range format.Names() {
			f, err := format.Named(name)
			if err != nil {
				t.Fatal(err)
			}
			if f.Encode == nil {
				continue
			}
			g, err := discovery.Register(zk.Registrar([]string{"127.0.0.1:1"}, "/services/echo", zk.WithFormat(f)), e)
			if err != nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			_ = g.Close(ctx)
			cancel()
			key, data, err := f.Encode("/services/echo", e)
			if err != nil || len(data) > 1<<20 || slices.Contains([]string{"0.0.0.0:9090", "[::]:9090", "*:9090"}, e.Addr) {
				t.Errorf("%s: %.80v is tried for ever, although it is never there (error %v)", name, e, err)
				continue
			}
			got, err := f.Decode(key, data)
			if err == nil && len(got) == 1 && e.Weight == 0 && got[0].Weight == 1 {
				got[0].Weight = 0 // the same
			}
			if err != nil || len(got) != 1 || !got[0].Equal(e) {
				t.Errorf("%s: %.80v is read back as %.80v, error %v", name, e, got, err)
			}
		}
	}
}
