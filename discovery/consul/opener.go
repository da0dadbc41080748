package consul

import (
	"errors"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens consul://host:8500/service. The port is 8500 if there is none.
// Further hosts are agents that a watcher asks in turn when one fails.
func Opener(p *discovery.Params) discovery.Backend {
	b := &backend{}
	p.Strings(&b.tags, "tag", "that an instance must have; a registrar adds it")
	p.String(&b.datacenter, "dc", "", "datacenter to watch, if it is not the agent's")
	p.String(&b.namespace, "namespace", "", "of Consul Enterprise, if it is not the token's")
	p.Bool(&b.passing, "passing", false, "whether instances that warn are left out")
	p.Secret(&b.token, "token", "to be known by; else CONSUL_HTTP_TOKEN")
	p.Duration(&b.timeout, "timeout", defaultTimeout, minTimeout, maxTimeout, "how long an answer may take, connecting included")
	p.Duration(&b.wait, "wait", defaultWait, minWait, maxWait, "how long one request waits for a change")
	p.Duration(&b.ttl, "ttl", defaultTTL, minTTL, maxTTL, "how long a registration outlives its program")
	p.Duration(&b.reap, "deregister_after", defaultReap, minReap, maxReap, "how long an instance is critical before the agent removes it")
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
	r := &registrar{b.config}
	return r, r.Validate()
}

// take completes the configuration by the parts of the URL.
func (b *backend) take(u *discovery.URL) error {
	if u.User != "" || u.Password.IsSet() {
		return errors.New("consul: it knows no user, but a token, which is a parameter")
	}
	b.agents, b.service = u.Addrs(defaultPort), strings.Trim(u.Path, "/")
	return b.validate()
}
