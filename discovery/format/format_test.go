package format_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// golden is one entry of a registry and what is to be read from it. Those with an
// origin are the bytes that the program of this version wrote into a registry, or, "by
// text", what its documentation has.
type golden struct {
	Origin string
	Format string // the file's name without this
	Key    string
	Value  value
	Want   []discovery.Endpoint
	Error  string // part of it
}

// value is a JSON text for the bytes in it, or any other JSON for itself.
type value []byte

func (v *value) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		*v = bytes.Clone(data)
		return nil
	}
	var s string
	err := json.Unmarshal(data, &s)
	*v = value(s)
	return err
}

// load reads the golden entries of one family of formats.
func load(tb testing.TB, family string) []golden {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", family+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(data, &all); err != nil {
		tb.Fatal(err)
	}
	for i := range all {
		if all[i].Format == "" {
			all[i].Format = family
		}
	}
	return all
}

func named(tb testing.TB, name string) format.Format {
	tb.Helper()
	f, err := format.Named(name)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestEntriesAreReadAsTheirWritersMeantThem(t *testing.T) {
	for _, family := range format.Names() {
		for _, g := range load(t, family) {
			got, err := named(t, g.Format).Decode(g.Key, g.Value)
			if !slices.EqualFunc(got, g.Want, func(a, b discovery.Endpoint) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("%s %q %s\n got %+v\nwant %+v", g.Format, g.Key, g.Value, got, g.Want)
			}
			switch {
			case g.Error == "" && err != nil:
				t.Errorf("%s %q %s\nerror %v", g.Format, g.Key, g.Value, err)
			case g.Error != "" && (err == nil || !strings.Contains(err.Error(), g.Error)):
				t.Errorf("%s %q %s\nerror %v, want one with %q", g.Format, g.Key, g.Value, err, g.Error)
			case err != nil && !strings.HasPrefix(err.Error(), "format: "+family+": "):
				t.Errorf("the error %q does not begin with its format", err)
			}
		}
	}
}

func TestFormatsOfNamesAreReadWithoutValues(t *testing.T) {
	want := map[string]bool{"name": true, "dubbo": true, "solr": true, "hbase": true, "shallow-party": true}
	for _, family := range format.Names() {
		f := named(t, family)
		if f.NamesOnly != want[family] {
			t.Errorf("%s: NamesOnly is %t", family, f.NamesOnly)
		}
		if !f.NamesOnly {
			continue
		}
		for _, g := range load(t, family) {
			with, err1 := named(t, g.Format).Decode(g.Key, []byte("{}"))
			without, err2 := named(t, g.Format).Decode(g.Key, nil)
			if !reflect.DeepEqual(with, without) || (err1 == nil) != (err2 == nil) {
				t.Errorf("%s %q depends on the value", g.Format, g.Key)
			}
		}
	}
}

// path is the parent of the entries that tests encode.
const path = "/services/com.foo.Echo/providers"

// parent is path, or one of the shape that the format demands.
func parent(f format.Format) string {
	switch f.Name {
	case "goframe-etcd":
		return "/service/default/default/echo/latest"
	case "goframe-zk":
		return "/microservices/service-default-default-echo-latest"
	default:
		return path
	}
}

// variants has the formats by name, and some of their variants.
func variants() []string {
	return append(format.Names(), "serverset:http", "curator:ssl", "curator:spring", "curator:dubbo", "dubbo:tri", "kratos:http", "rpcx:quic",
		"consul:kratos", "consul:kratos:http", "consul:kitex", "consul:hertz", "consul:micro", "consul:goframe")
}

// readOnly are the formats that other programs alone write.
func readOnly(name string) bool {
	return slices.Contains([]string{"patroni", "kafka", "solr", "hbase", "clickhouse"}, name)
}

// full is what an endpoint may say; each format holds some of it.
func full() []discovery.Endpoint {
	return []discovery.Endpoint{
		{Addr: "10.0.0.1:9090"},
		{Addr: "[2001:db8::1]:65535"},
		{Addr: "[fe80::1%eth0]:1"},
		{Addr: "echo.example:1"},
		{Addr: "unix:/run/echo.sock"},
		{Addr: "10.0.0.1:1", Weight: 7},
		{Addr: "10.0.0.1:1", Weight: 0.07},
		{Addr: "10.0.0.1:1", Weight: 1e-300},
		{Addr: "10.0.0.1:1", Zone: "eu-1"},
		{Addr: "10.0.0.1:1", Zone: "zone a/b & 東京"},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"version": "2", "team": "core"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{
			"ключ": "значение", "emoji": "👩‍🚀", "quotes": `"'\`, "lines": "1\n2", "url": "a=b&c=d%20e", "empty": "", "": "x",
		}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"scheme": "http", "path": "/v1", "secure": "true"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"scheme": "no scheme", "path": "no path"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"scheme": "HTTP", "secure": "maybe"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"shard": "7", "tags": "a,b", "metadata": "m", "payload": "p"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"shard": "07", "instance_status": "DOWN", "enabled": "false", "category": "x"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"weight": "7"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"zone": "z"}},
		{Addr: "10.0.0.1:1", Attrs: map[string]string{"bytes": "\xff"}},
	}
}

// equal takes weight 0 for 1, as the contract does.
func equal(a, b discovery.Endpoint) bool {
	for _, e := range []*discovery.Endpoint{&a, &b} {
		if e.Weight == 0 {
			e.Weight = 1
		}
	}
	return a.Equal(b)
}

// wantRoundTrip encodes e, and reads it back unless the format has no place
// for it. It returns whether it has.
func wantRoundTrip(t *testing.T, f format.Format, e discovery.Endpoint) bool {
	t.Helper()
	if f.Encode == nil {
		return false
	}
	path := parent(f)
	key, value, err := f.Encode(path, e)
	if errors.Is(err, errors.ErrUnsupported) {
		return false
	}
	if err != nil {
		t.Fatalf("%s: encoding %+v: %v", f.Name, e, err)
	}
	if key == "" || strings.Contains(key, "/") {
		t.Errorf("%s: %+v has the key %q", f.Name, e, key)
	}
	if strings.HasPrefix(f.Name, "consul") {
		value = registered(t, value)
	}
	got, err := f.Decode(path+"/"+key, value)
	if err != nil || len(got) != 1 || !equal(got[0], e) {
		t.Fatalf("%s: %+v was written as %s %s and read as %+v, error %v", f.Name, e, key, value, got, err)
	}
	return true
}

// registered is how a registration comes back from Consul.
func registered(t *testing.T, registration []byte) []byte {
	t.Helper()
	value, err := json.Marshal(map[string]json.RawMessage{"Service": registration})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestWhatIsWrittenIsReadBackAsItWas(t *testing.T) {
	for _, name := range variants() {
		if f := named(t, name); (f.Encode == nil) != readOnly(name) {
			t.Errorf("%s can be written: %t", name, f.Encode != nil)
		}
		if readOnly(name) {
			continue
		}
		held := 0
		for _, e := range full() {
			if wantRoundTrip(t, named(t, name), e) {
				held++
			}
		}
		if held < 4 {
			t.Errorf("%s holds %d of the endpoints; the test shows nothing", name, held)
		}
	}
}

// An interface of Windows is a number or may have any name; what looks like an escape is none.
func TestScopesOfIPv6AreReadBackAsTheyWere(t *testing.T) {
	scopes := []string{"eth0", "12", "25", "25x", "2F", "41", "0700", "Ethernet 2"}
	for c := byte(' '); c <= '~'; c++ {
		scopes = append(scopes, string(c), "a"+string(c)+"b")
	}
	for _, name := range variants() {
		for _, scope := range scopes {
			e := discovery.Endpoint{Addr: "[fe80::1%" + scope + "]:80"}
			if e.Validate() == nil {
				wantRoundTrip(t, named(t, name), e)
			}
		}
	}
}

// An attribute may be a part of the key.
func TestKeysHaveOnePartWhateverTheAttributesAre(t *testing.T) {
	for _, name := range variants() {
		for _, k := range []string{"version", "group", "protocol", "scheme", "path", "id", "name", "service", "network", "tags", "zone", "namespace"} {
			for _, v := range []string{"/", "a/b", "..", "%2F", "@", "-", ","} {
				wantRoundTrip(t, named(t, name), discovery.Endpoint{Addr: "10.0.0.1:80", Attrs: map[string]string{k: v}})
			}
		}
	}
}

func TestEncodersRefuseWhatCannotBeDialed(t *testing.T) {
	for _, name := range variants() {
		if readOnly(name) {
			continue
		}
		if key, value, err := named(t, name).Encode(parent(named(t, name)), discovery.Endpoint{Addr: "nowhere"}); err == nil {
			t.Errorf("%s: wrote %s %s", name, key, value)
		}
	}
}

func TestEntriesAreWrittenAsTheirReadersExpectThem(t *testing.T) {
	e := discovery.Endpoint{Addr: "10.0.0.1:9000", Weight: 2, Zone: "eu-1", Attrs: map[string]string{"version": "v1"}}
	for name, want := range map[string][2]string{
		"serverset": {
			"member_3868752936",
			`{"serviceEndpoint":{"host":"10.0.0.1","port":9000},"additionalEndpoints":{},"status":"ALIVE","metadata":{"version":"v1","weight":"2","zone":"eu-1"}}`,
		},
		"curator": {
			"10.0.0.1:9000",
			`{"name":"echo","id":"10.0.0.1:9000","address":"10.0.0.1","port":9000,"sslPort":null,"payload":{"@class":"java.util.LinkedHashMap","version":"v1","weight":"2","zone":"eu-1"},"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}`,
		},
		"curator:spring": {
			"10.0.0.1:9000",
			`{"name":"echo","id":"10.0.0.1:9000","address":"10.0.0.1","port":9000,"sslPort":null,"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance","id":"10.0.0.1:9000","name":"echo","metadata":{"version":"v1","weight":"2","zone":"eu-1"}},"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]},"enabled":true}`,
		},
		"curator:dubbo": {
			"10.0.0.1:9000",
			`{"name":"echo","id":"10.0.0.1:9000","address":"10.0.0.1","port":9000,"sslPort":null,"payload":{"@class":"org.apache.dubbo.registry.zookeeper.ZookeeperInstance","id":"10.0.0.1:9000","name":"echo","metadata":{"version":"v1","weight":"2","zone":"eu-1"}},"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}`,
		},
		"dubbo":      {"dubbo%3A%2F%2F10.0.0.1%3A9000%2Fecho%3Fversion%3Dv1%26weight%3D200%26zone%3Deu-1", ""},
		"naming":     {"10.0.0.1:9000", `{"Op":0,"Addr":"10.0.0.1:9000","Metadata":{"version":"v1","weight":"2","zone":"eu-1"}}`},
		"kratos":     {"10.0.0.1:9000", `{"id":"10.0.0.1:9000","name":"echo","version":"v1","metadata":{"weight":"200","zone":"eu-1"},"endpoints":["grpc://10.0.0.1:9000?isSecure=false"]}`},
		"kitex-etcd": {"10.0.0.1:9000", `{"network":"tcp","address":"10.0.0.1:9000","weight":20,"tags":{"version":"v1","zone":"eu-1"}}`},
		"kitex-zk":   {"10.0.0.1:9000", `{"Weight":20,"Tags":{"version":"v1","zone":"eu-1"}}`},
		"rpcx":       {"tcp@10.0.0.1:9000", "version=v1&weight=2&zone=eu-1"},
		"micro": {
			"10.0.0.1:9000",
			`{"name":"echo","version":"v1","metadata":null,"endpoints":[],"nodes":[{"metadata":{"weight":"2","zone":"eu-1"},"id":"10.0.0.1:9000","address":"10.0.0.1:9000"}]}`,
		},
		"hertz-etcd": {"10.0.0.1:9000", `{"network":"tcp","address":"10.0.0.1:9000","weight":20,"tags":{"version":"v1","zone":"eu-1"}}`},
		"hertz-zk":   {"10.0.0.1:9000", `{"Weight":20,"Tags":{"version":"v1","zone":"eu-1"}}`},
		"nerve":      {"10.0.0.1:9000", `{"host":"10.0.0.1","port":9000,"name":"10.0.0.1:9000","weight":2,"labels":{"version":"v1","zone":"eu-1"}}`},
		"consul:kratos:grpc": {
			"echo-10.0.0.1:9000",
			`{"ID":"echo-10.0.0.1:9000","Name":"echo","Tags":["version=v1"],"Address":"10.0.0.1","Port":9000,"TaggedAddresses":{"grpc":{"Address":"grpc://10.0.0.1:9000?isSecure=false","Port":9000}},"Meta":{"weight":"200","zone":"eu-1"},"Weights":{"Passing":1,"Warning":1}}`,
		},
		"consul:kitex": {"echo-10.0.0.1:9000", `{"ID":"echo-10.0.0.1:9000","Name":"echo","Tags":["version:v1","zone:eu-1"],"Address":"10.0.0.1","Port":9000,"Weights":{"Passing":20,"Warning":20}}`},
		"consul:micro": {
			"echo-10.0.0.1:9000",
			`{"ID":"echo-10.0.0.1:9000","Name":"echo","Tags":["t-789caa562a4fcd4ccf2851b2523252aa05040000ffff245f0475","t-789caa56aacacf4b55b2524a2dd53554aa05040000ffff27d104af","v-789c2a3304040000ffff011f00a8"],"Address":"10.0.0.1","Port":9000,"Meta":{"weight":"2","zone":"eu-1"},"Weights":{"Passing":1,"Warning":1}}`,
		},
		"consul:goframe": {"echo-v1-10.0.0.1:9000", `{"ID":"echo-v1-10.0.0.1:9000","Name":"echo","Tags":["v1"],"Address":"10.0.0.1","Port":9000,"Meta":{"metadata":"{\"weight\":\"2\",\"zone\":\"eu-1\"}","version":"v1"},"Weights":{"Passing":1,"Warning":1}}`},
		"consul":         {"echo-10.0.0.1:9000", `{"ID":"echo-10.0.0.1:9000","Name":"echo","Address":"10.0.0.1","Port":9000,"Meta":{"version":"v1","zone":"eu-1"},"Weights":{"Passing":2,"Warning":1}}`},
	} {
		key, value, err := named(t, name).Encode("/services/echo", e)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := [2]string{key, string(value)}; got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
	for path, want := range map[string][3]string{
		"/service/default/default/echo/v1":                   {"goframe-etcd", "10.0.0.1:9000", `{"weight":"2","zone":"eu-1"}`},
		"/microservices/service-default-default-echo-svc-v1": {"goframe-zk", "10.0.0.1:9000", `{"Key":"/service/default/default/echo-svc/v1/10.0.0.1:9000","Value":"{\"weight\":\"2\",\"zone\":\"eu-1\"}"}`},
	} {
		key, value, err := named(t, want[0]).Encode(path, e)
		if key != want[1] || string(value) != want[2] || err != nil {
			t.Errorf("%s\n got %s %s, error %v\nwant %s", want[0], key, value, err, want[1:])
		}
	}
	for name, want := range map[string][2]string{
		"curator": {
			"10.0.0.1:9000",
			`{"name":"echo","id":"10.0.0.1:9000","address":"10.0.0.1","port":9000,"sslPort":null,"payload":null,"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}`,
		},
		"kratos": {"10.0.0.1:9000", `{"id":"10.0.0.1:9000","name":"echo","version":"","metadata":null,"endpoints":["grpc://10.0.0.1:9000?isSecure=false"]}`},
	} {
		key, value, err := named(t, name).Encode("/services/echo", discovery.Endpoint{Addr: "10.0.0.1:9000"})
		if got := [2]string{key, string(value)}; got != want || err != nil {
			t.Errorf("%s without attributes\n got %s, error %v\nwant %s", name, got, err, want)
		}
	}
	for name, want := range map[string][2]string{
		"name":  {"unix:%2Frun%2Fa", ""},
		"value": {"unix:%2Frun%2Fa", "unix:/run/a"},
	} {
		key, value, err := named(t, name).Encode("/services/echo", discovery.Endpoint{Addr: "unix:/run/a"})
		if got := [2]string{key, string(value)}; got != want || err != nil {
			t.Errorf("%s: got %s, error %v, want %s", name, got, err, want)
		}
	}
}

func TestNamedTellsWhatItKnows(t *testing.T) {
	for name, want := range map[string]string{
		"nonsense":    "known are name, value, go-kit",
		"":            "known are name",
		"name:x":      `"name" has no variant "x"`,
		"curator:tls": `"curator" has no variant "tls"`,
		"kratos:":     `"kratos" has no variant ""`,
	} {
		if _, err := format.Named(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Named(%q): error %v, want one with %q", name, err, want)
		}
	}
	if f := named(t, "kratos:grpc"); f.Name != "kratos:grpc" {
		t.Errorf("its name is %q", f.Name)
	}
}

func TestHugeEntriesAreRefusedWithShortErrors(t *testing.T) {
	huge := []byte(strings.Repeat(" ", 2<<20) + `{"Addr":"h:1"}`)
	for _, name := range format.Names() {
		for _, key := range []string{"member_1", "dubbo%3A%2F%2F" + strings.Repeat("x", 1<<20) + "%3A1", strings.Repeat("x", 1<<20) + ":1"} {
			_, err := named(t, name).Decode(key, huge)
			if err == nil && name != "serverset" { // to which such keys are foreign
				t.Errorf("%s took a huge entry", name)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
			}
		}
	}
}

func TestDecodersKeepNothingOfTheValue(t *testing.T) {
	for _, family := range format.Names() {
		for _, g := range load(t, family) {
			given := bytes.Clone(g.Value)
			got, _ := named(t, g.Format).Decode(g.Key, given)
			for i := range given {
				given[i] = 'x'
			}
			if !slices.EqualFunc(got, g.Want, discovery.Endpoint.Equal) {
				t.Errorf("%s %q: %v after its value was overwritten", g.Format, g.Key, got)
			}
		}
	}
}
