package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
)

const (
	// defaultPort is the port of a server that is listed without one.
	defaultPort = 53

	defaultMinTTL, leastMinTTL = time.Second, 100 * time.Millisecond
	defaultMaxTTL              = time.Minute
	mostTTL                    = time.Hour
)

// Values of the parameter family.
const (
	familyAny  = "any"
	familyIPv4 = "ipv4"
	familyIPv6 = "ipv6"
	familyBoth = "both"
)

// Values of the parameter transport.
const (
	transportTCP = "tcp"
	transportUDP = "udp"
)

// config has what the arguments, options and parameters of one watcher say.
type config struct {
	servers       []string // each with its port; none for those of the system
	name          string   // without the port
	port          uint16   // zero for SRV records
	admission     discovery.Admission
	onSkipped     func(key string, err error)
	timeout       time.Duration
	minTTL        time.Duration
	maxTTL        time.Duration
	family        string
	transport     string
	allPriorities bool

	system func() resolvConfig // reads the system's
	params *discovery.Params   // declare the fields above
	err    error               // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher.
type Option func(*config)

// Allow sets which endpoints the answers may name, in the rules of
// [discovery.Admission]: an address or a prefix, with or without ports. Without
// rules these are all. Further ones add to it.
func Allow(rules ...string) Option { return func(c *config) { c.admission.Allow(rules...) } }

// Deny sets which endpoints the answers may not name, in the same rules. What both
// match is denied.
func Deny(rules ...string) Option { return func(c *config) { c.admission.Deny(rules...) } }

// OnSkipped sets a function to call with each record that is left out, by its
// target or address, and why, once until that changes. The goroutine of Watch
// calls it and waits for it.
func OnSkipped(f func(key string, err error)) Option { return func(c *config) { c.onSkipped = f } }

// Timeout sets how long a server may take to answer, connecting included. The
// timeout is from 100 ms to 1 min, and 5 s by default.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// MinTTL sets the shortest time between two looks, for records whose TTL is
// shorter. It is from 100 ms to 1 h, and 1 s by default.
func MinTTL(d time.Duration) Option { return func(c *config) { c.minTTL = d } }

// MaxTTL sets the longest time between two looks, for records whose TTL is longer.
// It is from 100 ms to 1 h, at least MinTTL, and 1 min by default.
func MaxTTL(d time.Duration) Option { return func(c *config) { c.maxTTL = d } }

// WithFamily sets which addresses of a name count: "ipv4", "ipv6", "both", or
// "any", the default: the IPv4 addresses, or the IPv6 addresses of a name that has
// no others, so that a server with one of each is one server.
func WithFamily(family string) Option { return func(c *config) { c.family = family } }

// WithTransport sets how questions are asked: "tcp", the default, or "udp", for
// servers that cannot be reached over TCP: then TCP follows only when an answer is
// marked as cut, and servers that do not mark it make the set change all the time.
func WithTransport(transport string) Option { return func(c *config) { c.transport = transport } }

// AllPriorities makes the servers of all SRV priorities count, each with its
// priority in the attribute "priority", by which balance.Priority chooses.
func AllPriorities() Option { return func(c *config) { c.allPriorities = true } }

// declare declares the fields as parameters, which gives them their defaults.
func (c *config) declare(p *discovery.Params) {
	c.params = p
	c.system = func() resolvConfig { return readResolvConf("/etc/resolv.conf") }
	p.Admission(&c.admission)
	p.Timeout(&c.timeout)
	p.Duration(&c.minTTL, "min_ttl", defaultMinTTL, leastMinTTL, mostTTL, "the shortest time between two looks")
	p.Duration(&c.maxTTL, "max_ttl", defaultMaxTTL, leastMinTTL, mostTTL, "the longest time between two looks")
	p.Enum(&c.family, "family", familyAny, []string{familyAny, familyIPv4, familyIPv6, familyBoth},
		"which addresses of a name count; any is IPv4, or IPv6 where there is no IPv4")
	p.Enum(&c.transport, "transport", transportTCP, []string{transportTCP, transportUDP},
		"how questions are asked; udp is for servers that cannot be reached over TCP")
	p.Bool(&c.allPriorities, "all_priorities", false, "whether servers of every SRV priority count, with the attribute priority")
}

func newConfig(servers []string, name string, opts []Option) *config {
	c := &config{}
	c.declare(&discovery.Params{})
	wrong := option.Apply(c, opts)
	c.place(servers, name)
	c.err = errors.Join(c.err, wrong)
	return c
}

// place sets the arguments of Watcher.
func (c *config) place(servers []string, name string) {
	var errs []error
	if len(servers) > 0 {
		var err error
		c.servers, err = discovery.ServerAddrs(servers, defaultPort)
		errs = append(errs, err)
	}
	for i, s := range c.servers {
		if strings.HasPrefix(s, "unix:") {
			errs = append(errs, fmt.Errorf("server %d of %d: a Unix socket has no DNS server", i+1, len(servers)))
		}
	}
	c.name = name
	if host, port, ok := strings.Cut(name, ":"); ok {
		c.name = host
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			errs = append(errs, fmt.Errorf("%q is not name:port: the port is not a number from 1 to 65535", name))
		}
		c.port = uint16(n)
	}
	c.name = strings.ToLower(c.name)
	errs = append(errs, validName(c.name))
	c.err = errors.Join(errs...)
}

// validName returns why no question can be asked for the name, or nil.
func validName(name string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return fmt.Errorf("%s is an address, which needs no DNS; list it in a static:// URL", name)
	}
	if _, err := newQuestion(name, typeA, false); err != nil {
		return fmt.Errorf("the name %q: %w", clip(name), err)
	}
	return nil
}

// clip shortens a name for an error.
func clip(name string) string {
	if len(name) > 255 {
		return name[:255] + "..."
	}
	return name
}

// where returns the name as the watcher got it.
func (c *config) where() string {
	if c.port == 0 {
		return c.name
	}
	return net.JoinHostPort(c.name, strconv.Itoa(int(c.port)))
}

// validate reports every mistake. It connects to nothing.
func (c *config) validate() error {
	errs := []error{c.err, c.params.Validate()}
	if c.maxTTL < c.minTTL {
		errs = append(errs, fmt.Errorf("max_ttl: %v is less than min_ttl, %v", c.maxTTL, c.minTTL))
	}
	if c.allPriorities && c.port != 0 {
		errs = append(errs, errors.New("all_priorities: addresses have no priority; SRV records do, whose name has no port"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	return nil
}
