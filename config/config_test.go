package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/config"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/internal/printing"
)

type conn struct{}

func (conn) Close() error { return nil }

func dial(context.Context, discovery.Endpoint) (conn, error) { return conn{}, nil }

// mistakes returns what core.New says of c's options.
func mistakes(t *testing.T, c config.Config) string {
	t.Helper()
	options, err := c.Options()
	if err != nil {
		t.Fatal(err)
	}
	p, err := core.New(static.Watcher("10.0.0.1:1"), core.DialFunc[conn](dial), options...)
	if err == nil {
		_ = p.Close(t.Context())
		return ""
	}
	return err.Error()
}

// TestEachParameterReachesItsOption gives each one a value that core.New
// refuses, alone.
func TestEachParameterReachesItsOption(t *testing.T) {
	for name, option := range map[string]string{
		"max_active": "MaxActive", "max_total": "MaxTotal", "min_idle": "MinIdle", "max_idle": "MaxIdle",
		"max_concurrent_dials": "MaxConcurrentDials", "max_concurrent_calls": "MaxConcurrentCalls", "max_endpoints": "MaxEndpoints", "idle_timeout": "IdleTimeout", "max_lifetime": "MaxLifetime",
		"health_check_interval": "HealthCheckInterval", "dial_timeout": "DialTimeout", "drain_timeout": "DrainTimeout",
		"removal_grace": "RemovalGrace", "leak_detection_threshold": "LeakDetectionThreshold",
	} {
		value := "-7"
		if !slices.Contains([]string{"max_active", "max_total", "min_idle", "max_idle", "max_concurrent_dials", "max_concurrent_calls", "max_endpoints"}, name) {
			value = `"-7s"`
		}
		c, err := config.Parse(fmt.Appendf(nil, `{%q: %s}`, name, value), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := mistakes(t, c); !strings.Contains(got, option+"(-7") {
			t.Errorf("%s=%s: core.New says %q, want a complaint about %s", name, value, got, option)
		}
	}
	c := config.Config{ValidateAfterIdle: "-1s"} // which is never, and no mistake
	if options, err := c.Options(); len(options) != 1 || err != nil {
		t.Errorf("validate_after_idle makes %d options, error %v", len(options), err)
	}
}

func TestWhatIsNotSetIsLeftToThePool(t *testing.T) {
	var c config.Config
	if options, err := c.Options(); len(options) != 0 || err != nil {
		t.Errorf("%d options, error %v", len(options), err)
	}
	c.DialTimeout = "0s"
	if got := mistakes(t, c); !strings.Contains(got, "DialTimeout(0s)") {
		t.Errorf("a duration of zero is taken for none: %q", got)
	}
}

func TestFieldsHaveTheSameNameInEveryNotation(t *testing.T) {
	typ := reflect.TypeFor[config.Config]()
	var names []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		j, y := f.Tag.Get("json"), f.Tag.Get("yaml")
		name, _, _ := strings.Cut(j, ",")
		other, _, _ := strings.Cut(y, ",")
		if name != other || strings.ReplaceAll(name, "_", "") != strings.ToLower(f.Name) {
			t.Errorf("%s is %q in JSON and %q in YAML", f.Name, j, y)
		}
		names = append(names, name)
	}
	if got := config.Names(); !slices.Equal(got, names) {
		t.Errorf("the fields are %q, the settings %q", names, got)
	}
}

func TestParseReadsJSON(t *testing.T) {
	got, err := config.Parse([]byte(`{"registry": "static://h:1", "max_active": 5, "idle_timeout": "1m30s"}`), nil)
	want := config.Config{Registry: discovery.NewSecret("static://h:1"), MaxActive: 5, IdleTimeout: "1m30s"}
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("got %v, error %v", got, err)
	}
}

