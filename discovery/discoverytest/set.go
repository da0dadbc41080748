package discoverytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// ep returns the i-th endpoint of the suite, with an address alone.
func ep(i int) discovery.Endpoint {
	return discovery.Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:9090", i/250, i%250+1)}
}

// eps returns the endpoints from the i-th to before the j-th.
func eps(i, j int) []discovery.Endpoint {
	set := make([]discovery.Endpoint, 0, j-i)
	for ; i < j; i++ {
		set = append(set, ep(i))
	}
	return set
}

// equal compares two endpoints as the contract does: a registry may store
// weight 0 as 1.
func equal(a, b discovery.Endpoint) bool {
	for _, e := range []*discovery.Endpoint{&a, &b} {
		if e.Weight == 0 {
			e.Weight = 1
		}
	}
	return a.Equal(b)
}

// same reports whether got is the set want, in any order.
func same(got, want []discovery.Endpoint) bool {
	return len(got) == len(want) && between([][]discovery.Endpoint{want}, got) == nil
}

// between checks that a watcher may report got while the registry holds one of
// the sets in held after the other. got must have each endpoint that is in all
// sets, no endpoint that is in none, and no address twice. A registry that
// changes a set entry by entry also shows the steps between two sets.
func between(held [][]discovery.Endpoint, got []discovery.Endpoint) error {
	// An index by address, because there may be many large sets.
	index := make([]map[string]discovery.Endpoint, len(held))
	for i, set := range held {
		index[i] = make(map[string]discovery.Endpoint, len(set))
		for _, e := range set {
			index[i][e.Addr] = e
		}
	}
	seen := make(map[string]bool, len(got))
	for _, e := range got {
		if seen[e.Addr] {
			return fmt.Errorf("%s is in the report twice", e.Addr)
		}
		seen[e.Addr] = true
		had := func(set map[string]discovery.Endpoint) bool {
			o, ok := set[e.Addr]
			return ok && equal(e, o)
		}
		if !slices.ContainsFunc(index, had) {
			return fmt.Errorf("the registry never held %s; it held %s", showOne(e), showAll(held))
		}
	}
	for _, e := range held[0] {
		if seen[e.Addr] {
			continue
		}
		lacked := func(set map[string]discovery.Endpoint) bool { _, ok := set[e.Addr]; return !ok }
		if !slices.ContainsFunc(index, lacked) {
			return fmt.Errorf("%s is missing; the registry held %s", e.Addr, showAll(held))
		}
	}
	return nil
}

// show prints a set in one line, and only counts the tail of a long set.
func show(set []discovery.Endpoint) string {
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

func showOne(e discovery.Endpoint) string {
	s := e.Addr
	if e.Weight != 0 {
		s += fmt.Sprintf(" weight=%v", e.Weight)
	}
	if e.Zone != "" {
		s += fmt.Sprintf(" zone=%q", e.Zone)
	}
	if len(e.Attrs) > 0 {
		const most = 300 // bytes
		attrs := fmt.Sprintf("%q", e.Attrs)
		s += " " + attrs[:min(len(attrs), most)]
	}
	return s
}

func showAll(held [][]discovery.Endpoint) string {
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

// showLast prints the last report for an error.
func showLast(reports [][]discovery.Endpoint) string {
	if len(reports) == 0 {
		return "there was no report"
	}
	return fmt.Sprintf("the last of %d reports was %s", len(reports), show(reports[len(reports)-1]))
}
