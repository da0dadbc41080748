package etcd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

const (
	defaultFormat  = "naming"
	defaultTimeout = 5 * time.Second
	defaultTTL     = 10 * time.Second
	// minTTL is about as short as etcd itself grants leases: one and a half
	// election timeouts.
	minTTL = 2 * time.Second
	maxTTL = time.Hour

	minTimeout = 100 * time.Millisecond
	maxTimeout = time.Minute

	defaultPort = 2379
)

// config is what the options fill.
type config struct {
	endpoints []string
	prefix    string // with a slash at its end
	format    format.Format
	user      string
	password  discovery.Secret
	tls       discovery.TLS
	timeout   time.Duration
	ttl       time.Duration
	skipped   func(key string, err error)
}

// Option sets one parameter of a watcher or a registrar.
type Option func(*config)

// Format sets how servers are written; the default is format.Naming.
func Format(f format.Format) Option { return func(c *config) { c.format = f } }

// User sets who to log in as; the default is nobody. The password is looked
// up again for each new client, and never shown.
func User(name string, password discovery.Secret) Option {
	return func(c *config) { c.user, c.password = name, password }
}

// TLS sets how to talk TLS; the default is not to.
func TLS(t discovery.TLS) Option { return func(c *config) { c.tls = t } }

// Timeout sets how long etcd may take for an answer, connecting included,
// before another of its servers is asked; from 100 ms to 1 min, the default is
// 5 s. A watch asks for a sign of life as often.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// TTL sets how long etcd keeps the key of a registrar that it does not hear
// of; from 2 s to 1 h, in whole seconds, the default is 10 s. Watchers have
// none.
func TTL(d time.Duration) Option { return func(c *config) { c.ttl = d } }

// Skipped sets who is told of each entry that is malformed; the default is
// nobody. It is called from the goroutine of Watch, once for each value of the
// entry, and holds the watch up. Registrars have none.
func Skipped(f func(key string, err error)) Option { return func(c *config) { c.skipped = f } }

func newConfig(endpoints []string, prefix string, opts []Option) config {
	c := config{
		endpoints: slices.Clone(endpoints),
		prefix:    prefix,
		format:    format.Naming(),
		timeout:   defaultTimeout,
		ttl:       defaultTTL,
	}
	for _, o := range opts {
		o(&c)
	}
	// A sibling, such as /services/echo-2, must not match.
	if c.prefix != "" && !strings.HasSuffix(c.prefix, "/") {
		c.prefix += "/"
	}
	return c
}

// validate reports every mistake.
func (c *config) validate() error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(len(c.endpoints) > 0, "no server of etcd is named")
	for i, e := range c.endpoints {
		if err := discovery.ValidServer(e); err != nil {
			errs = append(errs, fmt.Errorf("server %d of %d: %w", i+1, len(c.endpoints), err))
		}
	}
	must(c.prefix != "", "no prefix is named, under which the servers are")
	must(c.format.Decode != nil && c.format.Encode != nil, "the format is none")
	must(c.user != "" || !c.password.IsSet(), "a password without a user")
	must(c.user == "" || c.password.IsSet(), "the user %q without a password", c.user)
	must(c.timeout >= minTimeout && c.timeout <= maxTimeout, "timeout %v is not from %v to %v", c.timeout, minTimeout, maxTimeout)
	must(c.ttl >= minTTL && c.ttl <= maxTTL && c.ttl%time.Second == 0, "TTL %v is not in whole seconds from %v to %v", c.ttl, minTTL, maxTTL)
	if err := c.tls.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}
