package zk

import (
	"errors"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Watcher returns a watcher of the servers below path, as the ensemble at
// servers knows them; each of these is "host:port", or "host" where ZooKeeper
// has its usual port. A name that stands for several addresses counts as that
// many servers, and is looked up again whenever a server is sought.
//
// It does no I/O. Its Validate reports every mistake in the parameters. It is
// safe for concurrent use.
//
// A path that does not exist has no servers; nothing is written. A connection
// that is lost is made again, with the next server; while that takes, nothing
// is reported and the last set stands. After 10 s without an ensemble Watch
// returns an error, which says what is wrong with which server. Missing
// permission, for one child only even, is an error at once.
//
// All watchers and registrars of the same servers, session timeout, user and
// TLS share one session.
func Watcher(servers []string, path string, opts ...Option) core.Watcher {
	return &watcher{newConfig(servers, path, opts)}
}

// Registrar returns a registrar of servers below path, see [Watcher]. Each is
// an ephemeral node, which disappears when the process does, at the latest
// after the session timeout. What is missing of the path is made, as
// persistent nodes that stay.
//
// An entry of the same address that another session has is replaced in one
// step, so that watchers do not see it missing. One that is deleted while it is
// registered is put back; if another session has put its own there, Register
// returns an error. What others write into the entry is left as it is.
func Registrar(servers []string, path string, opts ...Option) discovery.Registrar {
	return &registrar{newConfig(servers, path, opts)}
}

// Opener opens URLs for a [discovery.Mux]:
//
//	zk://[user:password@]host[:port],host[:port].../path?parameter=value
//
// The parameters are those of the options, by the same names in lower case
// with underscores, see [discovery.Mux.Params].
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	p.Format(&b.c.format, "format", "name", "how servers are kept below the path")
	p.Duration(&b.c.sessionTimeout, "session_timeout", defaultSessionTimeout, leastSessionTimeout, mostSessionTimeout,
		"after how long without contact the ensemble drops the session, and what is registered with it")
	p.String(&b.c.chroot, "chroot", "", "a path that is put before the URL's")
	p.Secret(&b.c.auth, "auth", "user:password, in place of those before the hosts")
	p.Enum((*string)(&b.c.acl), "acl", string(Open), []string{string(Open), string(Creator), string(CreatorAllRead)},
		"who may do what with nodes that are made")
	p.TLS(&b.c.tlsFiles)
	return b
}

type backend struct{ c config }

// Watcher and Registrar are of discovery.Backend.
func (b *backend) Watcher(u *discovery.URL) (core.Watcher, error) {
	w := &watcher{b.config(u)}
	return w, w.Validate()
}

func (b *backend) Registrar(u *discovery.URL) (discovery.Registrar, error) {
	r := &registrar{b.config(u)}
	return r, r.Validate()
}

func (b *backend) config(u *discovery.URL) *config {
	b.c.servers, b.c.path, b.c.user, b.c.password = u.Hosts, u.Path, u.User, u.Password
	return &b.c
}

// errNoDecoder and errNoEncoder are mistakes in a format of one's own.
var (
	errNoDecoder = errors.New("zk: the format cannot be read")
	errNoEncoder = errors.New("zk: the format cannot be written")
)
