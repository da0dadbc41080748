package format_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// hostile are entries that no program writes, by what is wrong with them. Some are an entry
// of a format but for that.
func hostile() map[string]map[string]string {
	attrs := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%q:%q,", fmt.Sprintf("%06d", i), "x")
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	escape := "\\u001b[2J\\u202e<script>alert(1)</script>"
	million, many := attrs(1_000_000), attrs(20_000) // more than a mebibyte, and less, but more than an endpoint may have
	return map[string]map[string]string{
		"junk": {
			"bytes":         "\xff\xfe\x00\x1b[2J",
			"half":          `{"name":"plain","id":"id-1","address":"10.0.`,
			"a list":        "[[[[1]]]]",
			"bomb of a tag": `{"Service":{"Address":"h","Port":1,"Tags":["v-` + strings.Repeat("00", 1<<10) + `"]}}x`,
		},
		"huge": {
			"deep":         strings.Repeat("[", 1<<19),
			"deep objects": strings.Repeat(`{"metadata":`, 1<<16),
			"addresses":    strings.Repeat("10.0.0.1:80", 1<<17),
			"spaces":       strings.Repeat(" ", 2<<20) + `{"Addr":"h:1"}`,
			"listeners":    `{"version":5,"endpoints":[` + strings.TrimSuffix(strings.Repeat(`"A",`, 1<<17), ",") + `]}`,
			"query":        strings.Repeat("a=b&", 1<<17),
		},
		"markup": {
			"entities": `<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>`,
			"escapes": fmt.Sprintf(`{"address":"%[1]s:1","Addr":"%[1]s:1","host":"%[1]s","port":1,"network":"%[1]s","conn_url":"postgres://%[1]s:1/","state":"running","version":1,`+
				`"endpoints":["%[1]s://%[1]s:1"],"nodes":[{"address":"%[1]s:1"}],"Key":"/a/b/c/d/e/%[1]s:1","Value":"{}","enabled":"%[1]s","status":"ALIVE","serviceEndpoint":{"host":"%[1]s","port":1}}`, escape),
			"lines": "host: \x1b[2J\nport: <script>\ntcp_port: <script>\ndatabase: x\ntable: x\n",
		},
		"a million attributes": {
			"a million": `{"address":"h","port":1,"payload":` + million + `}`,
			"curator":   `{"address":"h","port":1,"payload":` + many + `}`,
			"naming":    `{"Addr":"h:1","Metadata":` + many + `}`,
			"kratos":    `{"endpoints":["grpc://h:1"],"metadata":` + many + `}`,
			"kitex":     `{"network":"tcp","address":"h:1","tags":` + many + `}`,
			"micro":     `{"nodes":[{"address":"h:1","metadata":` + many + `}]}`,
			"nerve":     `{"host":"h","port":1,"labels":` + many + `}`,
			"serverset": `{"status":"ALIVE","serviceEndpoint":{"host":"h","port":1},"metadata":` + many + `}`,
			"patroni":   `{"conn_url":"postgres://h:1/","state":"running","tags":` + many + `}`,
			"goframe":   `{"Key":"/service/default/default/svc/latest/h:1","Value":` + fmt.Sprintf("%q", many) + `}`,
			"consul":    `{"Service":{"Address":"h","Port":1,"Meta":` + many + `}}`,
		},
	}
}

// beside is a set of a format in which entries that are none are put beside a server.
type beside struct {
	*discovery.Set

	format  format.Format
	family  string
	skipped map[string]error
}

func newBeside(t *testing.T, f format.Format) *beside {
	t.Helper()
	b := &beside{format: f, skipped: map[string]error{}}
	b.family, _, _ = strings.Cut(f.Name, ":")
	b.Set = f.NewSet(parent(f), func(key string, err error) { b.skipped[key] = err })
	if f.Encode != nil {
		putServer(t, f, b.Set)
	}
	return b
}

const goodServer = "10.9.9.9:9999"

