package combine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

type union struct {
	origin
	ws []discovery.Watcher
}

// Union watches the servers that any of the watchers reports, as during a move
// from one registry to another. If several report the same address, the endpoint
// of the first of them counts.
//
// Watch reports nothing before every watcher has reported, because the set would
// not be complete, and returns the error of a watcher that is lost before. Later,
// the last set of a lost watcher stays while the others go on, and Watch returns
// only when all of them are lost. A set counts as the program's own decision if
// the sets of all watchers do.
func Union(ws ...discovery.Watcher) discovery.Watcher { return &union{ws: slices.Clone(ws)} }

// String names the places of all watchers.
func (u *union) String() string { return places(" and ", u.ws...) }

func (u *union) Validate() error {
	if len(u.ws) == 0 {
		return errors.New("combine: a union without watchers")
	}
	return validate(u.ws...)
}

func (u *union) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
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
	fresh := false // a watcher has reported since the last report of the union
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.news:
		}
		all, own := make([]status, len(followers)), true
		for i, f := range followers {
			all[i] = f.status()
			fresh, own = fresh || all[i].fresh, own && all[i].own
		}
		set, complete, err := merge(all)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if complete && fresh {
			u.report(report, set, own)
			fresh = false
		}
		if err != nil {
			return err
		}
	}
}

// merge returns the union, and whether every part of it is known. The error says
// that the union can go on no more.
func merge(all []status) (set []discovery.Endpoint, complete bool, err error) {
	seen := make(map[string]bool)
	var errs brief.Errors
	complete = true
	for i, s := range all {
		if s.err != nil {
			lost := fmt.Errorf("combine: watcher %d of %d: %w", i+1, len(all), s.err)
			if !s.known {
				return nil, false, lost
			}
			errs.Add(lost)
		}
		complete = complete && s.known
		for _, e := range s.set {
			if !seen[e.Addr] {
				seen[e.Addr] = true
				set = append(set, e)
			}
		}
	}
	if errs.Len() == len(all) {
		err = errs.Err()
	}
	return set, complete, err
}
