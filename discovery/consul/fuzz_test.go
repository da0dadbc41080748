package consul

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// FuzzInstances reads any answer of an agent: no panic, every endpoint valid, and at
// most 64 times what the agent sent is kept.
func FuzzInstances(f *testing.F) {
	for _, s := range []string{
		`[]`, `[null]`, `[{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"a","Port":80,"Weights":{"Passing":1}}}]`,
		`[{"Node":{},"Service":{"Address":"::1","Port":1,"Meta":{"a":"b"},"Tags":["t"]}}]`, `[{"Node":{"Node":"n"},"Service":{"Port":70000}}]`,
		`[{"Node":{"Node":"n"},"Service":{"ID":"a","Address":"h","Port":1,"TaggedAddresses":{"wan":{"Address":"w","Port":2}}},"Checks":[{"Status":"passing"}]}]`,
	} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), "wan")
	}
	f.Fuzz(func(t *testing.T, body []byte, address string) {
		w := &watcher{config: newConfig([]string{"h"}, "echo", []Option{WithAddress(address)})}
		set := w.newSet()
		a, _, err := newInstances(w).decode(bytes.NewReader(body))
		if err != nil {
			return
		}
		wantBounded(t, w, set, a, len(body)+len(address))
	})
}

// FuzzKeys reads any list of keys, in formats that look at the key, the value or both: no
// panic, nothing of what is not below the prefix, every endpoint valid, and at most 64 times
// what the agent sent is kept.
func FuzzKeys(f *testing.F) {
	const prefix = "svc/echo/"
	for _, s := range []string{
		`[]`, `[null]`, `{}`, `[{"Key":"svc/echo/","Value":null}]`, `[{"Key":"svc/echo-2/a","Value":"e30="}]`, `[{"Key":"svc/echo/a","Value":"!"}]`,
		`[{"LockIndex":1,"Key":"svc/echo/tcp@10.0.0.1:8972","Flags":0,"Value":"d2VpZ2h0PTM=","Session":"adf4238a-882b-9ddc-4a9d-5b6758e4159e","CreateIndex":7,"ModifyIndex":9}]`,
		`[{"Key":"svc/echo/a","Value":"eyJPcCI6MCwiQWRkciI6IjEwLjAuMC4xOjgwIn0="},{"Key":"svc/echo/a","Value":"eyJPcCI6MCwiQWRkciI6IjEwLjAuMC4yOjgwIn0="}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var pairs api.KVPairs
		if json.Unmarshal(body, &pairs) != nil {
			return
		}
		for _, form := range []format.Format{format.Rpcx(""), format.GRPCNaming(), format.PlainKey(), format.Kratos("grpc")} {
			w := &watcher{config: newConfig([]string{"h"}, "", []Option{WithPrefix(prefix), WithFormat(form)})}
			keys, values, err := w.keysOf(pairs)
			if err != nil {
				continue
			}
			for key := range keys {
				if value, ok := values[key]; !strings.HasPrefix(key, prefix) || ok == strings.HasSuffix(key, "/") {
					t.Fatalf("%q has the value %q, %t", key, value, ok)
				}
			}
			wantBounded(t, w, w.newSet(), answer{values: values}, len(body))
		}
	})
}

// wantBounded fails the test if an endpoint of the values is not valid, or so much is kept of
// what the agent sent that who writes into Consul could fill the memory of its readers.
func wantBounded(t *testing.T, w *watcher, set *discovery.Set, a answer, sent int) {
	t.Helper()
	w.replace(set, a)
	kept := 0
	set.Report(func(all []discovery.Endpoint) {
		for _, e := range all {
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			kept += 64 + len(e.Addr) + len(e.Zone)
			for k, v := range e.Attrs {
				kept += 75 + len(k) + len(v)
			}
		}
	})
	if kept > 64*sent+1024 {
		t.Fatalf("%d bytes are kept of %d", kept, sent)
	}
}

// FuzzInstancesByParts reads any two answers, one after the other, as a Watch does: what
// it has then is what decoding the whole of the second gives.
func FuzzInstancesByParts(f *testing.F) {
	for _, names := range [][2]string{{"", "a"}, {"a b c", "a c"}, {"a b", "c b a"}, {"a1 b", "a2 a1 b"}, {"a b", "b abad"}} {
		f.Add(list(names[0]), list(names[1]), "")
		f.Add(list(names[0]), append(list(names[1]), "]{"...), "wan")
	}
	for _, s := range []string{`null`, ` [ ] x`, `[null]`, `[{}{}]`, `[{},]`, `[,{}]`, `[{"Node":{},"Service":{}}`, `{}`, `"`, `[1]`, ``, `nullx`, `nul`, `[{"a":"\\"}]`} {
		f.Add([]byte(`[{"Node":{},"Service":{}}]`), []byte(s), "")
		f.Add([]byte(s), []byte(s), "")
	}
	f.Fuzz(func(t *testing.T, first, second []byte, address string) {
		p := newByParts(WithAddress(address))
		p.check(t, first, iotest.OneByteReader)
		p.check(t, second, iotest.HalfReader)
	})
}
