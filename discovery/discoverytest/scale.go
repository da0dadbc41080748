package discoverytest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// scaleRules are about large sets and many changes.
func scaleRules() []rule {
	return []rule{
		{
			name:        "Large",
			description: "the first report of a set of 10,000 endpoints is complete, and a watcher reports one change in it",
			check:       checkLarge,
		},
		{
			name:        "OneOfMany",
			description: "a watcher needs at most two requests to learn of a change of one endpoint among many",
			check:       checkOneOfMany,
		},
		{
			name:        "Storm",
			description: "after thousands of changes without a pause, the last report is the last set",
			check:       checkStorm,
		},
	}
}

// fill puts n endpoints into the registry, in parts that take less than the
// timeout each.
func (r *run) fill(ctx context.Context, n int) error {
	const part = 500
	for i := 0; i < n; i += part {
		if err := r.put(ctx, eps(0, min(i+part, n))...); err != nil {
			return err
		}
	}
	return nil
}

func checkLarge(ctx context.Context, r *run) error {
	all := eps(0, r.Scale)
	if err := r.fill(ctx, r.Scale); err != nil {
		return err
	}
	begin := time.Now()
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := s.await(all); err != nil {
		return err
	}
	r.logf("the first report of %d endpoints took %v", r.Scale, time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	if err := r.putEach(ctx, s, all, all[1:], all); err != nil {
		return err
	}
	r.logf("removing one and adding it again took %v", time.Since(begin).Round(time.Millisecond))
	return s.stop()
}

func checkOneOfMany(ctx context.Context, r *run) error {
	const many, changes = 500, 10
	if r.CountRequests == nil {
		return missing("CountRequests")
	}
	all := eps(0, many)
	s, err := r.openAt(ctx, all...)
	if err != nil {
		return err
	}
	if err := waitQuiet(ctx); err != nil {
		return err
	}
	before, err := r.CountRequests(ctx)
	if err != nil {
		return fieldError("CountRequests", err)
	}
	for i := range changes {
		next := slices.Concat(eps(0, many), eps(many+i, many+i+1))
		if err := r.putEach(ctx, s, all, next); err != nil {
			return err
		}
		all = next
	}
	if err := waitQuiet(ctx); err != nil { // a watch may make a request after it reported a change
		return err
	}
	after, err := r.CountRequests(ctx)
	if err != nil {
		return fieldError("CountRequests", err)
	}
	// Each step but the first also removes the endpoint of the one before.
	const total = 2*changes - 1
	if n := after - before; n > 2*total {
		return fmt.Errorf("%d changes of one endpoint among %d took %d requests", total, many, n)
	}
	return s.stop()
}

// checkStorm changes the upper half of a set thousands of times. The lower half
// stays.
func checkStorm(ctx context.Context, r *run) error {
	const changes, half = 2000, 20
	lower := eps(0, half)
	s, err := r.openAt(ctx, lower...)
	if err != nil {
		return err
	}
	begin := time.Now()
	for i := range changes {
		set := slices.Concat(lower, eps(half, half+i%7), eps(half+10, half+10+i%5))
		if err := r.put(ctx, set...); err != nil {
			return err
		}
	}
	// The last set differs from all sets before, which must not pass for it.
	set := slices.Concat(lower, eps(2*half, 2*half+1))
	if err := r.put(ctx, set...); err != nil {
		return err
	}
	took := time.Since(begin)
	// All reports lie between the lower half and all endpoints.
	if err := s.settle(set, eps(0, 2*half+1), lower); err != nil {
		return err
	}
	r.logf("%d changes of several endpoints each took %v and gave %d reports", changes, took.Round(time.Millisecond), len(s.state().reports))
	return s.stop()
}
