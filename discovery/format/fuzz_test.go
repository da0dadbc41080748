package format_test

import (
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

func FuzzName(f *testing.F)      { fuzz(f, "name") }
func FuzzValue(f *testing.F)     { fuzz(f, "value") }
func FuzzServerset(f *testing.F) { fuzz(f, "serverset") }
func FuzzCurator(f *testing.F)   { fuzz(f, "curator") }
func FuzzDubbo(f *testing.F)     { fuzz(f, "dubbo") }
func FuzzNaming(f *testing.F)    { fuzz(f, "naming") }
func FuzzKratos(f *testing.F)    { fuzz(f, "kratos") }
func FuzzKitexEtcd(f *testing.F) { fuzz(f, "kitex-etcd") }
func FuzzKitexZK(f *testing.F)   { fuzz(f, "kitex-zk") }
func FuzzConsul(f *testing.F)    { fuzz(f, "consul") }

// fuzz reads any entry: no panic, every endpoint valid, no attribute that
// stands for a field, and what can be written again is read as it was.
func fuzz(f *testing.F, family string) {
	variants := []string{family}
	for _, g := range load(f, family) {
		f.Add(g.Key, []byte(g.Value))
		if !slices.Contains(variants, g.Format) {
			variants = append(variants, g.Format)
		}
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		for _, name := range variants {
			form := named(t, name)
			eps, err := form.Decode(key, value)
			again, err2 := form.Decode(key, value)
			if !slices.EqualFunc(eps, again, discovery.Endpoint.Equal) || (err == nil) != (err2 == nil) {
				t.Fatalf("%s: read once as %v, %v and once as %v, %v", name, eps, err, again, err2)
			}
			for _, e := range eps {
				if err := e.Validate(); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if utf8.ValidString(e.Addr) {
					wantRoundTrip(t, form, e)
				}
			}
		}
	})
}

// FuzzEncode writes any endpoint in every format: what is written is read back
// as it was, and what cannot be is told.
func FuzzEncode(f *testing.F) {
	for _, e := range full() {
		f.Add(e.Addr, e.Weight, e.Zone, "key", "value")
		for k, v := range e.Attrs {
			f.Add(e.Addr, e.Weight, e.Zone, k, v)
		}
	}
	f.Fuzz(func(t *testing.T, addr string, weight float64, zone, k, v string) {
		e := discovery.Endpoint{Addr: addr, Weight: weight, Zone: zone}
		if k+v != "" {
			e.Attrs = map[string]string{k: v}
		}
		if e.Validate() != nil {
			return
		}
		for _, name := range append(format.Names(), "serverset:http", "curator:ssl", "dubbo:tri", "kratos:http") {
			form := named(t, name)
			if !utf8.ValidString(addr) || len(addr) > 256 {
				if _, _, err := form.Encode(path, e); err == nil || errors.Is(err, errors.ErrUnsupported) {
					continue // any answer but a panic
				}
				continue
			}
			wantRoundTrip(t, form, e)
		}
	})
}
