package static

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs that list the servers themselves, for a [discovery.Mux]:
//
//	static://10.0.0.1:9090,10.0.0.2:9090
//
// The URLs have no parameters but where, see [discovery.Mux.Open]. A name that stands
// for several addresses is one server all the same; Watch looks it up once, and warns
// of it, see [discovery.ReportWarning], which a pool has an event for.
func Opener(*discovery.Params) discovery.Backend { return backend{} }

type backend struct{}

func (backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	if u.User != "" || u.Password.IsSet() || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("a static list has neither user nor path, only hosts")
	}
	w := Watcher(u.Hosts...)
	w.lookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	return w, w.Validate()
}
