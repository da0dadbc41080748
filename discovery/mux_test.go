package discovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// testBackend has a parameter of each type.
type testBackend struct {
	text    string
	list    []string
	mode    string
	on      bool
	n       int
	timeout time.Duration
	format  format.Format
	token   discovery.Secret
	url     *discovery.URL
}

func openTest(p *discovery.Params) discovery.Backend {
	b := &testBackend{}
	p.String(&b.text, "text", "some", "any text")
	p.Strings(&b.list, "tag", "what a server must have")
	p.Enum(&b.mode, "mode", "fast", []string{"fast", "safe"}, "how")
	p.Bool(&b.on, "on", true, "whether")
	p.Int(&b.n, "n", 3, 1, 10, "how many")
	p.Duration(&b.timeout, "timeout", 10*time.Second, time.Second, time.Minute, "how long")
	format.Param(p, &b.format, "format", "curator", "how entries are written")
	p.Secret(&b.token, "token", "what lets us in")
	return b
}

func (b *testBackend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	if u.Path == "/bad" {
		return nil, errors.New("no such path")
	}
	b.url = u
	return b, nil
}

func (b *testBackend) Watch(context.Context, func([]discovery.Endpoint)) error { return nil }

func (b *testBackend) Registrar(u *discovery.URL) (discovery.Registrar, error) {
	b.url = u
	return b, nil
}

func (b *testBackend) Register(context.Context, discovery.Endpoint, func()) error { return nil }

func testMux() *discovery.Mux {
	m := &discovery.Mux{}
	m.Handle("Test", openTest)
	return m
}

func open(t *testing.T, url string) *testBackend {
	t.Helper()
	w, err := testMux().Open(url)
	if err != nil {
		t.Fatal(err)
	}
	return w.(*testBackend)
}

func TestParametersHaveTheirDefaultsAndTheirValues(t *testing.T) {
	b := open(t, "test://h/p")
	if b.text != "some" || b.list != nil || b.mode != "fast" || !b.on || b.n != 3 || b.timeout != 10*time.Second ||
		b.format.Name != "curator" || b.token.IsSet() || b.url.Path != "/p" {
		t.Errorf("the defaults are %+v", b)
	}
	b = open(t, "TEST://h/p?text=a%26b+c&tag=x&tag=y&mode=safe&on=false&n=10&timeout=1m&format=kratos:grpc&token=hunter2")
	token, err := b.token.Value()
	if b.text != "a&b c" || !slices.Equal(b.list, []string{"x", "y"}) || b.mode != "safe" || b.on || b.n != 10 ||
		b.timeout != time.Minute || b.format.Name != "kratos:grpc" || token != "hunter2" || err != nil {
		t.Errorf("the values are %+v", b)
	}
}

func TestMistakesInParametersNameWhatIsExpected(t *testing.T) {
	for query, wants := range map[string][]string{
		"nonsense=hunter2":   {`parameter "nonsense" is not known; known are text, tag, mode, on, n, timeout, format, token`},
		"timeout=5x":         {`parameter "timeout": "5x" is not a duration: write one such as "5s"`},
		"timeout=5":          {`"5" has no unit: write "5s"`},
		"timeout=1ms":        {`"1ms" is not a duration from 1s to 1m0s`},
		"timeout=1h":         {`"1h" is not a duration from 1s to 1m0s`},
		"n=0":                {`parameter "n": "0" is not a whole number from 1 to 10`},
		"n=11":               {`"11" is not`},
		"n=1.5":              {`"1.5" is not`},
		"n=":                 {`"" is not`},
		"on=yes":             {`parameter "on": "yes" is neither true nor false`},
		"mode=slow":          {`parameter "mode": "slow" is not one of fast, safe`},
		"format=x":           {`parameter "format": "x" is not a format`, "known are name, value"},
		"n=1&n=2":            {`parameter "n" is given 2 times`},
		"token=":             {`parameter "token": is empty`},
		"token=hunter2&n=0":  {`"n"`},
		"n=0&on=1&mode=&x=1": {`"n"`, `"on"`, `"mode"`, `"x"`}, // all at once
	} {
		for _, open := range []func(string) error{
			func(url string) error { _, err := testMux().Open(url); return err },
			func(url string) error { _, err := testMux().OpenRegistrar(url); return err },
		} {
			err := open("test://h/p?" + query)
			if err == nil {
				t.Errorf("%s was accepted", query)
				continue
			}
			for _, want := range wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: error %q, want one with %q", query, err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter") || !strings.HasPrefix(err.Error(), "discovery: test://h/p?") {
				t.Errorf("%s: error %q", query, err)
			}
		}
	}
}

func TestParametersCanBeDocumented(t *testing.T) {
	got := testMux().Params("TEST")
	want := discovery.Param{Name: "timeout", Type: "duration from 1s to 1m0s", Default: "10s", Doc: "how long"}
	if len(got) != 9 || got[5] != want || got[8].Name != "where" {
		t.Errorf("got %+v", got)
	}
	for _, p := range got {
		if p.Name == "" || p.Type == "" || p.Doc == "" {
			t.Errorf("%+v is not complete", p)
		}
		// A default that is shown can be written.
		if p.Default != "" {
			open(t, "test://h/p?"+p.Name+"="+p.Default)
		}
	}
	if got := testMux().Params("nonsense"); got != nil {
		t.Errorf("an unknown scheme has %+v", got)
	}
}

