package discoverytest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// contentRules are about what is in a report.
func contentRules() []rule {
	// attributes changes one attribute of the second of three endpoints, and
	// changes it back.
	attributes := func(change func(*discovery.Endpoint)) func(context.Context, *run) error {
		changed := eps(0, 3)
		change(&changed[1])
		return steps(eps(0, 3), changed, eps(0, 3))
	}
	return []rule{
		{
			name:        "Valid",
			description: "Validate, if a watcher has it, returns nil for valid parameters",
			check:       checkValid,
		},
		{
			name:        "FirstReport",
			description: "the first report is the complete set",
			check:       steps(eps(0, 20)),
		},
		{
			name:        "Absent",
			description: "a watcher reports a service that does not exist as empty, and reports its endpoints when it is created",
			check:       checkAbsent,
		},
		{
			name:        "Empty",
			description: "a watcher reports a set that becomes empty as empty",
			check:       steps(eps(0, 2), nil, eps(0, 1), nil, eps(2, 4)),
		},
		{
			name:        "Add",
			description: "a watcher reports an endpoint that is added",
			check:       steps(eps(0, 1), eps(0, 2), eps(0, 5)),
		},
		{
			name:        "Remove",
			description: "a watcher no longer reports an endpoint that is removed",
			check:       steps(eps(0, 5), eps(0, 4), eps(2, 4)),
		},
		{
			name:        "Replace",
			description: "a watcher reports a change that keeps the number of endpoints",
			check:       steps(eps(0, 3), eps(1, 4), eps(4, 7)),
		},
		{
			name:        "Weight",
			description: "a watcher reports a change of an endpoint's weight",
			check:       attributes(func(e *discovery.Endpoint) { e.Weight = 7 }),
		},
		{
			name:        "Zone",
			description: "a watcher reports a change of an endpoint's zone",
			check:       attributes(func(e *discovery.Endpoint) { e.Zone = "b" }),
		},
		{
			name:        "Attrs",
			description: "a watcher reports a change of an endpoint's attributes",
			check:       attributes(func(e *discovery.Endpoint) { e.Attrs = map[string]string{"version": "2"} }),
		},
		{
			name:        "AlwaysComplete",
			description: "every report is the complete set, not a part of it and not the changes alone",
			check:       checkAlwaysComplete,
		},
		{
			name:        "Addresses",
			description: "a watcher reports IPv4 and IPv6 addresses and host names as they are registered",
			check: steps([]discovery.Endpoint{
				{Addr: "192.0.2.1:1"},
				{Addr: "192.0.2.1:65535"},
				{Addr: "[2001:db8::1]:9090"},
				{Addr: "[::1]:9090"},
				{Addr: "localhost:9090"},
				{Addr: "db-1.eu_west.example.internal:9090"},
				{Addr: "xn--bcher-kva.example:9090"},
			}),
		},
		{
			name:        "Unicode",
			description: "a watcher reports zones and attributes in any script as they are registered",
			check: steps([]discovery.Endpoint{
				{Addr: "192.0.2.1:1", Zone: "東京-1", Attrs: map[string]string{"ключ": "значение"}},
				{Addr: "192.0.2.2:1", Zone: "zone a/b", Attrs: map[string]string{
					"emoji": "👩‍🚀", "quotes": `"'\`, "lines": "1\n2", "url": "a=b&c=d%20e", "empty": "",
				}},
			}),
		},
		{
			name:        "HugeValue",
			description: "a watcher reports an attribute of 64 KiB as it is registered",
			check: steps([]discovery.Endpoint{
				{Addr: "192.0.2.1:1", Attrs: map[string]string{"huge": strings.Repeat("huge", 16<<10)}},
				{Addr: "192.0.2.2:1"},
			}),
		},
	}
}

// steps returns a check that puts one set after the other. The watch has to
// report each, and nothing but steps between them.
func steps(first []discovery.Endpoint, then ...[]discovery.Endpoint) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		s, err := r.openAt(ctx, first...)
		if err != nil {
			return err
		}
		if err := r.putEach(ctx, s, slices.Concat([][]discovery.Endpoint{first}, then)...); err != nil {
			return err
		}
		return s.stop()
	}
}

func checkValid(ctx context.Context, r *run) error {
	if err := r.put(ctx, ep(0)); err != nil {
		return err
	}
	w, err := r.watcher()
	if err != nil {
		return err
	}
	if v, ok := w.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("Validate returned %q", err)
		}
	}
	return nil
}

func checkAbsent(ctx context.Context, r *run) error {
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := s.await(nil); err != nil {
		return err
	}
	if err := r.put(ctx, eps(0, 2)...); err != nil {
		return err
	}
	if err := s.await(eps(0, 2), nil); err != nil {
		return err
	}
	return s.stop()
}

// checkAlwaysComplete adds endpoints one by one, and then removes them in the
// same order.
func checkAlwaysComplete(ctx context.Context, r *run) error {
	const n = 20
	var sets [][]discovery.Endpoint
	for i := 2; i <= n; i++ {
		sets = append(sets, eps(0, i))
	}
	for i := 1; i < n; i++ {
		sets = append(sets, eps(i, n))
	}
	return steps(eps(0, 1), slices.Clip(sets)...)(ctx, r)
}
