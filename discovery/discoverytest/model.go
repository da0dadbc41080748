package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/minicaptain/multi_connection_pool/core"
)

// modelRules compare a watcher with a model of the registry, through random
// histories.
func modelRules() []rule {
	return []rule{{
		name:  "RandomHistory",
		says:  "whatever happened before: once it is quiet, the last report equals the registry's set",
		check: checkRandomHistory,
	}}
}

// model is the registry as it should be, and the watches that should see it.
type model struct {
	x       *exam
	rnd     *rand.Rand
	fields  []func(*core.Endpoint) // the ways in which an endpoint may change
	history [][]core.Endpoint      // every set that the registry held
	watches []*follower
}

// follower is a watch and the place in the history up to which it is known to
// have followed.
type follower struct {
	*session
	from int
}

func checkRandomHistory(ctx context.Context, x *exam) error {
	const (
		steps      = 300
		maxWatches = 4
	)
	x.logf("seed %d", x.seed)
	m := &model{
		x:       x,
		rnd:     rand.New(rand.NewPCG(x.seed, 0)),
		history: [][]core.Endpoint{nil},
	}
	if err := m.learnFields(ctx); err != nil {
		return err
	}
	if err := m.begin(ctx, nil); err != nil {
		return err
	}
	for i := range steps {
		var err error
		switch n := m.rnd.IntN(20); {
		case n < 12:
			err = m.change(ctx)
		case n < 14 && len(m.watches) < maxWatches:
			err = m.begin(ctx, nil)
		case n < 16:
			err = m.restart(ctx)
		case n < 17 && len(m.watches) > 1:
			err = m.end()
		default:
			err = m.compare()
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err != nil {
			return fmt.Errorf("seed %d, step %d: %w", x.seed, i+1, err)
		}
	}
	if err := m.compare(); err != nil {
		return fmt.Errorf("seed %d, at the end: %w", x.seed, err)
	}
	return nil
}

// learnFields finds out what the registry stores of an endpoint, beside its
// address.
func (m *model) learnFields(ctx context.Context) error {
	values := []string{"", "a", "b"}
	for _, field := range []struct {
		probe core.Endpoint
		set   func(*core.Endpoint)
	}{
		{
			core.Endpoint{Addr: ep(0).Addr, Weight: 2},
			func(e *core.Endpoint) { e.Weight = float64(1 + m.rnd.IntN(3)) },
		},
		{
			core.Endpoint{Addr: ep(0).Addr, Zone: "a"},
			func(e *core.Endpoint) { e.Zone = values[m.rnd.IntN(3)] },
		},
		{
			core.Endpoint{Addr: ep(0).Addr, Attrs: map[string]string{"k": "a"}},
			func(e *core.Endpoint) { e.Attrs = map[string]string{"k": values[m.rnd.IntN(3)]} },
		},
	} {
		switch err := m.put(ctx, []core.Endpoint{field.probe}); {
		case err == nil:
			m.fields = append(m.fields, field.set)
		case !errors.Is(err, errors.ErrUnsupported):
			return err
		}
	}
	return nil
}

func (m *model) put(ctx context.Context, set []core.Endpoint) error {
	if err := m.x.put(ctx, set...); err != nil {
		return err
	}
	m.history = append(m.history, set)
	return nil
}

// change makes a few changes to the set, seldom to all of it.
func (m *model) change(ctx context.Context) error {
	const servers = 10
	set := slices.Clone(m.history[len(m.history)-1])
	if m.rnd.IntN(20) == 0 {
		set = nil
	}
	for range 1 + m.rnd.IntN(3) {
		e := ep(m.rnd.IntN(servers))
		for _, field := range m.fields {
			field(&e)
		}
		i := slices.IndexFunc(set, func(o core.Endpoint) bool { return o.Addr == e.Addr })
		switch {
		case i < 0:
			set = append(set, e)
		case m.rnd.IntN(2) == 0:
			set[i] = e
		default:
			set = slices.Delete(set, i, i+1)
		}
	}
	return m.put(ctx, set)
}

// begin begins a watch with w, or with a new watcher when w is nil.
func (m *model) begin(ctx context.Context, w core.Watcher) error {
	if w == nil {
		var err error
		if w, err = m.x.watcher(); err != nil {
			return err
		}
	}
	m.watches = append(m.watches, &follower{m.x.watch(ctx, w, nil), len(m.history) - 1})
	return nil
}

// end ends one of the watches, wherever it is.
func (m *model) end() error {
	i := m.rnd.IntN(len(m.watches))
	f := m.watches[i]
	m.watches = slices.Delete(m.watches, i, i+1)
	return errors.Join(f.stop(), f.verify(m.history[f.from:]...))
}

// restart ends one of the watches and begins another with the same watcher.
func (m *model) restart(ctx context.Context) error {
	i := m.rnd.IntN(len(m.watches))
	f := m.watches[i]
	m.watches = slices.Delete(m.watches, i, i+1)
	if err := errors.Join(f.stop(), f.verify(m.history[f.from:]...)); err != nil {
		return err
	}
	return m.begin(ctx, f.w)
}

// compare waits until every watch has caught up with the registry.
func (m *model) compare() error {
	now := len(m.history) - 1
	for _, f := range m.watches {
		if err := f.await(m.history[now], m.history[f.from:]...); err != nil {
			return err
		}
		// It may have been here before: then the watch may still be as far back
		// as that, and show what came in between.
		for !same(m.history[f.from], m.history[now]) {
			f.from++
		}
	}
	return nil
}
