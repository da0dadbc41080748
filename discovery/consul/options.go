package consul

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
)

const (
	// defaultPort is the port of an agent that is listed without one.
	defaultPort = 8500

	// maxWait is Consul's own limit.
	defaultWait = time.Minute
	minWait     = time.Second
	maxWait     = 10 * time.Minute

	// minDeregisterAfter is Consul's own limit, which it checks every 30 s.
	defaultDeregisterAfter = time.Minute
	minDeregisterAfter     = time.Minute
	maxDeregisterAfter     = 7 * 24 * time.Hour
)

// config has what the arguments, options and parameters of one watcher or
// registrar say.
type config struct {
	agents          []string // each with its port
	service         string
	prefix          string // of keys, with a slash at its end, instead of the service
	format          format.Format
	credentials     discovery.Secret // the token
	tls             discovery.TLS
	plaintext       bool // credentials may be sent without TLS
	admission       discovery.Admission
	timeout         time.Duration
	ttl             time.Duration
	deregisterAfter time.Duration
	wait            time.Duration
	passing         bool
	tags            []string
	address         string // tag of the addresses
	datacenter      string
	namespace       string
	onSkipped       func(key string, err error)

	params *discovery.Params // declare the fields above
	err    error             // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher or a registrar.
type Option func(*config)

// WithFormat sets how instances are written: [format.Consul] with the layout of a
// framework, such as "kratos:grpc". The default is the one of none. With
// [WithPrefix], the format is one of keys and values, such as [format.Rpcx], and has
// no default.
func WithFormat(f format.Format) Option { return func(c *config) { c.format = f } }

// WithCredentials sets the token. The default is the token that the environment
// names. The secret is looked up for each Watch and Register and never shown.
func WithCredentials(s discovery.Secret) Option { return func(c *config) { c.credentials = s } }

// WithTLS switches TLS on, whether t.Enabled is set or not, and says how to use
// it. The default is plain connections.
func WithTLS(t discovery.TLS) Option {
	return func(c *config) {
		c.tls = t
		c.tls.Enabled = true
	}
}

// AllowPlaintextCredentials lets the token be sent without TLS to agents on other
// hosts, where everybody on the way can read and use it. By default that is an error.
// Unix sockets and loopback addresses need no permission.
func AllowPlaintextCredentials() Option { return func(c *config) { c.plaintext = true } }

// OnSkipped sets a function to call with each entry that is malformed, wholly
// or in part, once for each value of the entry. The goroutine of Watch calls it
// and waits for it. Registrars ignore it.
func OnSkipped(f func(key string, err error)) Option { return func(c *config) { c.onSkipped = f } }

// Timeout sets how long an agent may take to answer, connecting included and
// the wait for a change excluded. The watches of one agent together check at
// the same interval that it answers and that Consul has a leader. The timeout is from 100 ms to 1 min, and 5 s
// by default.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// TTL sets how long an instance stays passing after its agent last heard from
// the program. The TTL is from 2 s to 1 h in whole seconds, and 10 s by
// default. It is that of a key's session too, which Consul keeps for up to twice
// as long, and for which it takes no less than its session_ttl_min, 10 s by
// default. Watchers ignore it.
func TTL(d time.Duration) Option { return func(c *config) { c.ttl = d } }

// DeregisterAfter sets after which time in critical state the agent removes an
// instance. It is from 1 min to 7 days, and 1 min by default. Watchers ignore
// it, and keys have no such state.
func DeregisterAfter(d time.Duration) Option { return func(c *config) { c.deregisterAfter = d } }

// Wait sets how long one request waits for a change. It is from 1 s to 10 min,
// and 1 min by default. Consul adds up to a sixteenth.
func Wait(d time.Duration) Option { return func(c *config) { c.wait = d } }

// Passing leaves out instances whose worst check is a warning. By default they
// are servers with the weight that they have for warnings. Registrars ignore
// it.
func Passing() Option { return func(c *config) { c.passing = true } }

// WithTag adds a tag that an instance must have to be a server. A registrar
// adds it to its instances.
func WithTag(tag string) Option { return func(c *config) { c.tags = append(c.tags, tag) } }

// WithAddress chooses among the tagged addresses of an instance: lan, wan,
// lan_ipv4, wan_ipv6 and the like, or a name of the operator's own, such as
// grpc. The default is the address that the instance is registered with. An
// instance without the address is left out, as [OnSkipped] tells, except that
// its plain address counts as lan and wan. Registrars ignore it.
func WithAddress(tag string) Option { return func(c *config) { c.address = tag } }

// WithPrefix sets that a watcher finds its servers in the key-value store, not in
// the catalog: in the keys below prefix, to which it adds a slash at the end if there
// is none. A registrar puts its keys there. Slashes at the beginning count for nothing,
// since no key of Consul begins with one. The service is empty then, [WithFormat] says
// how the keys are written, and tags, addresses and checks do not apply. The default is
// the catalog.
func WithPrefix(prefix string) Option { return func(c *config) { c.prefix = keyPrefix(prefix) } }

// WithDatacenter sets the datacenter to watch. The default is the agent's. A
// registrar accepts none, because an agent registers only in its own.
func WithDatacenter(name string) Option { return func(c *config) { c.datacenter = name } }

// WithNamespace sets the namespace, a feature of Consul Enterprise. The default
// is the token's.
func WithNamespace(name string) Option { return func(c *config) { c.namespace = name } }

// Allow sets which endpoints the registry may name, in the rules of
// [discovery.Admission]: an address, a prefix, a name or a socket, with or without
// ports. Without rules these are all hosts, and no Unix socket. Further ones add to
// it. Registrars ignore it.
func Allow(rules ...string) Option { return func(c *config) { c.admission.Allow(rules...) } }

// Deny sets which endpoints the registry may not name, in the same rules. What both
// match is denied. Registrars ignore it.
func Deny(rules ...string) Option { return func(c *config) { c.admission.Deny(rules...) } }

// declare declares the fields as parameters, which gives them their defaults.
func (c *config) declare(p *discovery.Params) {
	c.params = p
	format.ConsulParam(p, &c.format, "format", "whose instances these are, for the framework's weights, zones and addresses")
	p.Credentials(&c.credentials, "the token; empty means that of CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN")
	p.TLS(&c.tls)
	p.AllowPlaintextCredentials(&c.plaintext)
	p.Admission(&c.admission)
	p.Timeout(&c.timeout)
	p.TTL(&c.ttl)
	p.Duration(&c.deregisterAfter, "deregister_after", defaultDeregisterAfter, minDeregisterAfter, maxDeregisterAfter,
		"how long an instance is critical before the agent removes it")
	p.Duration(&c.wait, "wait", defaultWait, minWait, maxWait, "how long one request waits for a change")
	p.Bool(&c.passing, "passing", false, "whether to leave out instances that warn")
	p.Strings(&c.tags, "tag", "tag that an instance must have; a registrar adds it")
	p.String(&c.address, "address", "", "which tagged address of an instance to use, such as wan; empty means its plain one")
	discovery.Var(p, &c.prefix, "", discovery.Param{
		Name: "prefix", Type: "text",
		Doc: "prefix of keys in the key-value store, instead of a service, which is empty then",
	}, func(s string) (string, error) { return keyPrefix(s), nil })
	p.String(&c.datacenter, "datacenter", "", "datacenter to watch; empty means the agent's")
	p.String(&c.namespace, "namespace", "", "namespace of Consul Enterprise; empty means the token's")
}

func newConfig(agents []string, service string, opts []Option) *config {
	c := &config{}
	c.declare(&discovery.Params{})
	wrong := option.Apply(c, opts)
	c.place(agents, service)
	c.err = errors.Join(c.err, wrong)
	return c
}

// place sets the arguments of Watcher and Registrar.
func (c *config) place(agents []string, service string) {
	c.agents, c.err = discovery.ServerAddrs(agents, defaultPort)
	c.service = service
}

// validate reports every mistake, errs included. It connects to
// nothing.
func (c *config) validate(errs ...error) error {
	errs = append(errs, c.err, c.params.Validate())
	if c.prefix != "" {
		errs = append(errs, c.validatePrefix())
	} else {
		errs = append(errs, c.validateService())
	}
	if _, err := c.credentials.Value(); err == nil {
		_, err = tokenOf(c)
		errs = append(errs, err)
	}
	if slices.Contains(c.tags, "") {
		errs = append(errs, errors.New("a tag is empty"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("consul: %w", err)
	}
	return nil
}

// validateService reports mistakes that concern instances of the catalog.
func (c *config) validateService() error {
	var errs []error
	switch {
	case c.service == "":
		errs = append(errs, errors.New("the service is empty"))
	case strings.Contains(c.service, "/"):
		errs = append(errs, fmt.Errorf("the service %q has a slash in its name; a path of the key-value store is the parameter prefix", c.service))
	}
	if !c.ofInstances() {
		errs = append(errs, fmt.Errorf("the format %q is none of Consul's instances; format.Consul has layouts of other programs, and keys have the parameter prefix", c.format.Name))
	}
	return errors.Join(errs...)
}

// ofInstances reports whether the format is one of instances in the catalog.
func (c *config) ofInstances() bool {
	name, _, _ := strings.Cut(c.format.Name, ":")
	return name == "consul" && c.format.Decode != nil
}
