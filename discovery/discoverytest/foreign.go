package discoverytest

import (
	"context"
	"slices"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// foreignRules are about entries that a watcher must not report.
func foreignRules() []rule {
	return []rule{
		{
			name:        "Malformed",
			description: "a watcher skips a malformed entry and reports all others",
			check:       checkMalformed,
		},
		{
			name:        "Sibling",
			description: "a watcher does not report entries of another service whose name begins with the name of its own",
			check:       checkSibling,
		},
	}
}

// checkMalformed adds malformed entries while one watch runs, and then starts
// another one.
func checkMalformed(ctx context.Context, r *run) error {
	if r.PutMalformed == nil {
		return missing("PutMalformed")
	}
	running, err := r.openAt(ctx, eps(0, 3)...)
	if err != nil {
		return err
	}
	if err := r.PutMalformed(ctx); err != nil {
		return fieldError("PutMalformed", err)
	}
	started, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := started.await(eps(0, 3)); err != nil {
		return err
	}
	for _, s := range []*stream{running, started} {
		if err := s.settle(eps(0, 3)); err != nil {
			return err
		}
	}
	if err := r.putEach(ctx, started, eps(0, 3), eps(1, 5)); err != nil {
		return err
	}
	if err := running.await(eps(1, 5), eps(0, 3)); err != nil {
		return err
	}
	if err := running.stop(); err != nil {
		return err
	}
	return started.stop()
}

func checkSibling(ctx context.Context, r *run) error {
	if r.PutSibling == nil {
		return missing("PutSibling")
	}
	putSibling := func(set []discovery.Endpoint) error { return fieldError("PutSibling", r.PutSibling(ctx, set)) }
	if err := r.put(ctx, eps(0, 2)...); err != nil {
		return err
	}
	if err := putSibling(eps(100, 102)); err != nil {
		return err
	}
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := s.await(eps(0, 2)); err != nil {
		return err
	}
	if err := putSibling(eps(101, 104)); err != nil {
		return err
	}
	if err := r.putEach(ctx, s, eps(0, 2), slices.Concat(eps(0, 2), eps(5, 6))); err != nil {
		return err
	}
	return s.stop()
}
