package zk

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

const (
	// port is where ZooKeeper listens, if an address does not say otherwise.
	port = 2181
	// defaultSessionTimeout is SessionTimeout without that option.
	defaultSessionTimeout = 10 * time.Second
	leastSessionTimeout   = time.Second
	mostSessionTimeout    = 10 * time.Minute
)

// Option sets one parameter of a watcher or a registrar.
type Option func(*config)

// config is what the options of one watcher or registrar fill.
type config struct {
	servers        []string
	path           string // without chroot
	chroot         string
	sessionTimeout time.Duration
	format         format.Format
	user           string
	password       discovery.Secret
	auth           discovery.Secret // "user:password", in place of the two
	tls            *tls.Config
	tlsFiles       discovery.TLS
	acl            ACL
	skipped        func(entry string, err error)
}

// SessionTimeout sets after how long without contact the ensemble drops the
// session, and with it what is registered through it; a server that hangs is
// left well before. From 1 s to 10 m; the ensemble may have narrower bounds.
// The default is 10 s.
func SessionTimeout(d time.Duration) Option { return func(c *config) { c.sessionTimeout = d } }

// Format sets how servers are kept below the path. The default is
// [format.Name]: the names of the children are the addresses, and their data
// is not read.
func Format(f format.Format) Option { return func(c *config) { c.format = f } }

// Chroot sets a path that is put before every other, "/tenant". What is
// missing of it is made by registrars, like the rest of the path.
func Chroot(path string) Option { return func(c *config) { c.chroot = path } }

// Digest sets the user and password by which the ensemble's access control
// lists know this client (scheme "digest"). ZooKeeper does not tell who a
// password is wrong for: nodes that need the right one cannot be accessed then.
func Digest(user string, password discovery.Secret) Option {
	return func(c *config) { c.user, c.password = user, password }
}

// TLS makes connections with TLS. A ServerName in t counts for all
// servers; without one, each is known by the name by which it is reached.
// It must not be modified afterwards.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t } }

// Access sets who may do what with the nodes that a registrar makes. The
// default is [Open]. Watchers do not use it.
func Access(a ACL) Option { return func(c *config) { c.acl = a } }

// OnSkipped sets who is told of each entry that cannot be read, wholly or in
// part, once for each value that it has; f is called from the goroutine of
// Watch and holds it up. Registrars do not use it.
func OnSkipped(f func(entry string, err error)) Option { return func(c *config) { c.skipped = f } }

// ACL says who may do what with nodes that are made.
type ACL string

const (
	// Open lets everybody do everything.
	Open ACL = "open"
	// Creator lets the user of [Digest] do everything, and nobody else
	// anything.
	Creator ACL = "creator"
	// CreatorAllRead lets the user of [Digest] do everything, and everybody
	// read.
	CreatorAllRead ACL = "creator-all-read"
)

// newConfig returns a config with its defaults.
func newConfig(servers []string, path string, opts []Option) *config {
	c := &config{
		servers:        slices.Clone(servers),
		path:           path,
		sessionTimeout: defaultSessionTimeout,
		format:         format.Name(),
		acl:            Open,
	}
	for _, o := range opts {
		o(c)
	}
	return c
}

// full returns the path from the ensemble's own root.
func (c *config) full() string {
	return strings.TrimSuffix(c.chroot, "/") + strings.TrimSuffix(c.path, "/")
}

func (c *config) hasUser() bool { return c.user != "" || c.auth.IsSet() }

// validate reports every mistake, without I/O.
func (c *config) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.servers) == 0 {
		add("no server is listed")
	}
	for i, s := range c.servers {
		if err := validServer(s); err != nil {
			add("server %d of %d, %q: %w", i+1, len(c.servers), s, err)
		}
	}
	if err := validPath(c.path); err != nil {
		add("path %q: %w", c.path, err)
	}
	if err := validPath(c.chroot); err != nil && c.chroot != "" {
		add("chroot %q: %w", c.chroot, err)
	}
	if c.full() == "" {
		add("the path is the root, where ZooKeeper keeps what is its own")
	}
	if c.sessionTimeout < leastSessionTimeout || c.sessionTimeout > mostSessionTimeout {
		add("session timeout %v is not from %v to %v", c.sessionTimeout, leastSessionTimeout, mostSessionTimeout)
	}
	if c.format.Decode == nil && c.format.Encode == nil {
		add("the format neither reads nor writes")
	}
	switch {
	case c.auth.IsSet() && (c.user != "" || c.password.IsSet()):
		add("user and password are given twice")
	case c.user == "" && c.password.IsSet():
		add("a password without a user")
	case c.user != "" && !c.password.IsSet():
		add("user %q has no password", c.user)
	case strings.Contains(c.user, ":"):
		add("user %q has a colon", c.user)
	}
	if err := c.tlsFiles.Validate(); err != nil {
		errs = append(errs, err)
	}
	switch c.acl {
	case Open:
	case Creator, CreatorAllRead:
		if !c.hasUser() {
			add("access %q needs a user, who is the creator", c.acl)
		}
	default:
		add("access %q is not one of %s, %s, %s", c.acl, Open, Creator, CreatorAllRead)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("zk: %w", errors.Join(errs...))
}

// validServer accepts host, host:port, and both with an IPv6 address.
func validServer(s string) error {
	host, p, err := net.SplitHostPort(withPort(s))
	if err != nil {
		return err
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return errors.New("this is not the name or address of a host")
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", p)
	}
	return nil
}

// withPort adds the port where there is none.
func withPort(s string) string {
	hasPort := strings.Contains(s, ":")
	if strings.HasPrefix(s, "[") {
		hasPort = !strings.HasSuffix(s, "]")
	}
	if !hasPort {
		s += ":" + strconv.Itoa(port)
	}
	return s
}

// validPath applies ZooKeeper's rules; one slash at the end is let pass.
func validPath(path string) error {
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
			return errors.New("ZooKeeper knows no relative paths")
		}
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unnodeable) {
		return errors.New("it has a character that ZooKeeper does not allow in a path")
	}
	return nil
}

// unnodeable are the characters that no path of ZooKeeper may have.
func unnodeable(r rune) bool {
	return r <= 0x1f || 0x7f <= r && r <= 0x9f || 0xd800 <= r && r <= 0xf8ff || 0xfff0 <= r && r <= 0xffff
}
