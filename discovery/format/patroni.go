package format

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Patroni is "patroni", the members of a cluster of PostgreSQL that Patroni runs, in etcd
// and ZooKeeper. The attributes are "role" (master, or primary since Patroni 4, replica and
// the like), "version", "api_url", "replication_state", where a member has them, and the
// member's tags, such as "noloadbalance". Only members that run count: one that was stopped
// keeps its role in the registry. What changes while a server runs, such as its
// xlog_location, is no attribute. Nobody but Patroni writes this format.
//
//	/service/<cluster>/members/<name>   {"conn_url":"postgres://10.0.0.1:5432/postgres","state":"running","role":"replica"}
func Patroni() Format { return wrap("patroni", decodePatroni, nil) }

func decodePatroni(key string, value []byte) ([]discovery.Endpoint, error) {
	const port = "5432"
	if i := strings.LastIndexByte(key, '/'); i >= 0 && !strings.HasSuffix(key[:i], "members") {
		return nil, nil // the leader, the configuration, ...
	}
	o, err := objectOf(value)
	if err != nil {
		return nil, err
	}
	connURL, err1 := o.string("conn_url")
	state, err2 := o.string("state")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	switch {
	case connURL == "":
		return nil, errors.New("no conn_url")
	case state != "running":
		return nil, nil
	}
	u, err := url.Parse(connURL)
	if err != nil {
		return nil, errors.New("the conn_url is not a URL") // it may have a password
	}
	host := u.Host
	if u.Port() == "" && u.Hostname() != "" {
		host = net.JoinHostPort(u.Hostname(), port)
	}
	e, err := at(host)
	if err != nil {
		return nil, err
	}
	attrs := texts{}
	if tags, err := objectOf(o["tags"]); err == nil {
		for k, raw := range tags {
			if s, ok := text(raw); ok {
				attrs[k] = s
			}
		}
	}
	for _, k := range []string{"role", "version", "api_url", "replication_state"} {
		delete(attrs, k) // of the member, not of its tags
		if s, ok := text(o[k]); ok {
			attrs[k] = s
		}
	}
	attrs.takeZone(&e)
	if !attrs.takeWeight(&e) {
		return nil, nil
	}
	attrs.to(&e)
	return []discovery.Endpoint{e}, nil
}
