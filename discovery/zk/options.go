package zk

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
)

const (
	// defaultPort is the port of a server that is listed without one.
	defaultPort = 2181

	defaultSessionTimeout = 10 * time.Second
	minSessionTimeout     = time.Second
	maxSessionTimeout     = 10 * time.Minute
)

// config has what the arguments, options and parameters of one watcher or
// registrar say.
type config struct {
	servers        []string // each with its port
	path           string   // without the chroot
	format         format.Format
	credentials    discovery.Secret // "user:password"
	tls            discovery.TLS
	plaintext      bool // credentials may be sent without TLS
	admission      discovery.Admission
	sessionTimeout time.Duration
	chroot         string
	acl            ACL
	onSkipped      func(key string, err error)

	params *discovery.Params // declare the fields above
	err    error             // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher or a registrar.
type Option func(*config)

// WithFormat sets how nodes are named and what their data is. The default is
// [format.PlainKey]: names are addresses, and data is not read. A watcher needs
// the format's Decode, a registrar its Encode.
func WithFormat(f format.Format) Option { return func(c *config) { c.format = f } }

// WithCredentials sets the user and password for access control lists (scheme
// digest): a secret "user:password", such as [discovery.UserPassword] makes. The
// secret is looked up for each new session and never shown. ZooKeeper accepts
// any password; with a wrong one, nodes that need the right one are not
// accessible.
func WithCredentials(s discovery.Secret) Option { return func(c *config) { c.credentials = s } }

// WithTLS switches TLS on, whether t.Enabled is set or not, and says how to use
// it. The default is plain connections.
func WithTLS(t discovery.TLS) Option {
	return func(c *config) {
		c.tls = t
		c.tls.Enabled = true
	}
}

// AllowPlaintextCredentials lets the credentials be sent without TLS to servers on
// other hosts, where everybody on the way can read and use them. By default that is
// an error. Unix sockets and loopback addresses need no permission.
func AllowPlaintextCredentials() Option { return func(c *config) { c.plaintext = true } }

// OnSkipped sets a function to call with each entry that is malformed, wholly
// or in part, once for each value of the entry. The goroutine of Watch calls it
// and waits for it. Registrars ignore it.
func OnSkipped(f func(key string, err error)) Option { return func(c *config) { c.onSkipped = f } }

// SessionTimeout sets how long the ensemble keeps the session, and what is
// registered with it, after it last heard from the program. A watcher or
// registrar leaves a server that hangs well before. The session timeout is from
// 1 s to 10 min, and 10 s by default. The ensemble may have narrower bounds.
func SessionTimeout(d time.Duration) Option { return func(c *config) { c.sessionTimeout = d } }

// WithChroot sets a path, such as "/tenant", to put in front of the path. Registrars
// make what is missing of it, as of the rest of the path.
func WithChroot(path string) Option { return func(c *config) { c.chroot = path } }

// WithACL sets the access to nodes that a registrar makes. The default is
// [ACLOpen]. Watchers ignore it.
func WithACL(a ACL) Option { return func(c *config) { c.acl = a } }

// ACL is the access to nodes.
type ACL string

const (
	// ACLOpen lets everybody do everything.
	ACLOpen ACL = "open"
	// ACLCreator lets the user of [WithCredentials], or of the certificate of
	// [WithTLS], do everything, and nobody else anything.
	ACLCreator ACL = "creator"
	// ACLCreatorAllRead lets that user do everything, and everybody read.
	ACLCreatorAllRead ACL = "creator-all-read"
)

// entries returns the access control list in ZooKeeper's form.
func (a ACL) entries() []client.ACL {
	switch a {
	case ACLCreator:
		return client.AuthACL(client.PermAll)
	case ACLCreatorAllRead:
		return append(client.AuthACL(client.PermAll), client.WorldACL(client.PermRead)...)
	default:
		return client.WorldACL(client.PermAll)
	}
}

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
	format.Param(p, &c.format, "format", "name", "how nodes are named and what their data is")
	p.Credentials(&c.credentials, "user:password, instead of those in front of the hosts")
	p.TLS(&c.tls)
	p.AllowPlaintextCredentials(&c.plaintext)
	p.Admission(&c.admission)
	p.Duration(&c.sessionTimeout, "session_timeout", defaultSessionTimeout, minSessionTimeout, maxSessionTimeout,
		"how long the ensemble keeps the session, and what is registered with it, of a silent program")
	p.String(&c.chroot, "chroot", "", "path in front of the URL's path")
	p.Enum((*string)(&c.acl), "acl", string(ACLOpen), []string{string(ACLOpen), string(ACLCreator), string(ACLCreatorAllRead)},
		"access to nodes that a registrar makes")
}

