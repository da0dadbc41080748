package format_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// hostile are entries that no program writes. Some are an entry of a format but for one
// thing.
func hostile() map[string]string {
	attrs := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%q:%q,", fmt.Sprintf("%06d", i), "x")
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	escape := "\\u001b[2J\\u202e<script>alert(1)</script>"
	million, many := attrs(1_000_000), attrs(20_000) // more than a mebibyte, and less, but more than an endpoint may have
	return map[string]string{
		"nothing":      "",
		"bytes":        "\xff\xfe\x00\x1b[2J",
		"half":         `{"name":"plain","id":"id-1","address":"10.0.`,
		"a list":       "[[[[1]]]]",
		"deep":         strings.Repeat("[", 1<<19),
		"deep objects": strings.Repeat(`{"metadata":`, 1<<16),
		"huge":         strings.Repeat("10.0.0.1:80", 1<<17),
		"markup":       `<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>`,
		"escapes": fmt.Sprintf(`{"address":"%[1]s:1","Addr":"%[1]s:1","host":"%[1]s","port":1,"network":"%[1]s","conn_url":"postgres://%[1]s:1/","state":"running","version":1,`+
			`"endpoints":["%[1]s://%[1]s:1"],"nodes":[{"address":"%[1]s:1"}],"Key":"/a/b/c/d/e/%[1]s:1","Value":"{}","enabled":"%[1]s","status":"ALIVE","serviceEndpoint":{"host":"%[1]s","port":1}}`, escape),
		"a million":     `{"address":"h","port":1,"payload":` + million + `}`,
		"curator":       `{"address":"h","port":1,"payload":` + many + `}`,
		"naming":        `{"Addr":"h:1","Metadata":` + many + `}`,
		"kratos":        `{"endpoints":["grpc://h:1"],"metadata":` + many + `}`,
		"kitex":         `{"network":"tcp","address":"h:1","tags":` + many + `}`,
		"micro":         `{"nodes":[{"address":"h:1","metadata":` + many + `}]}`,
		"nerve":         `{"host":"h","port":1,"labels":` + many + `}`,
		"serverset":     `{"status":"ALIVE","serviceEndpoint":{"host":"h","port":1},"metadata":` + many + `}`,
		"patroni":       `{"conn_url":"postgres://h:1/","state":"running","tags":` + many + `}`,
		"goframe":       `{"Key":"/service/default/default/svc/latest/h:1","Value":` + fmt.Sprintf("%q", many) + `}`,
		"consul":        `{"Service":{"Address":"h","Port":1,"Meta":` + many + `}}`,
		"listeners":     `{"version":5,"endpoints":[` + strings.TrimSuffix(strings.Repeat(`"A",`, 1<<17), ",") + `]}`,
		"query":         strings.Repeat("a=b&", 1<<17),
		"bomb of a tag": `{"Service":{"Address":"h","Port":1,"Tags":["v-` + strings.Repeat("00", 1<<10) + `"]}}`,
	}
}

// TestHostileEntriesAreSkippedCountedAndNamed has all of them beside a server.
func TestHostileEntriesAreSkippedCountedAndNamed(t *testing.T) {
	entries := hostile()
	for _, name := range variants() {
		f := named(t, name)
		skipped := map[string]error{}
		s := f.NewSet(parent(f), func(key string, err error) { skipped[key] = err })
		for key, value := range entries {
			switch name, _, _ := strings.Cut(name, ":"); name {
			case "serverset":
				key = "member_" + key
			case "rpcx":
				key = "tcp@" + key + ":1x"
			case "dubbo":
				key += "%1b%5b2J%zz"
			}
			s.Put(key, []byte(value))
		}
		if f.Encode != nil {
			putServer(t, f, s)
		}
		s.Report(func(set []discovery.Endpoint) {
			for _, e := range set {
				if err := e.Validate(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if len(set) == 0 && f.Encode != nil {
				t.Errorf("%s: the good server is lost", name)
			}
		})
		if s.Malformed() != len(skipped) || len(skipped) == 0 || s.Warning() == nil {
			t.Errorf("%s: %d are skipped, %d are reported, the warning is %v", name, s.Malformed(), len(skipped), s.Warning())
		}
		for key, err := range skipped {
			if text := err.Error(); len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("%s: %.20q has an error of %d bytes: %.200q", name, key, len(text), text)
			}
		}
	}
}

// TestTooManyAttributesAreSkippedWhereTheKeyIsInOrder has entries whose address is in the
// key, or whose attributes are.
func TestTooManyAttributesAreSkippedWhereTheKeyIsInOrder(t *testing.T) {
	const many = 2_000 // of 76 bytes: more than an endpoint may have, and less than an entry
	x := strings.Repeat("x", 70)
	var object, query, tags strings.Builder
	for i := range many {
		fmt.Fprintf(&object, `"%06d":%q,`, i, x)
		fmt.Fprintf(&query, "%06d=%s&", i, x)
		fmt.Fprintf(&tags, `"%06d:%s",`, i, x)
	}
	attrs := "{" + strings.TrimSuffix(object.String(), ",") + "}"
	for name, entry := range map[string][2]string{
		"dubbo":        {"dubbo%3A%2F%2Fh%3A1%2Fcom.foo.Echo%3F" + strings.NewReplacer("=", "%3D", "&", "%26").Replace(query.String()), ""},
		"rpcx":         {"tcp@h:1", query.String()},
		"kitex-zk":     {"h:1", `{"Weight":10,"Tags":` + attrs + `}`},
		"goframe-etcd": {"/service/default/default/svc/latest/h:1", attrs},
		"consul:kitex": {"a", `{"Service":{"Address":"h","Port":1,"Tags":[` + strings.TrimSuffix(tags.String(), ",") + `]}}`},
	} {
		f := named(t, name)
		var skipped error
		s := f.NewSet(parent(f), func(_ string, err error) { skipped = err })
		s.Put(entry[0], []byte(entry[1]))
		s.Report(func(set []discovery.Endpoint) {
			if len(set) != 0 {
				t.Errorf("%s: an endpoint has %d attributes", name, len(set[0].Attrs))
			}
		})
		if s.Malformed() != 1 || skipped == nil || len(skipped.Error()) > 2000 {
			t.Errorf("%s: %d are skipped, error %v", name, s.Malformed(), skipped)
		}
	}
}

// putServer puts a server that the format writes into the set.
func putServer(t *testing.T, f format.Format, s *discovery.Set) {
	t.Helper()
	key, value, err := f.Encode(parent(f), discovery.Endpoint{Addr: "10.9.9.9:9999"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(f.Name, "consul") {
		value = registered(t, value)
	}
	s.Put(key, value)
}