// others returns the endpoints but for the server, which has to be there. What is skipped has
// to be counted and named, by the format and in few words that a terminal can show.
func (b *beside) others(t *testing.T) []discovery.Endpoint {
	t.Helper()
	var others []discovery.Endpoint
	b.Report(func(set []discovery.Endpoint) {
		for _, e := range set {
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
			if e.Addr != goodServer {
				others = append(others, e)
			}
		}
		if len(others) == len(set) && b.format.Encode != nil {
			t.Error("the good server is lost")
		}
	})
	if b.Malformed() != len(b.skipped) || (len(b.skipped) > 0) != (b.Warning() != nil) {
		t.Errorf("%d are skipped, %d are reported, the warning is %v", b.Malformed(), len(b.skipped), b.Warning())
	}
	for key, err := range b.skipped {
		text := err.Error()
		if len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%.20q has an error of %d bytes: %.200q", key, len(text), text)
		}
	}
	return others
}

func TestHostileEntriesAreSkippedCountedAndNamed(t *testing.T) {
	byKind := hostile()
	for _, name := range variants() {
		for kind, entries := range byKind {
			t.Run(name+"/"+kind, func(t *testing.T) {
				b := newBeside(t, named(t, name))
				for key, value := range entries {
					switch b.family { // those that look at the key first
					case "serverset":
						key = "member_" + key
					case "rpcx":
						key = "tcp@" + key + ":1x"
					case "dubbo":
						key += "%1b%5b2J%zz"
					}
					b.Put(key, []byte(value))
				}
				if others := b.others(t); len(others) > 0 {
					t.Errorf("servers of them: %v", others)
				}
				// To a variant, an entry without such an address or protocol is foreign.
				if n := len(b.skipped); n == 0 || n != len(entries) && name == b.family {
					t.Errorf("%d of %d are skipped: %v", len(b.skipped), len(entries), b.skipped)
				}
			})
		}
	}
}

// TestEntriesOfOtherFormatsAreSkippedOrReadAsTheirWritersMeantThem has what every other
// format's programs write: a wrong format must not send calls to what is neither the
// server's address nor in the key.
func TestEntriesOfOtherFormatsAreSkippedOrReadAsTheirWritersMeantThem(t *testing.T) {
	for _, name := range variants() {
		t.Run(name, func(t *testing.T) {
			read := 0
			for _, other := range format.Names() {
				for _, g := range load(t, other) {
					b := newBeside(t, named(t, name))
					b.Put(g.Key, g.Value)
					for _, e := range b.others(t) {
						read++
						if g.Error == "" && other != b.family && !strings.Contains(g.Key, e.Addr) && !slices.ContainsFunc(g.Want, func(w discovery.Endpoint) bool { return w.Addr == e.Addr }) {
							t.Errorf("%s %q %.300s is read as %s, which is not %v", g.Format, g.Key, g.Value, e.Addr, g.Want)
						}
					}
				}
			}
			if read == 0 {
				t.Error("not even its own are read; the test shows nothing")
			}
		})
	}
}

// TestEntriesThatAreCutShortAreSkippedOrKeepTheirAddress cuts the value, and then the key,
// at every byte.
func TestEntriesThatAreCutShortAreSkippedOrKeepTheirAddress(t *testing.T) {
	bare := []string{"value", "go-kit", "go-zero"} // whose values are addresses, of which a part may be one
	for _, family := range format.Names() {
		t.Run(family, func(t *testing.T) {
			whole := 0
			for _, g := range load(t, family) {
				if g.Error != "" || len(g.Want) == 0 || len(g.Value) > 2000 {
					continue
				}
				whole++
				f := named(t, g.Format)
				for i := range g.Value {
					b := newBeside(t, f)
					b.Put(g.Key, bytes.Clone(g.Value[:i]))
					for _, e := range b.others(t) {
						if !slices.ContainsFunc(g.Want, func(w discovery.Endpoint) bool { return w.Addr == e.Addr }) && !slices.Contains(bare, family) {
							t.Errorf("%q %q is read as %s", g.Key, g.Value[:i], e.Addr)
						}
					}
				}
				for i := range g.Key {
					b := newBeside(t, f)
					b.Put(g.Key[:i], g.Value)
					b.others(t)
				}
			}
			if whole == 0 {
				t.Error("it has no golden entry; the test shows nothing")
			}
		})
	}
}

