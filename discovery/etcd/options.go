package etcd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
)

// defaultPort is the port of a server that is listed without one.
const defaultPort = 2379

// config has what the arguments, options and parameters of one watcher or
// registrar say.
type config struct {
	servers     []string // each with its port
	prefix      string   // with a slash at its end
	format      format.Format
	credentials discovery.Secret // "user:password"
	tls         discovery.TLS
	plaintext   bool // credentials may be sent without TLS
	admission   discovery.Admission
	timeout     time.Duration
	ttl         time.Duration
	onSkipped   func(key string, err error)

	params *discovery.Params // declare the fields above
	err    error             // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher or a registrar.
type Option func(*config)

// WithFormat sets how keys and values are written. The default is
// [format.GRPCNaming]. A watcher needs the format's Decode, a registrar its
// Encode.
func WithFormat(f format.Format) Option { return func(c *config) { c.format = f } }

// WithCredentials sets the user to log in as and the password: a secret
// "user:password", such as [discovery.UserPassword] makes. The default is not
// to log in. The secret is looked up for each new client and never shown.
func WithCredentials(s discovery.Secret) Option { return func(c *config) { c.credentials = s } }

// WithTLS switches TLS on, whether t.Enabled is set or not, and says how to use
// it. The default is plain connections.
func WithTLS(t discovery.TLS) Option {
	return func(c *config) {
		c.tls = t
		c.tls.Enabled = true
	}
}

// AllowPlaintextCredentials lets user and password be sent without TLS to servers on
// other hosts, where everybody on the way can read and use them. By default that is
// an error. Unix sockets and loopback addresses need no permission.
func AllowPlaintextCredentials() Option { return func(c *config) { c.plaintext = true } }

// OnSkipped sets a function to call with each entry that is malformed, wholly
// or in part, once for each value of the entry. The goroutine of Watch calls it
// and waits for it. Registrars ignore it.
func OnSkipped(f func(key string, err error)) Option { return func(c *config) { c.onSkipped = f } }

// Timeout sets how long etcd may take to answer, connecting included, before
// the next of its servers is asked. A watch requests a sign of life at the same
// interval. The timeout is from 100 ms to 1 min, and 5 s by default.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// TTL sets how long etcd keeps the key of a registrar that it does not hear
// from. The TTL is from 2 s to 1 h in whole seconds, and 10 s by default.
// Watchers ignore it.
func TTL(d time.Duration) Option { return func(c *config) { c.ttl = d } }

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
	format.Param(p, &c.format, "format", "naming", "how keys and values are written")
	p.Credentials(&c.credentials, "user:password, instead of those in front of the hosts")
	p.TLS(&c.tls)
	p.AllowPlaintextCredentials(&c.plaintext)
	p.Admission(&c.admission)
	p.Timeout(&c.timeout)
	p.TTL(&c.ttl)
}

func newConfig(servers []string, prefix string, opts []Option) *config {
	c := &config{}
	c.declare(&discovery.Params{})
	wrong := option.Apply(c, opts)
	c.place(servers, prefix)
	c.err = errors.Join(c.err, wrong)
	return c
}

// place sets the arguments of Watcher and Registrar.
func (c *config) place(servers []string, prefix string) {
	c.servers, c.err = discovery.ServerAddrs(servers, defaultPort)
	// Without the slash, a sibling such as /services/echo-2 would match.
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	c.prefix = prefix
}

// validate reports every mistake, errs included. It connects to
// nothing.
func (c *config) validate(errs ...error) error {
	errs = append(errs, c.err, c.params.Validate())
	if c.prefix == "" {
		errs = append(errs, errors.New("the prefix is empty"))
	}
	if c.credentials.IsSet() {
		errs = append(errs, discovery.CheckPlaintext(c.servers, c.tls, c.plaintext))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}