func TestMistakesInAFileSayWhatToWrite(t *testing.T) {
	for data, want := range map[string]string{
		`{"max_activ": 5}`:          `"max_activ" is not known (did you mean max_active?); known are registry, max_active`,
		`{"colour": "blue"}`:        `"colour" is not known; known are`,
		`{"max_active": "5"}`:       `max_active is the text "5": write the number without quotes`,
		`{"max_active": "many"}`:    `max_active is the text "many": write a whole number such as 64`,
		`{"max_active": 1.5}`:       "max_active is the number 1.5: write a whole number",
		`{"max_active": true}`:      "max_active is true: write a whole number",
		`{"max_active": [5]}`:       "max_active is a list or an object: write a whole number",
		`{"idle_timeout": 5}`:       `idle_timeout is the number 5: write a duration with its unit and in quotes, such as "5s"`,
		`{"registry": ["hunter2"]}`: "registry is not a text: write a URL in quotes",
		`{"max_active": 5} x`:       "something follows",
		`{"max_active": 5`:          "unexpected EOF",
		"{\n\"max_active\": 5,\n}":  "line 3: invalid character",
		``:                          "no JSON object such as",
		`{"registry": "a"}{}`:       "something follows",
		`["registry", "hunter2"]`:   "no JSON object such as",
		"max_active: 5":             "for YAML, set Source.Unmarshal",
	} {
		c, err := config.Parse([]byte(data), nil)
		if err == nil || !strings.Contains(err.Error(), want) || !reflect.DeepEqual(c, config.Config{}) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, error %v, want one with %q", data, c, err, want)
		}
	}
	_, err := config.Parse([]byte(`{"max_active": "5", "idle_timeout": 5, "x": 1}`), nil)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three mistakes are %v", err)
	}
}

func TestNullIsLeftToThePool(t *testing.T) {
	c, err := config.Parse([]byte(`{"registry": null, "max_active": null, "idle_timeout": null}`), nil)
	if !reflect.DeepEqual(c, config.Config{}) || err != nil {
		t.Errorf("got %v, error %v", c, err)
	}
}

// Libraries have numbers of different types; what they cannot read is their error.
func TestFileIsReadByTheProgramsOwnLibrary(t *testing.T) {
	for _, n := range []any{5, int64(5), uint64(5), 5.0} {
		c, err := config.Parse([]byte("whatever"), func(data []byte, v any) error {
			*v.(*map[string]any) = map[string]any{"max_active": n, "idle_timeout": "1m"}
			return nil
		})
		if want := (config.Config{MaxActive: 5, IdleTimeout: "1m"}); !reflect.DeepEqual(c, want) || err != nil {
			t.Errorf("%T: got %v, error %v", n, c, err)
		}
	}
	wrong := errors.New("line 3: wrong")
	if _, err := config.Parse(nil, func([]byte, any) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v", err)
	}
}

func TestVariableThatIsAlmostAParameterIsNamed(t *testing.T) {
	t.Setenv("ECHO_MAX_ACTIV", "9")
	t.Setenv("ECHO_IDLETIMEOUT", "3s")
	t.Setenv("ECHO_SERVICE_HOST", "10.0.0.1")
	t.Setenv("ECHO_MAX_IDLE", "1")
	var c config.Config
	err := c.ReadEnv("ECHO_")
	for _, part := range []string{"ECHO_MAX_ACTIV is not a parameter: did you mean ECHO_MAX_ACTIVE?", "did you mean ECHO_IDLE_TIMEOUT?"} {
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "SERVICE_HOST") {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if !reflect.DeepEqual(c, config.Config{}) {
		t.Errorf("after an error it is %v", c)
	}
	if got := config.UnmatchedEnv("ECHO_"); !slices.Equal(got, []string{"ECHO_IDLETIMEOUT", "ECHO_MAX_ACTIV", "ECHO_SERVICE_HOST"}) {
		t.Errorf("unmatched are %q", got)
	}
	if got := config.UnmatchedEnv(""); got != nil {
		t.Errorf("without a prefix: %q", got)
	}
}

func TestMissingRegistrySaysWhereToGiveIt(t *testing.T) {
	t.Setenv("ECHO_URL", "hunter2")
	for want, s := range map[string]config.Source{
		"the Source has neither a File nor a Prefix": {},
		`set the environment variable ECHO_REGISTRY to a URL such as "zk://h1:2181/services/echo"; of no parameter are ECHO_URL`: {Prefix: "ECHO_"},
		`echo.json or the environment variable NONE_REGISTRY to a URL`:                                                           {File: file(t, "echo.json", "{}"), Prefix: "NONE_"},
	} {
		_, err := config.NewPool(s, &discovery.Mux{}, core.DialFunc[conn](dial))
		if err == nil || !strings.Contains(err.Error(), "config: no registry is given: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", s, err, want)
		}
	}
}