// TestEntriesWithManyMoreAttributesAreSkippedOrKeepTheirAddress gives what programs write more
// attributes than an endpoint may have, wherever there is room for some.
func TestEntriesWithManyMoreAttributesAreSkippedOrKeepTheirAddress(t *testing.T) {
	for _, family := range format.Names() {
		t.Run(family, func(t *testing.T) {
			grew := 0
			for _, g := range load(t, family) {
				if g.Error != "" || len(g.Want) == 0 {
					continue
				}
				for _, value := range grown(t, g.Value) {
					grew++
					b := newBeside(t, named(t, g.Format))
					b.Put(g.Key, value)
					for _, e := range b.others(t) {
						if !slices.ContainsFunc(g.Want, func(w discovery.Endpoint) bool { return w.Addr == e.Addr }) {
							t.Errorf("%q %.200q is read as %s", g.Key, value, e.Addr)
						}
					}
				}
			}
			if grew == 0 {
				t.Error("it has no golden entry; the test shows nothing")
			}
		})
	}
}

// grown returns the value with 20,000 more names in each JSON object in it, or as lines and
// as a query behind it.
func grown(t *testing.T, value []byte) (all [][]byte) {
	t.Helper()
	const many = 20_000
	var tree any
	if json.Unmarshal(value, &tree) != nil {
		var lines, query strings.Builder
		for i := range many {
			fmt.Fprintf(&lines, "%06d: x\n", i)
			fmt.Fprintf(&query, "&%06d=x", i)
		}
		return [][]byte{append(bytes.Clone(value), lines.String()...), append(bytes.Clone(value), query.String()...)}
	}
	var grow func(any)
	grow = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			for _, child := range node {
				grow(child)
			}
			for i := range many {
				node[fmt.Sprintf("%06d", i)] = "x"
			}
			bigger, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, bigger)
			for i := range many {
				delete(node, fmt.Sprintf("%06d", i))
			}
		case []any:
			for _, child := range node {
				grow(child)
			}
		}
	}
	grow(tree)
	return all
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
	key, value, err := f.Encode(parent(f), discovery.Endpoint{Addr: goodServer})
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(f.Name, "consul") {
		value = registered(t, value)
	}
	s.Put(key, value)
}

// TestDecodersReturnNoEndpointThatIsNotValid gives what programs write a zone of too many
// bytes, and one that is not plain text.
func TestDecodersReturnNoEndpointThatIsNotValid(t *testing.T) {
	tried := map[string]bool{}
	for _, family := range format.Names() {
		for _, g := range load(t, family) {
			if g.Error != "" || len(g.Want) == 0 || g.Want[0].Zone == "" {
				continue
			}
			for _, zone := range []string{strings.Repeat("z", 257), "\u200b"} {
				key, value := g.Key, bytes.ReplaceAll(g.Value, []byte(g.Want[0].Zone), []byte(zone))
				if len(value) == 0 { // as Dubbo's
					key = strings.ReplaceAll(key, g.Want[0].Zone, url.QueryEscape(zone))
				}
				tried[family] = true
				if eps, err := named(t, g.Format).Decode(key, value); len(eps) > 0 || err == nil {
					t.Errorf("%s: a zone of %d bytes: %d endpoints, error %v", g.Format, len(zone), len(eps), err)
				}
			}
		}
	}
	for _, family := range []string{"rpcx", "kafka", "naming", "consul"} { // among others
		if !tried[family] {
			t.Errorf("%s has no golden entry with a zone", family)
		}
	}
	t.Logf("%d formats", len(tried))
}
