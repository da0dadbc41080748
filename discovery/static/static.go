// Package static has the watchers without a registry: a fixed list of servers,
// and a [List] that the program sets.
//
//	core.New(static.Watcher("10.0.0.1:9090", "10.0.0.2:9090"), dialer)
package static

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Fixed is a watcher of a list of servers that never changes. Make one with
// [Watcher] or [Endpoints]. It is safe for concurrent use.
type Fixed struct {
	set []discovery.Endpoint
	err error
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
	<-ctx.Done()
	return ctx.Err()
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