func TestMuxKnowsTheSchemesThatItWasGiven(t *testing.T) {
	m := testMux()
	m.Handle("static", static.Opener)
	if got := m.Schemes(); !slices.Equal(got, []string{"static", "test"}) {
		t.Errorf("schemes are %q", got)
	}
	for url, want := range map[string]string{
		"tets://h":                  `scheme "tets" is not known; known are static, test`,
		"static://":                 "no server is listed",
		"static://h1":               "missing port",
		"static://h1:1,h1:1":        "listed already",
		"static://h1:1/path":        "neither user nor path",
		"static://u:hunter2@h1:1":   "neither user nor path",
		"static://h1:1?weight=7":    `parameter "weight" is not known; known are where`,
		"nonsense":                  "no scheme",
		"static://h1:1,[::1]:1?a=b": `static://h1:1,[::1]:1?a=...: parameter "a"`,
	} {
		_, err := m.Open(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: error %v, want one with %q", url, err, want)
		}
	}
	var none *discovery.Mux
	for _, m := range []*discovery.Mux{{}, none} {
		for url, want := range map[string]string{
			"zk://h":   `call Handle("zk", zk.Opener) of the Mux`,
			"tets://h": `scheme "tets" is not known: this Mux has no scheme; call its Handle, such as Handle("static", static.Opener)`,
		} {
			if _, err := m.Open(url); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s without schemes: error %v, want %q", url, err, want)
			}
		}
	}
	if _, err := m.OpenRegistrar("static://h1:1"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a registrar of static://: error %v", err)
	}
	if _, err := m.Open("test://h/bad"); err == nil || !strings.Contains(err.Error(), "discovery: test://h/bad: no such path") {
		t.Errorf("error %v", err)
	}
	if r, err := m.OpenRegistrar("test://h/p?n=7"); err != nil || r.(*testBackend).n != 7 {
		t.Errorf("registrar %+v, error %v", r, err)
	}
	m.Handle("static", openTest) // the last one counts
	if w, err := m.Open("static://h"); err != nil || reflect.TypeOf(w) != reflect.TypeFor[*testBackend]() {
		t.Errorf("watcher %T, error %v", w, err)
	}
}

func TestMuxNamesTheImportThatAKnownSchemeNeeds(t *testing.T) {
	var empty discovery.Mux
	for url, want := range map[string]string{
		"zk://h/p":       `import "github.com/minicaptain/multi_connection_pool/discovery/zk" and call Handle("zk", zk.Opener)`,
		"etcd://h/p":     `import "github.com/minicaptain/multi_connection_pool/discovery/etcd" and call Handle("etcd", etcd.Opener)`,
		"Consul://h/p":   `import "github.com/minicaptain/multi_connection_pool/discovery/consul" and call Handle("consul", consul.Opener)`,
		"static://h:1":   `import "github.com/minicaptain/multi_connection_pool/discovery/static" and call Handle("static", static.Opener)`,
		"xds://h/p":      `import "github.com/minicaptain/multi_connection_pool/discovery/xds" and call Handle("xds", xds.Opener)`,
		"k8s:///shop/a":  `import "github.com/minicaptain/multi_connection_pool/discovery/kubernetes" and call Handle("k8s", kubernetes.Opener)`,
		"nowhere://h/p":  `scheme "nowhere" is not known`,
		"zookeeper://h/": `scheme "zookeeper" is not known`,
	} {
		_, err := empty.Open(url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", url, err, want)
		}
		if _, rerr := empty.OpenRegistrar(url); rerr == nil || rerr.Error() != err.Error() {
			t.Errorf("%s: a registrar has the error %v, a watcher %v", url, rerr, err)
		}
		if !strings.HasPrefix(want, "import") && strings.Contains(err.Error(), "import") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

func TestStaticURLIsAListOfServers(t *testing.T) {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	w, err := m.Open("static://10.0.0.1:9090,[::1]:9090,unix:%2Frun%2Fa.sock/")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	want := []discovery.Endpoint{{Addr: "10.0.0.1:9090"}, {Addr: "[::1]:9090"}, {Addr: "unix:/run/a.sock"}}
	_ = w.Watch(ctx, func(got []discovery.Endpoint) {
		if stop(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

func TestSecretsAreLookedUpWhereTheyAre(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\r\n")
	t.Setenv("TEST_TOKEN", " in env ")
	s := discovery.NewSecret("file:" + file)
	for _, c := range []struct {
		s    discovery.Secret
		want string
	}{
		{discovery.Secret{}, ""},
		{discovery.NewSecret("literal"), "literal"},
		{discovery.NewSecret("env:TEST_TOKEN"), " in env "},
		{s, "first"},
	} {
		if got, err := c.s.Value(); got != c.want || err != nil {
			t.Errorf("got %q, error %v, want %q", got, err, c.want)
		}
	}
	write("second")
	if got, err := s.Value(); got != "second" || err != nil {
		t.Errorf("after a change: %q, error %v", got, err)
	}
	if _, err := discovery.NewSecret("env:TEST_NOT_SET").Value(); err == nil || !strings.Contains(err.Error(), `"TEST_NOT_SET"`) {
		t.Errorf("error %v", err)
	}
	if _, err := discovery.NewSecret("file:/does/not/exist").Value(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	b := open(t, "test://user:hunter2@h/p?token=hunter2")
	type nested struct {
		B      *testBackend
		Token  discovery.Secret
		hidden discovery.Secret
		url    discovery.URL
	}
	v := nested{b, b.token, b.token, *b.url}
	asJSON, err := json.Marshal(v.Token)
	if err != nil {
		t.Fatal(err)
	}
	all := string(asJSON) + fmt.Sprintf("%v %+v %#v %s %q %x %v %+v %#v", v, v, v, v.Token, v.Token, v.Token, b, *b, b.url)
	if strings.Contains(all, "hunter") || strings.Contains(all, "68756e746572") {
		t.Errorf("printed: %s", all)
	}
}
