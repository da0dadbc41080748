package combine

import (
	"context"
	"errors"
	"slices"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

type filter struct {
	w    discovery.Watcher
	keep func(discovery.Endpoint) bool
	// wrong are the mistakes in the rules that keep follows.
	wrong error
}

// Filter watches the endpoints of w for which keep returns true. keep must not
// block.
func Filter(w discovery.Watcher, keep func(discovery.Endpoint) bool) discovery.Watcher {
	return filter{w: w, keep: keep}
}

// Admit watches the endpoints of w that a admits.
func Admit(w discovery.Watcher, a discovery.Admission) discovery.Watcher {
	return filter{w: w, keep: func(e discovery.Endpoint) bool { return a.Check(e) == nil }, wrong: a.Validate()}
}

// String names the place of w.
func (f filter) String() string { return places("", f.w) }

func (f filter) Validate() error {
	var err error
	if f.keep == nil {
		err = errors.New("combine: the function of a filter is nil")
	}
	return errors.Join(err, f.wrong, validate(f.w))
}

// Authoritative returns what w does, whose report runs.
func (f filter) Authoritative() bool { return isOwn(f.w) }

func (f filter) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	return f.w.Watch(ctx, func(set []discovery.Endpoint) {
		kept := make([]discovery.Endpoint, 0, len(set))
		for _, e := range set {
			if f.keep(e) {
				kept = append(kept, e)
			}
		}
		report(slices.Clip(kept))
	})
}
