package xds

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
)

// defaultPort is the port of a control plane that is listed without one: that of
// go-control-plane's examples.
const defaultPort = 18000

// config has what the arguments, options and parameters of one watcher say.
type config struct {
	servers       []string // each with its port
	cluster       string
	node          string
	nodeCluster   string
	credentials   discovery.Secret // a bearer token
	tls           discovery.TLS
	plaintext     bool // credentials may be sent without TLS
	admission     discovery.Admission
	timeout       time.Duration
	onSkipped     func(key string, err error)
	allPriorities bool

	params *discovery.Params // declare the fields above
	err    error             // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher.
type Option func(*config)

// WithNode sets the node ID, by which the control plane chooses what it sends. The
// default is the host's name.
func WithNode(id string) Option { return func(c *config) { c.node = id } }

// WithNodeCluster sets the node's cluster, which is the name of the service that the
// program belongs to, and not of the one that it calls. The default is none.
func WithNodeCluster(name string) Option { return func(c *config) { c.nodeCluster = name } }

// WithCredentials sets a bearer token, which is sent in the header authorization of
// each stream. The default is none. The secret is looked up for each stream and never
// shown.
func WithCredentials(s discovery.Secret) Option { return func(c *config) { c.credentials = s } }

// WithTLS switches TLS on, whether t.Enabled is set or not, and says how to use it.
// The default is plain connections.
func WithTLS(t discovery.TLS) Option {
	return func(c *config) {
		c.tls = t
		c.tls.Enabled = true
	}
}

// AllowPlaintextCredentials lets the token be sent without TLS to servers on other
// hosts, where everybody on the way can read and use it. By default that is an error.
// Unix sockets and loopback addresses need no permission.
func AllowPlaintextCredentials() Option { return func(c *config) { c.plaintext = true } }

// OnSkipped sets a function to call with each endpoint that is left out, by its
// address or position, and why, once until that changes. The goroutine of Watch calls
// it and waits for it.
func OnSkipped(f func(key string, err error)) Option { return func(c *config) { c.onSkipped = f } }

// Timeout sets how long the control plane may take to connect, and again to send the
// endpoints of a cluster for the first time, before the next one is asked. The timeout
// is from 100 ms to 1 min, and 5 s by default.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// Allow sets which endpoints the control plane may name, in the rules of
// [discovery.Admission]: an address, a prefix, a name or a socket, with or without
// ports. Without rules these are all hosts, and no Unix socket. Further ones add to it.
func Allow(rules ...string) Option { return func(c *config) { c.admission.Allow(rules...) } }

// Deny sets which endpoints the control plane may not name, in the same rules. What
// both match is denied.
func Deny(rules ...string) Option { return func(c *config) { c.admission.Deny(rules...) } }

// AllPriorities makes the endpoints of all priorities count, each with its priority in
// the attribute "priority", unless that is 0. balance.Priority chooses by it.
func AllPriorities() Option { return func(c *config) { c.allPriorities = true } }

// declare declares the fields as parameters, which gives them their defaults.
func (c *config) declare(p *discovery.Params) {
	c.params = p
	p.String(&c.node, "node", "", "the node ID, by which the control plane chooses what it sends; empty means the host's name")
	p.String(&c.nodeCluster, "node_cluster", "", "the node's cluster: the service that the program belongs to")
	p.Credentials(&c.credentials, "a bearer token")
	p.TLS(&c.tls)
	p.AllowPlaintextCredentials(&c.plaintext)
	p.Admission(&c.admission)
	p.Timeout(&c.timeout)
	p.Bool(&c.allPriorities, "all_priorities", false, "whether endpoints of every priority count, with the attribute priority")
}

func newConfig(servers []string, cluster string, opts []Option) *config {
	c := &config{}
	c.declare(&discovery.Params{})
	wrong := option.Apply(c, opts)
	c.place(servers, cluster)
	c.err = errors.Join(c.err, wrong)
	return c
}

// place sets the arguments of Watcher.
func (c *config) place(servers []string, cluster string) {
	c.servers, c.err = discovery.ServerAddrs(servers, defaultPort)
	c.cluster = cluster
	if c.node == "" {
		c.node, _ = os.Hostname()
	}
}

// validate reports every mistake. It connects to nothing.
func (c *config) validate() error {
	errs := []error{c.err, c.params.Validate()}
	if c.cluster == "" {
		errs = append(errs, errors.New("the cluster is empty: write its name as the path, such as xds://h1:18000/echo"))
	}
	if c.node == "" {
		errs = append(errs, errors.New("the host has no name: set the node ID (node=...)"))
	}
	if c.credentials.IsSet() {
		errs = append(errs, discovery.CheckPlaintext(c.servers, c.tls, c.plaintext))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("xds: %w", err)
	}
	return nil
}
