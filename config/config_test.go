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
		c, err := config.Parse(fmt.Appendf(nil, `{%q: %s}`, name, value))
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
	for f := range typ.Fields() {
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
	got, err := config.Parse([]byte(`{"registry": "static://h:1", "max_active": 5, "idle_timeout": "1m30s"}`))
	want := config.Config{Registry: discovery.NewSecret("static://h:1"), MaxActive: 5, IdleTimeout: "1m30s"}
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("got %v, error %v", got, err)
	}
	for data, want := range map[string]string{
		`{"max_activ": 5}`:         "known are registry, max_active",
		`{"max_active": "5"}`:      "max_active",
		`{"idle_timeout": 5}`:      "idle_timeout",
		`{"max_active": 5} x`:      "something follows",
		`{"max_active": 5`:         "config: ",
		``:                         "config: ",
		`{"registry": "a"}{}`:      "something follows",
		`["registry", "zk://..."]`: "config: ",
	} {
		if c, err := config.Parse([]byte(data)); err == nil || !strings.Contains(err.Error(), want) || !reflect.DeepEqual(c, config.Config{}) {
			t.Errorf("%s: got %v, error %v, want one with %q", data, c, err, want)
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
	if options != nil || err == nil || !strings.Contains(err.Error(), `idle_timeout: "5" is not a duration, such as "5s"`) ||
		!strings.Contains(err.Error(), `dial_timeout: "x"`) {
		t.Errorf("%d options, error %v", len(options), err)
	}
}

func TestRegistryIsOpenedThroughTheMux(t *testing.T) {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	c := config.Config{Registry: discovery.NewSecret("static://10.0.0.1:1")}
	w, err := c.Watcher(&m)
	if err != nil || !reflect.DeepEqual(w, static.Watcher("10.0.0.1:1")) {
		t.Errorf("watcher %v, error %v", w, err)
	}
	if _, err := c.Registrar(&m); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("registrar: error %v", err)
	}
	c.Registry = discovery.Secret{}
	_, err1 := c.Watcher(&m)
	_, err2 := c.Registrar(&m)
	for _, err := range []error{err1, err2} {
		if err == nil || err.Error() != "config: no registry is given" {
			t.Errorf("without a registry: error %v", err)
		}
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
	file := filepath.Join(t.TempDir(), "echo.json")
	if err := os.WriteFile(file, []byte(`{"registry": "static://10.0.0.1:1,10.0.0.2:1", "max_active": 0, "max_idle": 3}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var mux discovery.Mux
	mux.Handle("static", static.Opener)
	d := core.DialFunc[conn](dial)
	p, err := config.NewPool(file, "", &mux, d, core.MinIdle(2))
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
	if _, err := config.NewPool(file, "ECHO_", &mux, d, core.MinIdle(2), core.MaxIdle(9)); err == nil || !strings.Contains(err.Error(), "MinIdle(2): more than MaxIdle(1)") {
		t.Errorf("the environment has not the last word: %v", err)
	}
	for name, c := range map[string]struct{ file, prefix, want string }{
		"no file":       {file + ".old", "", "no such file"},
		"no registry":   {"", "OTHER_", "no registry"},
		"not a number":  {file, "BAD_", `BAD_MAX_ACTIVE: "many" is not a whole number`},
		"unknown field": {badFile(t), "", "known are registry"},
	} {
		t.Setenv("BAD_MAX_ACTIVE", "many")
		if _, err := config.NewPool(c.file, c.prefix, &mux, d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

// badFile returns a file with a parameter that does not exist.
func badFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(file, []byte(`{"registri": "static://h:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
