package format_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// read returns what a watcher of the service at path reports of the entries, each
// endpoint with its weight.
func read(t *testing.T, f format.Format, path string, entries map[string]string) map[string]float64 {
	t.Helper()
	s := f.NewSet(path, func(key string, err error) { t.Errorf("%s: %q: %v", f.Name, key, err) })
	for key, value := range entries {
		s.Put(key, []byte(value))
	}
	got := map[string]float64{}
	s.Report(func(set []discovery.Endpoint) {
		for _, e := range set {
			got[e.Addr] = e.Weight
		}
	})
	return got
}

// weighted has for each format with a relative weight 0 how an entry with a weight is
// written.
func weighted() map[string]func(port int, weight string) (key, value string) {
	return map[string]func(int, string) (string, string){
		"dubbo": func(port int, weight string) (string, string) {
			return fmt.Sprintf("tri%%3A%%2F%%2F10.0.0.1%%3A%d%%2Fcom.example.Greet%%3Frelease%%3Ddubbo-golang-3.3.1%%26weight%%3D%s", port, weight), ""
		},
		"kratos": func(port int, weight string) (string, string) {
			return fmt.Sprint(port), fmt.Sprintf(`{"id":"%d","name":"svc","version":"","metadata":{"weight":%q},"endpoints":["grpc://10.0.0.1:%d?isSecure=false"]}`, port, weight, port)
		},
		"rpcx": func(port int, weight string) (string, string) {
			return fmt.Sprintf("tcp@10.0.0.1:%d", port), "weight=" + weight
		},
		"consul:kratos:grpc": func(port int, weight string) (string, string) {
			return fmt.Sprint(port), fmt.Sprintf(`{"Service":{"Meta":{"weight":%q},"TaggedAddresses":{"grpc":{"Address":"grpc://10.0.0.1:%d?isSecure=false"}}}}`, weight, port)
		},
	}
}

func TestFleetWhoseWeightsAreAllZeroIsAFleetOfEquals(t *testing.T) {
	for name, write := range weighted() {
		entries := map[string]string{}
		for port := 1; port <= 3; port++ {
			key, value := write(port, "0")
			entries[key] = value
		}
		if got := fmt.Sprint(read(t, named(t, name), "/svc", entries)); got != "map[10.0.0.1:1:0 10.0.0.1:2:0 10.0.0.1:3:0]" {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestWeightZeroBesideOthersGetsNothing(t *testing.T) {
	for name, write := range weighted() {
		entries := map[string]string{}
		for port, weight := range []string{"0", "0", "100", "none"} {
			key, value := write(port+1, weight)
			entries[key] = value
		}
		if got := read(t, named(t, name), "/svc", entries); len(got) != 2 || got["10.0.0.1:3"] == 0 || got["10.0.0.1:4"] != 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestServersOfAServiceBelowAnotherDoNotCountForIt(t *testing.T) {
	instance := func(name, id, addr string) string {
		return fmt.Sprintf(`{"id":%q,"name":%q,"version":"","metadata":null,"endpoints":["grpc://%s?isSecure=false"]}`, id, name, addr)
	}
	entries := map[string]string{ // as kratos 2.9.2 writes them into etcd
		"/microservices/shop/1":       instance("shop", "1", "10.0.0.1:1"),
		"/microservices/shop/a/b":     instance("shop", "a/b", "10.0.0.1:2"),
		"/microservices/shop/admin/1": instance("shop/admin", "1", "10.0.0.1:3"),
	}
	f := named(t, "kratos:grpc")
	if got := fmt.Sprint(read(t, f, "/microservices/shop", entries)); got != "map[10.0.0.1:1:0 10.0.0.1:2:0]" {
		t.Errorf("shop has %s", got)
	}
	delete(entries, "/microservices/shop/1")
	delete(entries, "/microservices/shop/a/b")
	if got := fmt.Sprint(read(t, f, "/microservices/shop/admin", entries)); got != "map[10.0.0.1:3:0]" {
		t.Errorf("shop/admin has %s", got)
	}
	_, value, err := f.Encode("/microservices/shop/admin", discovery.Endpoint{Addr: "10.0.0.1:4"})
	var written struct{ Name string }
	if err != nil || json.Unmarshal(value, &written) != nil || written.Name != "shop/admin" {
		t.Errorf("wrote %s, error %v; readers of Kratos look for the name shop/admin", value, err)
	}
}

func TestNamesOfMembersAreNumbersOfTenDigits(t *testing.T) {
	digits := regexp.MustCompile(`^member_[0-9]{10}$`)
	names := map[string]string{}
	f := named(t, "serverset")
	for port := 1; port <= 1000; port++ {
		e := discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.1:%d", port)}
		key, _, err := f.Encode(path, e)
		again, _, _ := f.Encode("/elsewhere", discovery.Endpoint{Addr: e.Addr, Zone: "eu"})
		if err != nil || !digits.MatchString(key) || again != key || names[key] != "" {
			t.Fatalf("%s has the name %q, then %q, error %v; %q has it too", e.Addr, key, again, err, names[key])
		}
		names[key] = e.Addr
	}
}

// TestReadersInJavaFindEveryClass looks at what makes queryForInstances fail for all.
func TestReadersInJavaFindEveryClass(t *testing.T) {
	for _, e := range full() {
		_, value, err := named(t, "curator").Encode(path, e)
		if err != nil {
			continue
		}
		var c struct{ Payload json.RawMessage }
		if err := json.Unmarshal(value, &c); err != nil {
			t.Fatal(err)
		}
		if p := string(c.Payload); p != "null" && !strings.HasPrefix(p, `{"@class":"java.util.LinkedHashMap",`) {
			t.Errorf("%+v has the payload %s", e, p)
		}
	}
}
