package consul

import (
	"encoding/json"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
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
		var entries []*api.ServiceEntry
		if json.Unmarshal(body, &entries) != nil {
			return
		}
		w := &watcher{config: newConfig([]string{"h"}, "echo", []Option{WithAddress(address)})}
		set := w.newSet()
		values, err := w.valuesOf(entries)
		if err != nil {
			return
		}
		w.replace(set, values)
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
		if kept > 64*(len(body)+len(address))+1024 {
			t.Fatalf("%d bytes are kept of %d", kept, len(body))
		}
	})
}
