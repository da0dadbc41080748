package discoverytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
)

// ep returns the i-th endpoint of the suite, without attributes.
func ep(i int) core.Endpoint {
	return core.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:9090", i/250, i%250+1)}
}

// eps returns the endpoints from the i-th to before the j-th.
func eps(i, j int) []core.Endpoint {
	set := make([]core.Endpoint, 0, j-i)
	for ; i < j; i++ {
		set = append(set, ep(i))
	}
	return set
}

// equal compares two endpoints as the contract does: weight 0 is weight 1, so
// a registry may fill it in.
func equal(a, b core.Endpoint) bool {
	for _, e := range []*core.Endpoint{&a, &b} {
		if e.Weight == 0 {
			e.Weight = 1
		}
	}
	return a.Equal(b)
}

// same reports whether got is the set want, in any order, each entry once.
func same(got, want []core.Endpoint) bool {
	return len(got) == len(want) && between([][]core.Endpoint{want}, got) == nil
}

// between checks that a watcher can rightly report got while the registry went
// through the sets held: all that was there all the time is there, nothing is
// there that never was, and nothing twice. A registry that changes a set entry
// by entry also shows the steps in between.
func between(held [][]core.Endpoint, got []core.Endpoint) error {
	// By address, since sets may be large and many.
	index := make([]map[string]core.Endpoint, len(held))
	for i, set := range held {
		index[i] = make(map[string]core.Endpoint, len(set))
		for _, e := range set {
			index[i][e.Addr] = e
		}
	}
	seen := make(map[string]bool, len(got))
	for _, e := range got {
		if seen[e.Addr] {
			return fmt.Errorf("%s is in it twice", e.Addr)
		}
		seen[e.Addr] = true
		had := func(set map[string]core.Endpoint) bool {
			o, ok := set[e.Addr]
			return ok && equal(e, o)
		}
		if !slices.ContainsFunc(index, had) {
			return fmt.Errorf("the registry never had %s; it held %s", showOne(e), showAll(held))
		}
	}
	for _, e := range held[0] {
		if seen[e.Addr] {
			continue
		}
		lacked := func(set map[string]core.Endpoint) bool { _, ok := set[e.Addr]; return !ok }
		if !slices.ContainsFunc(index, lacked) {
			return fmt.Errorf("%s is missing; the registry held %s", e.Addr, showAll(held))
		}
	}
	return nil
}

// show prints a set within one line; the tail of a long one is only counted.
func show(set []core.Endpoint) string {
	const most = 12
	var parts []string
	for i, e := range set {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(set)-most))
			break
		}
		parts = append(parts, showOne(e))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func showOne(e core.Endpoint) string {
	s := e.Addr
	if e.Weight != 0 {
		s += fmt.Sprintf(" weight=%v", e.Weight)
	}
	if e.Zone != "" {
		s += fmt.Sprintf(" zone=%q", e.Zone)
	}
	if len(e.Attrs) > 0 {
		s += fmt.Sprintf(" %q", e.Attrs)
	}
	return s
}

func showAll(held [][]core.Endpoint) string {
	const most = 3
	parts := make([]string, 0, most)
	for i, set := range held {
		if i == most {
			parts = append(parts, fmt.Sprintf("... (%d sets in all)", len(held)))
			break
		}
		parts = append(parts, show(set))
	}
	return strings.Join(parts, " then ")
}

// last says what a watch had reported when its check gave up.
func last(reports [][]core.Endpoint) string {
	if len(reports) == 0 {
		return "nothing was reported"
	}
	return fmt.Sprintf("the last of %d reports was %s", len(reports), show(reports[len(reports)-1]))
}
