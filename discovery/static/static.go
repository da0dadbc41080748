// Package static has the watchers without a registry: a fixed list of servers,
// and a [List] that the program sets.
//
//	core.New(static.Watcher("10.0.0.1:9090", "10.0.0.2:9090"), dialer)
//
// An entry is one server. The name of a headless service in Kubernetes, or any other
// name of several addresses, therefore is one server too: each connection goes to
// one of the addresses, whichever the system's resolver prefers, and balancing,
// ejection and limits know of none of them. Module discovery/dns makes a server of
// each address, and follows changes: "dns:///echo.default.svc:9090" in place of
// "static://echo.default.svc:9090".
//
// # URL parameters
//
//   - where: attribute, zone or weight that a server must have; of several values for a
//     name, one; an empty value means that it is absent; registrars ignore it (name:value,
//     may be repeated).
package static

//go:generate env UPDATE_DOC=1 go test -run TestParametersAreThoseOfThePackageComment .

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// lookUpTimeout bounds the look at one name.
const lookUpTimeout = 5 * time.Second

// Fixed is a watcher of a list of servers that never changes. Make one with
// [Watcher] or [Endpoints]. It is safe for concurrent use.
type Fixed struct {
	set []discovery.Endpoint
	err error
	// lookUp returns the addresses of a name. It is nil where nobody is to be told of
	// names that have several.
	lookUp func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Watcher returns a watcher of the servers at addrs, each "host:port" or
// "unix:/path".
func Watcher(addrs ...string) *Fixed {
	set := make([]discovery.Endpoint, len(addrs))
	for i, addr := range addrs {
		set[i].Addr = addr
	}
	return Endpoints(set...)
}

// Endpoints returns a watcher of eps, for servers that have weights, zones or
// attributes. It keeps a copy.
func Endpoints(eps ...discovery.Endpoint) *Fixed {
	f := &Fixed{set: deepCopy(eps), err: validate(eps)}
	if len(eps) == 0 {
		f.err = errors.New("static: no server is listed")
	}
	return f
}

// Validate returns an error that names each entry that is not valid or is listed
// twice. A list without entries is an error too, because it can never get one; use
// a [List] for a set that is empty for a while.
func (f *Fixed) Validate() error { return f.err }

// Watch reports the list once and blocks until ctx is done. If Validate returns an
// error, Watch returns it at once and reports nothing.
func (f *Fixed) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.err != nil {
		return f.err
	}
	report(slices.Clone(f.set))
	if f.lookUp != nil {
		f.warnOfNames(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

// warnOfNames warns of entries whose host is a name of several addresses.
func (f *Fixed) warnOfNames(ctx context.Context) {
	var names []error
	for _, e := range f.set {
		host, _, err := net.SplitHostPort(e.Addr)
		if err != nil {
			continue // a socket
		}
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		if n := f.addresses(ctx, host); n > 1 {
			names = append(names, fmt.Errorf("static: %s is a name of %d addresses and counts as one server; "+
				"to have a server for each, use dns:///%s", e.Addr, n, e.Addr))
			discovery.ReportWarning(ctx, errors.Join(names...)) // it replaces the one before
		}
	}
}

// addresses returns how many addresses of one family a name has: one of each may be
// of one server. It is zero if they are unknown; who dials will say why.
func (f *Fixed) addresses(ctx context.Context, host string) int {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	ips, err := f.lookUp(ctx, host)
	if err != nil {
		return 0
	}
	v4 := 0
	for _, ip := range ips {
		if ip.Unmap().Is4() {
			v4++
		}
	}
	return max(v4, len(ips)-v4)
}

// validate returns one error that names every bad entry by its position.
func validate(eps []discovery.Endpoint) error {
	var errs []error
	first := make(map[string]int, len(eps))
	for i, e := range eps {
		if err := e.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("static: entry %d of %d: %w", i+1, len(eps), err))
			continue
		}
		if j, seen := first[e.Addr]; seen {
			errs = append(errs, fmt.Errorf("static: entry %d of %d: %q is listed already, as entry %d",
				i+1, len(eps), e.Addr, j+1))
			continue
		}
		first[e.Addr] = i
	}
	return errors.Join(errs...)
}

// deepCopy copies the attributes too, so that a caller who changes its maps later
// does not race with readers of a reported endpoint.
func deepCopy(eps []discovery.Endpoint) []discovery.Endpoint {
	set := slices.Clone(eps)
	for i := range set {
		set[i].Attrs = maps.Clone(set[i].Attrs)
	}
	return set
}
