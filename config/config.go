// Package config makes pools from a file and the environment:
//
//	pool, err := config.NewPool("echo.json", "ECHO_", &mux, dialer)
//
// The file is JSON, {"registry": "zk://h1,h2/services/echo", "idle_timeout":
// "1m"}; ECHO_REGISTRY, ECHO_IDLE_TIMEOUT and so on have the last word. [Config]
// lists the parameters, and makes watchers and registrars of them too.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// NewPool makes a pool of the registry and the parameters that a file and the
// environment name; m opens the registry. An empty file means none, an empty
// prefix that the environment is not read. Options of the program hold where
// neither says otherwise. The errors are those of [Load], [Config.Watcher] and
// [core.New]; nothing is dialed yet.
func NewPool[C io.Closer](file, prefix string, m *discovery.Mux, d core.Dialer[C], opts ...core.Option) (*core.Pool[C], error) {
	c, err := Load(file, prefix)
	if err != nil {
		return nil, err
	}
	watcher, err := c.Watcher(m)
	if err != nil {
		return nil, err
	}
	options, err := c.Options()
	if err != nil {
		return nil, err
	}
	return core.New(watcher, d, append(slices.Clip(opts), options...)...)
}

// Load reads a Config from a file, see [Parse], and then from the environment,
// see [Config.ReadEnv]. An empty file means none, an empty prefix that the
// environment is not read.
func Load(file, prefix string) (Config, error) {
	var c Config
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("config: %w", err)
		}
		if c, err = Parse(data); err != nil {
			return Config{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	if prefix != "" {
		if err := c.ReadEnv(prefix); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// Config is the parameters of a pool that are text and numbers. A parameter
// that is zero or empty is left to the pool's default. Durations are written
// like "1m30s", and "0s" is not empty: it is the duration zero, whatever that
// means to the option. Each parameter is explained at the option of core that
// has its name.
//
// The tags serve encoding/json and YAML libraries alike.
type Config struct {
	// Registry is the URL of the registry, for a [discovery.Mux]. It is a secret,
	// since it may have a password, or a reference to one, such as
	// "file:/run/secrets/registry".
	Registry discovery.Secret `json:"registry,omitzero" yaml:"registry,omitempty"`

	MaxActive          int `json:"max_active,omitempty" yaml:"max_active,omitempty"`
	MaxTotal           int `json:"max_total,omitempty" yaml:"max_total,omitempty"`
	MinIdle            int `json:"min_idle,omitempty" yaml:"min_idle,omitempty"`
	MaxIdle            int `json:"max_idle,omitempty" yaml:"max_idle,omitempty"`
	MaxConcurrentDials int `json:"max_concurrent_dials,omitempty" yaml:"max_concurrent_dials,omitempty"`
	MaxConcurrentCalls int `json:"max_concurrent_calls,omitempty" yaml:"max_concurrent_calls,omitempty"`
	MaxEndpoints       int `json:"max_endpoints,omitempty" yaml:"max_endpoints,omitempty"`

	IdleTimeout            string `json:"idle_timeout,omitempty" yaml:"idle_timeout,omitempty"`
	MaxLifetime            string `json:"max_lifetime,omitempty" yaml:"max_lifetime,omitempty"`
	ValidateAfterIdle      string `json:"validate_after_idle,omitempty" yaml:"validate_after_idle,omitempty"`
	HealthCheckInterval    string `json:"health_check_interval,omitempty" yaml:"health_check_interval,omitempty"`
	DialTimeout            string `json:"dial_timeout,omitempty" yaml:"dial_timeout,omitempty"`
	DrainTimeout           string `json:"drain_timeout,omitempty" yaml:"drain_timeout,omitempty"`
	RemovalGrace           string `json:"removal_grace,omitempty" yaml:"removal_grace,omitempty"`
	LeakDetectionThreshold string `json:"leak_detection_threshold,omitempty" yaml:"leak_detection_threshold,omitempty"`
}

// setting is one parameter: its name, where it is kept, as a secret, a text or a
// number, and its option, which the registry has none of.
type setting struct {
	name   string
	secret *discovery.Secret
	text   *string
	number *int
	period func(time.Duration) core.Option
	count  func(int) core.Option
}

func (c *Config) settings() []setting {
	return []setting{
		{name: "registry", secret: &c.Registry},
		{name: "max_active", number: &c.MaxActive, count: core.MaxActive},
		{name: "max_total", number: &c.MaxTotal, count: core.MaxTotal},
		{name: "min_idle", number: &c.MinIdle, count: core.MinIdle},
		{name: "max_idle", number: &c.MaxIdle, count: core.MaxIdle},
		{name: "max_concurrent_dials", number: &c.MaxConcurrentDials, count: core.MaxConcurrentDials},
		{name: "max_concurrent_calls", number: &c.MaxConcurrentCalls, count: core.MaxConcurrentCalls},
		{name: "max_endpoints", number: &c.MaxEndpoints, count: core.MaxEndpoints},
		{name: "idle_timeout", text: &c.IdleTimeout, period: core.IdleTimeout},
		{name: "max_lifetime", text: &c.MaxLifetime, period: core.MaxLifetime},
		{name: "validate_after_idle", text: &c.ValidateAfterIdle, period: core.ValidateAfterIdle},
		{name: "health_check_interval", text: &c.HealthCheckInterval, period: core.HealthCheckInterval},
		{name: "dial_timeout", text: &c.DialTimeout, period: core.DialTimeout},
		{name: "drain_timeout", text: &c.DrainTimeout, period: core.DrainTimeout},
		{name: "removal_grace", text: &c.RemovalGrace, period: core.RemovalGrace},
		{name: "leak_detection_threshold", text: &c.LeakDetectionThreshold, period: core.LeakDetectionThreshold},
	}
}

// Names lists the parameters as they are written in a file.
func Names() []string {
	var c Config
	var names []string
	for _, s := range c.settings() {
		names = append(names, s.name)
	}
	return names
}

// Parse reads a Config from JSON. A name that is not known is an error that
// lists the known ones. Durations are checked by Options.
func Parse(data []byte) (Config, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		if strings.Contains(err.Error(), "unknown field") {
			return Config{}, fmt.Errorf("config: %w; known are %s", err, strings.Join(Names(), ", "))
		}
		return Config{}, fmt.Errorf("config: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("config: something follows the JSON object")
	}
	return c, nil
}

// ReadEnv sets the parameters that the environment has: prefix and the name of
// the parameter in upper case, such as ECHO_MAX_ACTIVE for the prefix "ECHO_".
// An empty variable counts as absent, and other variables with the prefix are
// not looked at. After an error c is as it was.
func (c *Config) ReadEnv(prefix string) error {
	next := *c
	var errs []error
	for _, s := range next.settings() {
		name := prefix + strings.ToUpper(s.name)
		value := os.Getenv(name)
		switch {
		case value == "":
		case s.secret != nil:
			*s.secret = discovery.NewSecret(value)
		case s.text != nil:
			*s.text = value
		default:
			n, err := strconv.Atoi(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("config: %s: %q is not a whole number", name, value))
			}
			*s.number = n
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	*c = next
	return nil
}

// Options returns the options of the pool. Every value that is no duration is
// reported; whether the values make sense is checked by core.New.
func (c *Config) Options() ([]core.Option, error) {
	var options []core.Option
	var errs []error
	for _, s := range c.settings() {
		switch {
		case s.count != nil && *s.number != 0:
			options = append(options, s.count(*s.number))
		case s.period != nil && *s.text != "":
			d, err := time.ParseDuration(*s.text)
			if err != nil {
				errs = append(errs, fmt.Errorf(`config: %s: %q is not a duration, such as "5s"`, s.name, *s.text))
				continue
			}
			options = append(options, s.period(d))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return options, nil
}

// Watcher opens the registry.
func (c *Config) Watcher(m *discovery.Mux) (discovery.Watcher, error) {
	url, err := c.url()
	if err != nil {
		return nil, err
	}
	return m.Open(url)
}

// Registrar opens the registry to register in it.
func (c *Config) Registrar(m *discovery.Mux) (discovery.Registrar, error) {
	url, err := c.url()
	if err != nil {
		return nil, err
	}
	return m.OpenRegistrar(url)
}

// url returns the URL of the registry.
func (c *Config) url() (string, error) {
	url, err := c.Registry.Value()
	if err == nil && url == "" {
		err = errors.New("no registry is given")
	}
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	return url, nil
}

// String returns the parameters that are set, without the secrets that the
// registry's URL may have.
func (c Config) String() string {
	var parts []string
	for _, s := range c.settings() {
		switch {
		case s.secret != nil && s.secret.IsSet():
			shown := "(not a URL)"
			if url, err := s.secret.Value(); err != nil {
				shown = "(cannot be read)"
			} else if u, err := discovery.ParseURL(url); err == nil {
				shown = u.String()
			}
			parts = append(parts, s.name+"="+shown)
		case s.text != nil && *s.text != "":
			parts = append(parts, s.name+"="+*s.text)
		case s.number != nil && *s.number != 0:
			parts = append(parts, s.name+"="+strconv.Itoa(*s.number))
		}
	}
	return strings.Join(parts, " ")
}

// GoString shows no more than String.
func (c Config) GoString() string { return "config.Config{" + c.String() + "}" }
