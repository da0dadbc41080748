package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// where are the conditions of the parameter where, by name: the values of which a
// server must have one. A [Mux] declares the parameter, so that every registry has it.
type where map[string][]string

// declare declares the parameter.
func (w *where) declare(p *Params) {
	*w = where{}
	p.all = append(p.all, param{
		Param: Param{
			"where", "name:value, may be repeated", "",
			"attribute, zone or weight that a server must have; of several values for a name, one; an empty value means that it is absent; registrars ignore it",
		},
		list: true,
		set: func(conditions []string) error {
			var errs []error
			for _, c := range conditions {
				name, value, ok := strings.Cut(c, ":")
				if name == "weight" {
					weight, err := strconv.ParseFloat(value, 64)
					value, ok = weightText(weight), err == nil
				}
				if !ok || name == "" {
					errs = append(errs, fmt.Errorf("%q is not name:value, such as role:replica, zone:eu or weight:2", brief.Clip(c)))
				}
				(*w)[name] = append((*w)[name], value)
			}
			return errors.Join(errs...)
		},
	})
}

// field returns what e has by the name.
func field(e Endpoint, name string) string {
	switch name {
	case "zone":
		return e.Zone
	case "weight":
		return weightText(cmp.Or(e.Weight, 1))
	default:
		return e.Attrs[name]
	}
}

func weightText(w float64) string { return strconv.FormatFloat(w, 'g', -1, 64) }

func (w where) match(e Endpoint) bool {
	for name, values := range w {
		if !slices.Contains(values, field(e, name)) {
			return false
		}
	}
	return true
}

// filtered watches the servers of w that match. Like all watchers, it may run several
// Watches at a time.
type filtered struct {
	w     Watcher
	where where
}

func (f *filtered) Watch(ctx context.Context, report func([]Endpoint)) error {
	var mu sync.Mutex // the watcher may warn from other goroutines than the one that reports
	var theirs, ours error
	warn := func(change func()) {
		mu.Lock()
		defer mu.Unlock()
		change()
		ReportWarning(ctx, errors.Join(theirs, ours))
	}
	inner := withWarned(ctx, func(err error) { warn(func() { theirs = err }) })
	warned := true // of ours; by an earlier Watch, perhaps
	return f.w.Watch(inner, func(set []Endpoint) {
		matching := make([]Endpoint, 0, len(set))
		for _, e := range set {
			if f.where.match(e) {
				matching = append(matching, e)
			}
		}
		why := f.why(set, matching)
		report(matching)
		if why != nil || warned {
			warned = why != nil
			warn(func() { ours = why })
		}
	})
}

// why returns why nothing matches, if there are servers.
func (f *filtered) why(set, matching []Endpoint) error {
	const most = 3
	if len(set) == 0 || len(matching) > 0 {
		return nil
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.where)) {
		found := map[string]int{}
		for _, e := range set {
			found[field(e, name)]++
		}
		all := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
			if found[a] != found[b] {
				return found[b] - found[a]
			}
			return strings.Compare(a, b)
		})
		for i, v := range all {
			switch {
			case i < most:
				fmt.Fprintf(&b, "; %d of %d have %s:%s", found[v], len(set), name, brief.Clip(strconv.Quote(v)))
			case i == most:
				fmt.Fprintf(&b, "; and there are %d others of %s", len(all)-most, name)
			}
		}
	}
	return fmt.Errorf("discovery: none of the %d servers is where=%s%s", len(set), f.where, b.String())
}

func (w where) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(w)) {
		for _, v := range w[name] {
			all = append(all, brief.Clip(name+":"+v))
		}
	}
	return strings.Join(all, "&where=")
}

// Validate validates the watcher that is filtered.
func (f *filtered) Validate() error {
	if v, ok := f.w.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Authoritative returns what the watcher does, whose report runs.
func (f *filtered) Authoritative() bool { return authoritative(f.w) }

// String names the place that is watched, and the conditions.
func (f *filtered) String() string {
	if s, ok := f.w.(interface{ String() string }); ok && s.String() != "" {
		return s.String() + " where " + f.where.String()
	}
	return ""
}
