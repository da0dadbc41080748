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
			name:  "Large",
			says:  "a set of 10,000 endpoints is complete in the first report, and one change in it is seen",
			check: checkLarge,
		},
		{
			name:  "OneOfMany",
			says:  "a change of one endpoint among many is learned with at most two requests",
			check: checkOneOfMany,
		},
		{
			name:  "Storm",
			says:  "after thousands of changes, as fast as the registry takes them, the last report is the last set",
			check: checkStorm,
		},
	}
}

// fill puts n endpoints into the registry, in parts that each take less than
// the timeout.
func (x *exam) fill(ctx context.Context, n int) error {
	const part = 500
	for i := 0; i < n; i += part {
		if err := x.put(ctx, eps(0, min(i+part, n))...); err != nil {
			return err
		}
	}
	return nil
}

func checkLarge(ctx context.Context, x *exam) error {
	all := eps(0, x.scale)
	if err := x.fill(ctx, x.scale); err != nil {
		return err
	}
	begin := time.Now()
	s, err := x.open(ctx)
	if err != nil {
		return err
	}
	if err := s.await(all); err != nil {
		return err
	}
	x.logf("%d endpoints took %v", x.scale, time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	if err := follow(ctx, x, s, all, all[1:], all); err != nil {
		return err
	}
	x.logf("one removed and added again took %v", time.Since(begin).Round(time.Millisecond))
	return s.stop()
}

func checkOneOfMany(ctx context.Context, x *exam) error {
	const many, changes = 500, 10
	c, ok := x.place.(Counter)
	if !ok {
		return lacks("Counter", "count requests")
	}
	all := eps(0, many)
	s, err := x.openAt(ctx, all...)
	if err != nil {
		return err
	}
	if err := rest(ctx); err != nil {
		return err
	}
	before := c.Requests()
	for i := range changes {
		next := slices.Concat(eps(0, many), eps(many+i, many+i+1))
		if err := follow(ctx, x, s, all, next); err != nil {
			return err
		}
		all = next
	}
	if err := rest(ctx); err != nil { // the watch may ask for the next change after it reported one
		return err
	}
	// Each change replaces the endpoint of the one before: two events.
	if n := c.Requests() - before; n > 2*(2*changes-1) {
		return fmt.Errorf("%d changes of one endpoint among %d took %d requests", 2*changes-1, many, n)
	}
	return s.stop()
}

// checkStorm changes the upper half of a set thousands of times; the lower
// half is there all the time.
func checkStorm(ctx context.Context, x *exam) error {
	const changes, half = 2000, 20
	lower := eps(0, half)
	s, err := x.openAt(ctx, lower...)
	if err != nil {
		return err
	}
	begin := time.Now()
	for i := range changes {
		set := slices.Concat(lower, eps(half, half+i%7), eps(half+10, half+10+i%5))
		if err := x.put(ctx, set...); err != nil {
			return err
		}
	}
	// The last set is none of those before it, or one of these could pass for it.
	set := slices.Concat(lower, eps(2*half, 2*half+1))
	if err := x.put(ctx, set...); err != nil {
		return err
	}
	took := time.Since(begin)
	// Whatever was seen lies between the lower half and everything.
	if err := s.settle(set, eps(0, 2*half+1), lower); err != nil {
		return err
	}
	x.logf("%d changes of several endpoints each took %v and gave %d reports", changes, took.Round(time.Millisecond), len(s.view().reports))
	return s.stop()
}
