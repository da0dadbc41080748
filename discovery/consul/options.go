package consul

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

const (
	defaultTimeout = 5 * time.Second
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = time.Minute

	// maxWait is Consul's own limit.
	defaultWait = time.Minute
	minWait     = time.Second
	maxWait     = 10 * time.Minute

	defaultTTL = 10 * time.Second
	minTTL     = time.Second
	maxTTL     = time.Hour

	// minReap is Consul's own limit, which it looks at every 30 s.
	defaultReap = time.Minute
	minReap     = time.Minute
	maxReap     = 7 * 24 * time.Hour

	defaultPort = 8500
)

// config is what the options fill.
type config struct {
	agents     []string
	service    string
	tags       []string
	datacenter string
	namespace  string
	passing    bool
	token      discovery.Secret
	tls        discovery.TLS
	timeout    time.Duration
	wait       time.Duration
	ttl        time.Duration
	reap       time.Duration
	skipped    func(key string, err error)
}

// Option sets one parameter of a watcher or a registrar.
type Option func(*config)

// Tag adds a tag that an instance must have to count. A registrar adds it to
// its instances, for its watchers to find them.
func Tag(tag string) Option { return func(c *config) { c.tags = append(c.tags, tag) } }

// Datacenter sets the datacenter to watch; the default is the agent's. A
// registrar has none but that of its agent.
func Datacenter(name string) Option { return func(c *config) { c.datacenter = name } }

// Namespace sets the namespace, which only Consul Enterprise has; the default
// is the token's.
func Namespace(name string) Option { return func(c *config) { c.namespace = name } }

// Passing makes a watcher leave out instances with a check that warns, which
// count by default, with their weight for that case.
func Passing() Option { return func(c *config) { c.passing = true } }

// Token sets the token to be known by. It is looked up again for each Watch
// and Register, and never shown.
func Token(token discovery.Secret) Option { return func(c *config) { c.token = token } }

// TLS sets how to talk TLS; the default is not to.
func TLS(t discovery.TLS) Option { return func(c *config) { c.tls = t } }

// Timeout sets how long an agent may take for an answer, connecting included
// and the wait for a change not; from 100 ms to 1 min, the default is 5 s. A
// watch that waits asks as often whether Consul is there and has a leader.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// Wait sets how long one request of a watch waits for a change; from 1 s to
// 10 min, the default is 1 min. Consul adds up to a sixteenth.
func Wait(d time.Duration) Option { return func(c *config) { c.wait = d } }

// TTL sets after which silence of its program an instance is critical, and so
// watched no more; from 1 s to 1 h, the default is 10 s. Watchers have none.
func TTL(d time.Duration) Option { return func(c *config) { c.ttl = d } }

// DeregisterAfter sets after which time in critical state the agent removes an
// instance; from 1 min to 7 days, the default is 1 min. Watchers have none.
func DeregisterAfter(d time.Duration) Option { return func(c *config) { c.reap = d } }

// Skipped sets who is told of each entry that is malformed; the default is
// nobody. It is called from the goroutine of Watch, once for each value of the
// entry, and holds the watch up. Registrars have none.
func Skipped(f func(key string, err error)) Option { return func(c *config) { c.skipped = f } }

func newConfig(agents []string, service string, opts []Option) config {
	c := config{
		agents: slices.Clone(agents), service: service,
		timeout: defaultTimeout, wait: defaultWait, ttl: defaultTTL, reap: defaultReap,
	}
	for _, o := range opts {
		o(&c)
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
	between := func(name string, d, least, most time.Duration) {
		must(d >= least && d <= most, "%s %v is not from %v to %v", name, d, least, most)
	}
	must(len(c.agents) > 0, "no agent of Consul is named")
	for i, a := range c.agents {
		if err := discovery.ValidServer(a); err != nil {
			errs = append(errs, fmt.Errorf("agent %d of %d: %w", i+1, len(c.agents), err))
		}
	}
	must(c.service != "", "no service is named")
	must(!strings.Contains(c.service, "/"), "the service %q has a slash in its name", c.service)
	for _, tag := range c.tags {
		must(tag != "" && !strings.Contains(tag, ","), "the tag %q is empty or has a comma", tag)
	}
	between("timeout", c.timeout, minTimeout, maxTimeout)
	between("wait", c.wait, minWait, maxWait)
	between("TTL", c.ttl, minTTL, maxTTL)
	between("time to deregister after", c.reap, minReap, maxReap)
	if err := c.tls.Validate(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	return nil
}