func newConfig(servers []string, path string, opts []Option) *config {
	c := &config{}
	c.declare(&discovery.Params{})
	wrong := option.Apply(c, opts)
	c.place(servers, path)
	c.err = errors.Join(c.err, wrong)
	return c
}

// place sets the arguments of Watcher and Registrar.
func (c *config) place(servers []string, path string) {
	c.servers, c.err = discovery.ServerAddrs(servers, defaultPort)
	for i, s := range servers {
		if strings.HasPrefix(s, "unix:") {
			c.err = errors.Join(c.err, fmt.Errorf("server %d of %d: ZooKeeper has no Unix sockets", i+1, len(servers)))
		}
	}
	c.path = path
}

// fullPath returns the path with the chroot.
func (c *config) fullPath() string {
	return strings.TrimSuffix(c.chroot, "/") + strings.TrimSuffix(c.path, "/")
}

// validate reports every mistake, errs included. It connects to
// nothing.
func (c *config) validate(errs ...error) error {
	errs = append(errs, c.err, c.params.Validate())
	if err := validatePath(c.path); err != nil {
		errs = append(errs, fmt.Errorf("path %q: %w", c.path, err))
	}
	if err := validatePath(c.chroot); err != nil && c.chroot != "" {
		errs = append(errs, fmt.Errorf("chroot %q: %w", c.chroot, err))
	}
	if c.fullPath() == "" {
		errs = append(errs, errors.New("the path is the root, where ZooKeeper keeps its own nodes"))
	}
	if (c.acl == ACLCreator || c.acl == ACLCreatorAllRead) && !c.credentials.IsSet() && !c.hasCertificate() {
		errs = append(errs, fmt.Errorf("acl %q needs credentials or a TLS certificate, whose user is the creator", c.acl))
	}
	if _, err := c.credentials.Value(); err == nil {
		_, _, err = c.credentials.SplitUserPassword()
		errs = append(errs, err)
	}
	if c.credentials.IsSet() {
		errs = append(errs, discovery.CheckPlaintext(c.servers, c.tls, c.plaintext))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("zk: %w", err)
	}
	return nil
}

// hasCertificate reports whether the client has a certificate, by which the
// ensemble may know its user.
func (c *config) hasCertificate() bool {
	if t := c.tls.Config; t != nil {
		return len(t.Certificates) > 0 || t.GetClientCertificate != nil
	}
	return c.tls.Cert != ""
}

// validatePath applies ZooKeeper's rules, and accepts a slash at the end.
func validatePath(path string) error {
	if !strings.HasPrefix(path, "/") {
		return errors.New("it does not begin with a slash")
	}
	if path == "/" {
		return nil
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(path[1:], "/"), "/") {
		switch part {
		case "":
			return errors.New("it has an empty part")
		case ".", "..":
			return errors.New("ZooKeeper has no relative paths")
		}
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, forbiddenInPath) {
		return errors.New("it has a character that ZooKeeper does not allow in a path")
	}
	return nil
}

// forbiddenInPath reports whether no path of ZooKeeper may have r.
func forbiddenInPath(r rune) bool {
	return r <= 0x1f || 0x7f <= r && r <= 0x9f || 0xd800 <= r && r <= 0xf8ff || 0xfff0 <= r && r <= 0xffff
}
