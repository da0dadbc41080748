package etcd

import (
	"errors"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens etcd://user:password@host1:2379,host2:2379/prefix. The port is
// 2379 if there is none. A prefix that does not begin with a slash, such as
// that of Kitex, is the parameter prefix instead of the path.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	p.String(&b.prefix, "prefix", "", "of the servers' keys, in place of the URL's path: for one that does not begin with a slash")
	p.Format(&b.format, "format", defaultFormat, "how servers are written")
	p.String(&b.user, "user", "", "who to log in as, in place of the URL's user")
	p.Secret(&b.password, "password", "of the user, in place of the URL's password")
	p.Duration(&b.timeout, "timeout", defaultTimeout, minTimeout, maxTimeout, "how long an answer may take, connecting included")
	p.Duration(&b.ttl, "ttl", defaultTTL, minTTL, maxTTL, "how long a registration outlives its program, in whole seconds")
	p.TLS(&b.tls)
	return b
}

type backend struct{ config }

// Watcher implements [discovery.Backend].
func (b *backend) Watcher(u *discovery.URL) (core.Watcher, error) {
	if err := b.take(u); err != nil {
		return nil, err
	}
	return &watcher{b.config}, nil
}

// Registrar makes a registrar of the same place.
func (b *backend) Registrar(u *discovery.URL) (discovery.Registrar, error) {
	if err := b.take(u); err != nil {
		return nil, err
	}
	return newRegistrar(b.config), nil
}

// take completes the configuration by the parts of the URL.
func (b *backend) take(u *discovery.URL) error {
	if u.User != "" || u.Password.IsSet() {
		if b.user != "" || b.password.IsSet() {
			return errors.New("etcd: the user is both in front of the hosts and a parameter")
		}
		b.user, b.password = u.User, u.Password
	}
	prefix := u.Path
	if b.prefix != "" {
		if prefix != "" && prefix != "/" {
			return errors.New("etcd: the prefix is both the path and a parameter")
		}
		prefix = b.prefix
	}
	b.config = newConfig(u.Addrs(defaultPort), prefix, []Option{
		Format(b.format), User(b.user, b.password), Timeout(b.timeout), TTL(b.ttl), TLS(b.tls),
	})
	return b.validate()
}