func TestEnvironmentHasTheLastWord(t *testing.T) {
	t.Setenv("ECHO_REGISTRY", "static://env:1")
	t.Setenv("ECHO_MAX_ACTIVE", "9")
	t.Setenv("ECHO_IDLE_TIMEOUT", "3s")
	t.Setenv("ECHO_MAX_IDLE", "")
	t.Setenv("ECHO_SERVICE_HOST", "10.0.0.1")
	c := config.Config{Registry: discovery.NewSecret("static://file:1"), MaxActive: 1, MaxIdle: 2, DialTimeout: "1s"}
	if err := c.ReadEnv("ECHO_"); err != nil {
		t.Fatal(err)
	}
	want := config.Config{Registry: discovery.NewSecret("static://env:1"), MaxActive: 9, MaxIdle: 2, IdleTimeout: "3s", DialTimeout: "1s"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %v, want %v", c, want)
	}
	t.Setenv("ECHO_MAX_ACTIVE", "many")
	t.Setenv("ECHO_MAX_CONCURRENT_CALLS", "1.5")
	t.Setenv("ECHO_IDLE_TIMEOUT", "4s")
	err := c.ReadEnv("ECHO_")
	for _, part := range []string{`ECHO_MAX_ACTIVE: "many" is not a whole number`, `ECHO_MAX_CONCURRENT_CALLS: "1.5"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one with %q", err, part)
		}
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("after an error it is %v", c)
	}
}

func TestEveryBadDurationIsReported(t *testing.T) {
	c := config.Config{IdleTimeout: "5", DialTimeout: "x"}
	options, err := c.Options()
	if options != nil || err == nil || !strings.Contains(err.Error(), `idle_timeout: "5" has no unit: write "5s" for seconds`) ||
		!strings.Contains(err.Error(), `dial_timeout: "x"`) {
		t.Errorf("%d options, error %v", len(options), err)
	}
}

func TestRegistryIsOpenedThroughTheMux(t *testing.T) {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	c := config.Config{Registry: discovery.NewSecret("static://10.0.0.1:1")}
	w, err := c.Watcher(&m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_ = w.Watch(ctx, func(got []discovery.Endpoint) {
		if stop(); len(got) != 1 || got[0].Addr != "10.0.0.1:1" {
			t.Errorf("got %v", got)
		}
	})
	if _, err := c.Registrar(&m); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("registrar: error %v", err)
	}
	c.Registry = discovery.Secret{}
	_, err1 := c.Watcher(&m)
	_, err2 := c.Registrar(&m)
	for _, err := range []error{err1, err2} {
		if err == nil || !strings.HasPrefix(err.Error(), "config: no registry is given: set Registry to a URL") {
			t.Errorf("without a registry: error %v", err)
		}
	}
}

func TestSeveralRegistriesAreOneText(t *testing.T) {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	t.Setenv("ECHO_REGISTRY", "static://10.0.0.1:1 and static://10.0.0.2:1 or else static://10.0.0.3:1")
	var c config.Config
	if err := c.ReadEnv("ECHO_"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Watcher(&m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_ = w.Watch(ctx, func(got []discovery.Endpoint) {
		if stop(); len(got) != 2 {
			t.Errorf("got %v", got)
		}
	})
	if _, err := c.Registrar(&m); err == nil || !strings.Contains(err.Error(), "a server registers itself by one URL") {
		t.Errorf("registrar: error %v", err)
	}
	if got, want := c.String(), "registry="+os.Getenv("ECHO_REGISTRY"); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	if _, err := config.Parse([]byte(`{"registry": ["static://h:1", "static://i:1"]}`), nil); err == nil || !strings.Contains(err.Error(), `several in one text, such as "zk://h1/echo or else etcd://h2/echo"`) {
		t.Errorf("a list: %v", err)
	}
}

func TestASubsetIsThePartOfOneClient(t *testing.T) {
	list := make([]discovery.Endpoint, 100)
	for i := range list {
		list[i].Addr = fmt.Sprintf("10.0.0.%d:1", i)
	}
	dialed := func(c config.Config) map[string]bool {
		t.Helper()
		options, err := c.Options()
		if err != nil {
			t.Fatal(err)
		}
		p, err := core.New(static.Endpoints(list...), core.DialFunc[conn](dial), options...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close(t.Context()) }()
		used := map[string]bool{}
		for range 500 {
			l, err := p.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			used[l.Endpoint().Addr] = true
			_ = l.Release()
		}
		return used
	}
	first, second := dialed(config.Config{SubsetClients: 4}), dialed(config.Config{SubsetClients: 4, SubsetIndex: 2})
	for addr := range first {
		if second[addr] {
			t.Errorf("%s is in both parts", addr)
		}
	}
	if len(first) > 30 || len(second) > 30 {
		t.Errorf("parts of %d and %d servers of 100, for 4 clients", len(first), len(second))
	}
	if got := mistakes(t, config.Config{SubsetClients: -1}); !strings.Contains(got, "Subset: -1 clients") {
		t.Errorf("core.New says %q", got)
	}
	alone := config.Config{SubsetIndex: 3}
	if _, err := alone.Options(); err == nil || !strings.Contains(err.Error(), "subset_index is given without subset_clients") {
		t.Errorf("error %v", err)
	}
}

func TestConfigIsPrintedWithoutItsSecrets(t *testing.T) {
	c := config.Config{Registry: discovery.NewSecret("zk://user:hunter2@h/p?token=hunter2"), MaxActive: 5, IdleTimeout: "1m"}
	want := "registry=zk://user:xxxxx@h/p?token=... max_active=5 idle_timeout=1m"
	if got := c.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	printing.CheckHides(t, "hunter2", c, config.Config{Registry: discovery.NewSecret("hunter2")})
}

func TestNewPoolTakesAFileThenTheEnvironment(t *testing.T) {
	echo := file(t, "echo.json", `{"registry": "static://10.0.0.1:1,10.0.0.2:1", "max_active": 0, "max_idle": 3}`)
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	d := core.DialFunc[conn](dial)
	p, err := config.NewPool(config.Source{File: echo}, &mux, d, core.MinIdle(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitReady(t.Context()); err != nil || p.Len() != 2 {
		t.Errorf("%d endpoints, error %v", p.Len(), err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	t.Setenv("ECHO_MAX_IDLE", "1")
	if _, err := config.NewPool(config.Source{File: echo, Prefix: "ECHO_"}, &mux, d, core.MinIdle(2), core.MaxIdle(9)); err == nil || !strings.Contains(err.Error(), "MinIdle(2): more than MaxIdle(1)") {
		t.Errorf("the environment has not the last word: %v", err)
	}
	for name, c := range map[string]struct{ file, prefix, want string }{
		"no file":       {echo + ".old", "", "no such file"},
		"no registry":   {"", "OTHER_", "no registry"},
		"not a number":  {echo, "BAD_", `BAD_MAX_ACTIVE: "many" is not a whole number`},
		"unknown field": {file(t, "bad.json", `{"registri": "static://h:1"}`), "", "bad.json: config: \"registri\" is not known (did you mean registry?)"},
	} {
		t.Setenv("BAD_MAX_ACTIVE", "many")
		if _, err := config.NewPool(config.Source{File: c.file, Prefix: c.prefix}, &mux, d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

// file returns a file of that name and text.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
