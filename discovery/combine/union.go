package combine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

type union struct{ ws []core.Watcher }

// Union watches all servers that any of the watchers names, for the time of a
// move from one registry to another. What several of them name counts as the
// first of them says.
//
// Nothing is reported before every watcher has reported, since the set would
// not be complete; a failure of one that has not is returned. Later, a watcher
// that is lost keeps its last set while the others go on, and only the loss of
// all of them is returned.
func Union(ws ...core.Watcher) core.Watcher { return union{slices.Clone(ws)} }

func (u union) Validate() error {
	if len(u.ws) == 0 {
		return errors.New("combine: a union of no watchers")
	}
	return validate(u.ws...)
}

func (u union) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	if err := u.Validate(); err != nil {
		return err
	}
	g := newGroup()
	defer g.running.Wait()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	followers := make([]*follower, len(u.ws))
	for i, w := range u.ws {
		followers[i] = g.follow(inner, w)
	}
	report = changes(report)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.news:
		}
		set, complete, err := merge(followers)
		if err != nil {
			return err
		}
		if complete && ctx.Err() == nil {
			report(set)
		}
	}
}

// merge returns the union, if every part of it is known.
func merge(followers []*follower) (set []core.Endpoint, complete bool, err error) {
	seen := make(map[string]bool)
	var errs []error
	complete = true
	for i, f := range followers {
		s := f.status()
		if s.err != nil {
			errs = append(errs, fmt.Errorf("combine: watcher %d of %d: %w", i+1, len(followers), s.err))
		}
		if !s.known {
			if s.err != nil {
				return nil, false, errs[len(errs)-1]
			}
			complete = false
		}
		for _, e := range s.set {
			if !seen[e.Addr] {
				seen[e.Addr] = true
				set = append(set, e)
			}
		}
	}
	if len(errs) == len(followers) {
		return nil, false, errors.Join(errs...)
	}
	return set, complete, nil
}
