package combine

import (
	"context"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

type filter struct {
	w    core.Watcher
	keep func(core.Endpoint) bool
}

// Filter watches the endpoints of w for which keep returns true. A change of
// others is not reported. keep must not block.
func Filter(w core.Watcher, keep func(core.Endpoint) bool) core.Watcher { return filter{w, keep} }

func (f filter) Validate() error { return validate(f.w) }

func (f filter) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	report = changes(report)
	return f.w.Watch(ctx, func(set []core.Endpoint) {
		kept := make([]core.Endpoint, 0, len(set))
		for _, e := range set {
			if f.keep(e) {
				kept = append(kept, e)
			}
		}
		report(slices.Clip(kept))
	})
}
