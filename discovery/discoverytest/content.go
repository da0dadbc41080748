package discoverytest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
)

// contentRules are about what is in a report.
func contentRules() []rule {
	// attributes changes one thing about the second of three servers, and
	// changes it back.
	attributes := func(change func(*core.Endpoint)) func(context.Context, *exam) error {
		changed := eps(0, 3)
		change(&changed[1])
		return steps(eps(0, 3), changed, eps(0, 3))
	}
	return []rule{
		{
			name:  "Valid",
			says:  "Validate, where a watcher has it, finds no mistake in a watcher that has none",
			check: checkValid,
		},
		{
			name:  "FirstReport",
			says:  "the first report is the complete set",
			check: steps(eps(0, 20)),
		},
		{
			name:  "Absent",
			says:  "a place that does not exist yet is reported as empty, and seen when it is made",
			check: checkAbsent,
		},
		{
			name:  "Empty",
			says:  `a set that becomes empty is reported as empty: "the registry says none"`,
			check: steps(eps(0, 2), nil, eps(0, 1), nil, eps(2, 4)),
		},
		{
			name:  "Add",
			says:  "an endpoint that is added is reported",
			check: steps(eps(0, 1), eps(0, 2), eps(0, 5)),
		},
		{
			name:  "Remove",
			says:  "an endpoint that is removed is reported no more",
			check: steps(eps(0, 5), eps(0, 4), eps(2, 4)),
		},
		{
			name:  "Replace",
			says:  "a change that leaves the number of endpoints as it was is reported",
			check: steps(eps(0, 3), eps(1, 4), eps(4, 7)),
		},
		{
			name:  "Weight",
			says:  "a change of an endpoint's weight is reported",
			check: attributes(func(e *core.Endpoint) { e.Weight = 7 }),
		},
		{
			name:  "Zone",
			says:  "a change of an endpoint's zone is reported",
			check: attributes(func(e *core.Endpoint) { e.Zone = "b" }),
		},
		{
			name:  "Attrs",
			says:  "a change of an endpoint's attributes is reported",
			check: attributes(func(e *core.Endpoint) { e.Attrs = map[string]string{"version": "2"} }),
		},
		{
			name:  "AlwaysComplete",
			says:  "every report is the complete set, never a part of it and never only what changed",
			check: checkAlwaysComplete,
		},
		{
			name: "Addresses",
			says: "IPv4 and IPv6 addresses and host names are reported as they are registered",
			check: steps([]core.Endpoint{
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
			name: "Unicode",
			says: "zone and attributes are text in any script, and reported as they are registered",
			check: steps([]core.Endpoint{
				{Addr: "192.0.2.1:1", Zone: "東京-1", Attrs: map[string]string{"ключ": "значение"}},
				{Addr: "192.0.2.2:1", Zone: "zone a/b", Attrs: map[string]string{
					"emoji": "👩‍🚀", "quotes": `"'\`, "lines": "1\n2", "url": "a=b&c=d%20e", "empty": "",
				}},
			}),
		},
		{
			name: "HugeValue",
			says: "an attribute of 64 KiB is reported as it is registered",
			check: steps([]core.Endpoint{
				{Addr: "192.0.2.1:1", Attrs: map[string]string{"huge": strings.Repeat("huge", 16<<10)}},
				{Addr: "192.0.2.2:1"},
			}),
		},
	}
}

// steps takes the registry from one set to the next; the watch has to see
// each, and on the way only what lies between.
func steps(first []core.Endpoint, then ...[]core.Endpoint) func(context.Context, *exam) error {
	return func(ctx context.Context, x *exam) error {
		s, err := x.openAt(ctx, first...)
		if err != nil {
			return err
		}
		before := first
		for _, next := range then {
			if err := x.put(ctx, next...); err != nil {
				return err
			}
			if err := s.await(next, before); err != nil {
				return err
			}
			before = next
		}
		return s.stop()
	}
}

func checkValid(ctx context.Context, x *exam) error {
	if err := x.put(ctx, ep(0)); err != nil {
		return err
	}
	w, err := x.watcher()
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

func checkAbsent(ctx context.Context, x *exam) error {
	s, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := s.await(nil); err != nil {
		return err
	}
	if err := x.put(ctx, eps(0, 2)...); err != nil {
		return err
	}
	if err := s.await(eps(0, 2), nil); err != nil {
		return err
	}
	return s.stop()
}

// checkAlwaysComplete grows a set by one at a time and shrinks it again from
// the other end.
func checkAlwaysComplete(ctx context.Context, x *exam) error {
	const n = 20
	var sets [][]core.Endpoint
	for i := 2; i <= n; i++ {
		sets = append(sets, eps(0, i))
	}
	for i := 1; i < n; i++ {
		sets = append(sets, eps(i, n))
	}
	return steps(eps(0, 1), slices.Clip(sets)...)(ctx, x)
}
