package format_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

func FuzzName(f *testing.F)         { fuzz(f, "name") }
func FuzzValue(f *testing.F)        { fuzz(f, "value") }
func FuzzServerset(f *testing.F)    { fuzz(f, "serverset") }
func FuzzCurator(f *testing.F)      { fuzz(f, "curator") }
func FuzzDubbo(f *testing.F)        { fuzz(f, "dubbo") }
func FuzzNaming(f *testing.F)       { fuzz(f, "naming") }
func FuzzKratos(f *testing.F)       { fuzz(f, "kratos") }
func FuzzKitexEtcd(f *testing.F)    { fuzz(f, "kitex-etcd") }
func FuzzKitexZK(f *testing.F)      { fuzz(f, "kitex-zk") }
func FuzzConsul(f *testing.F)       { fuzz(f, "consul") }
func FuzzRpcx(f *testing.F)         { fuzz(f, "rpcx") }
func FuzzMicro(f *testing.F)        { fuzz(f, "micro") }
func FuzzGoframeEtcd(f *testing.F)  { fuzz(f, "goframe-etcd") }
func FuzzGoframeZK(f *testing.F)    { fuzz(f, "goframe-zk") }
func FuzzShallowParty(f *testing.F) { fuzz(f, "shallow-party") }
func FuzzNerve(f *testing.F)        { fuzz(f, "nerve") }
func FuzzPatroni(f *testing.F)      { fuzz(f, "patroni") }
func FuzzKafka(f *testing.F)        { fuzz(f, "kafka") }
func FuzzSolr(f *testing.F)         { fuzz(f, "solr") }
func FuzzHBase(f *testing.F)        { fuzz(f, "hbase") }
func FuzzClickHouse(f *testing.F)   { fuzz(f, "clickhouse") }

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
			wantBounded(t, name, len(key)+len(value), eps, err)
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
		for _, name := range variants() {
			form := named(t, name)
			if form.Encode == nil {
				continue
			}
			if !utf8.ValidString(addr) || len(addr) > 256 {
				if _, _, err := form.Encode(parent(form), e); err == nil || errors.Is(err, errors.ErrUnsupported) {
					continue // any answer but a panic
				}
				continue
			}
			wantRoundTrip(t, form, e)
		}
	})
}

// wantBounded fails the test if so much is kept of an entry that who writes one
// could fill the memory of its readers.
func wantBounded(t *testing.T, name string, entry int, eps []discovery.Endpoint, err error) {
	t.Helper()
	const (
		most  = 64   // times the entry
		small = 1024 // bytes that do not matter
		slot  = 75   // bytes of a map for an element, at its emptiest
	)
	kept := 0
	maps := make(map[uintptr]bool)
	for _, e := range eps {
		kept += int(reflect.TypeFor[discovery.Endpoint]().Size()) + len(e.Addr) + len(e.Zone)
		at := reflect.ValueOf(e.Attrs).Pointer()
		if maps[at] { // shared
			continue
		}
		maps[at] = true
		for k, v := range e.Attrs {
			kept += slot + len(k) + len(v)
		}
	}
	if err != nil {
		kept += len(err.Error())
	}
	if kept > most*entry+small {
		t.Fatalf("%s: %d bytes are kept of an entry of %d", name, kept, entry)
	}
}

// TestALargeEntryIsKeptWithinBounds has the largest instance of Kratos that is
// made of many short parts.
func TestALargeEntryIsKeptWithinBounds(t *testing.T) {
	var metadata, endpoints []string
	for i := range 2000 {
		metadata = append(metadata, fmt.Sprintf("\"%x\":\"\"", i))
		endpoints = append(endpoints, fmt.Sprintf("\"grpc://h:%d/%x\"", i+1, i))
	}
	for range 2000 {
		endpoints = append(endpoints, "\"\"")
	}
	value := []byte("{\"metadata\":{" + strings.Join(metadata, ",") + "},\"endpoints\":[" + strings.Join(endpoints, ",") + "]}")
	eps, err := named(t, "kratos").Decode("k", value)
	if len(eps) != 4 || err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "and 3993 more") {
		t.Errorf("%d endpoints, error %v", len(eps), err)
	}
	wantBounded(t, "kratos", len(value), eps, err)
	for i := range endpoints { // of one kind
		endpoints[i] = fmt.Sprintf("\"grpc://h:%d\"", i+1)
	}
	value = []byte("{\"metadata\":{" + strings.Join(metadata, ",") + "},\"endpoints\":[" + strings.Join(endpoints, ",") + "]}")
	eps, err = named(t, "kratos").Decode("k", value)
	if len(eps) != 4000 || err != nil {
		t.Errorf("%d endpoints, error %v", len(eps), err)
	}
	wantBounded(t, "kratos", len(value), eps, err)
}
