// Package config makes pools from a file and the environment:
//
//	pool, err := config.NewPool(config.Source{File: "echo.json", Prefix: "ECHO_"}, &mux, dialer)
//
// The file is {"registry": "zk://h1,h2/services/echo", "idle_timeout": "1m"};
// ECHO_REGISTRY, ECHO_IDLE_TIMEOUT and so on have the last word. A registry may be
// several: "zk://h1/services/echo or else file:///var/lib/echo/servers". [Config] lists the
// parameters, and makes watchers and registrars of them too. This package requires
// no YAML library, but reads YAML with the program's own:
//
//	config.Source{File: "echo.yaml", Unmarshal: yaml.Unmarshal}
package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
	"github.com/minicaptain/multi_connection_pool/internal/duration"
)

// Config is the parameters of a pool that are text and numbers. A parameter
// that is zero or empty is left to the pool's default. Durations are written
// like "1m30s", and "0s" is not empty: it is the duration zero, whatever that
// means to the option. Each parameter is explained at the option of core that
// has its name.
//
// The tags serve encoding/json and YAML libraries alike.
type Config struct {
	// Registry is the URL of the registry, or several URLs joined by "and" or "or
	// else", as [combine.Open] takes them. It is a secret, since it may have a
	// password, or a reference to one, such as "file:/run/secrets/registry".
	Registry discovery.Secret `json:"registry,omitzero" yaml:"registry,omitempty"`

	MaxActive          int `json:"max_active,omitempty" yaml:"max_active,omitempty"`
	MaxTotal           int `json:"max_total,omitempty" yaml:"max_total,omitempty"`
	MinIdle            int `json:"min_idle,omitempty" yaml:"min_idle,omitempty"`
	MaxIdle            int `json:"max_idle,omitempty" yaml:"max_idle,omitempty"`
	MaxConcurrentDials int `json:"max_concurrent_dials,omitempty" yaml:"max_concurrent_dials,omitempty"`
	MaxConcurrentCalls int `json:"max_concurrent_calls,omitempty" yaml:"max_concurrent_calls,omitempty"`
	MaxEndpoints       int `json:"max_endpoints,omitempty" yaml:"max_endpoints,omitempty"`

	// SubsetClients is the number of clients, of which this one is number SubsetIndex,
	// from 0, that share the servers among them so that not each is connected to all:
	// the balancer is [balance.Subset] over [balance.LeastLatency], in place of one of
	// the program's. Zero means that the pool uses all servers.
	SubsetClients int `json:"subset_clients,omitempty" yaml:"subset_clients,omitempty"`
	SubsetIndex   int `json:"subset_index,omitempty" yaml:"subset_index,omitempty"`

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
// number, and its option; the registry and the subset have none.
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
		{name: "subset_clients", number: &c.SubsetClients},
		{name: "subset_index", number: &c.SubsetIndex},
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

// ReadEnv sets the parameters that the environment has: prefix and the name of
// the parameter in upper case, such as ECHO_MAX_ACTIVE for the prefix "ECHO_".
// An empty variable counts as absent. One that is almost a parameter, such as
// ECHO_MAX_ACTIV, is an error; others with the prefix are not looked at, since
// Kubernetes sets ECHO_SERVICE_HOST and the like: see [UnmatchedEnv]. After an
// error c is as it was.
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
				errs = append(errs, fmt.Errorf("config: %s: %q is not a whole number such as 64", name, value))
			}
			*s.number = n
		}
	}
	for _, name := range UnmatchedEnv(prefix) {
		if known := closest(strings.ToLower(strings.TrimPrefix(name, prefix))); known != "" {
			errs = append(errs, fmt.Errorf("config: %s is not a parameter: did you mean %s?", name, prefix+strings.ToUpper(known)))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	*c = next
	return nil
}

// UnmatchedEnv returns the names of the environment variables that begin with
// prefix and are not a parameter, sorted, for a program that logs them. An empty
// prefix has none.
func UnmatchedEnv(prefix string) []string {
	var names []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		rest, ok := strings.CutPrefix(name, prefix)
		known := func(parameter string) bool { return strings.ToUpper(parameter) == rest }
		if prefix != "" && ok && !slices.ContainsFunc(Names(), known) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
			d, err := duration.Parse(*s.text)
			if err != nil {
				errs = append(errs, fmt.Errorf(`config: %s: %q %w`, s.name, *s.text, err))
				continue
			}
			options = append(options, s.period(d))
		}
	}
	switch {
	case c.SubsetClients != 0:
		subset := balance.Subset(c.SubsetIndex, c.SubsetClients, balance.LeastLatency(balance.LeastLatencyConfig{}))
		options = append(options, core.WithBalancer(subset))
	case c.SubsetIndex != 0:
		errs = append(errs, errors.New("config: subset_index is given without subset_clients, the number of clients that share the servers"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return options, nil
}

// Watcher opens the registry.
func (c *Config) Watcher(m *discovery.Mux) (discovery.Watcher, error) {
	text, err := c.url()
	if err != nil {
		return nil, err
	}
	return combine.Open(m, text)
}

// Registrar opens the registry to register in it.
func (c *Config) Registrar(m *discovery.Mux) (discovery.Registrar, error) {
	url, err := c.url()
	if err != nil {
		return nil, err
	}
	if len(strings.Fields(url)) > 1 {
		return nil, errors.New("config: registry joins several URLs: a server registers itself by one URL, in a Config of its own")
	}
	return m.OpenRegistrar(url)
}

// url returns the URL of the registry.
func (c *Config) url() (string, error) {
	url, err := c.Registry.Value()
	if err == nil && url == "" {
		return "", fmt.Errorf(`%w: set Registry to a URL such as "zk://h1:2181/services/echo"`, errNoRegistry)
	}
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	return url, nil
}

var errNoRegistry = errors.New("config: no registry is given")

// String returns the parameters that are set, without the secrets that the
// registry's URL may have.
func (c Config) String() string {
	var parts []string
	for _, s := range c.settings() {
		switch {
		case s.secret != nil && s.secret.IsSet():
			shown := "(not a URL)"
			if text, err := s.secret.Value(); err != nil {
				shown = "(cannot be read)"
			} else if printed, err := combine.Print(text); err == nil {
				shown = printed
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
