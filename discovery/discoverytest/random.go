package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// randomRules compare watchers with a model of the registry in random
// histories.
func randomRules() []rule {
	return []rule{{
		name:        "RandomHistory",
		description: "after any history of changes, the last report is the set in the registry",
		check:       checkRandomHistory,
	}}
}

// model is the set that the registry should hold, and the watches that should
// report it.
type model struct {
	run     *run
	rnd     *rand.Rand
	fields  []func(*discovery.Endpoint) // each changes one field that the registry stores
	history [][]discovery.Endpoint      // every set that the registry has held, but for those on the way to the next one
	marks   int                         // see mark
	streams []*modelStream
}

// modelStream is a watch with the index in the history that it has reached at
// least.
type modelStream struct {
	*stream
	from int
}

func checkRandomHistory(ctx context.Context, r *run) error {
	const (
		steps      = 300
		maxStreams = 4
	)
	r.logf("seed %d", r.Seed)
	m := &model{
		run:     r,
		rnd:     rand.New(rand.NewPCG(r.Seed, 0)),
		history: [][]discovery.Endpoint{nil},
	}
	if err := m.learnFields(ctx); err != nil {
		return err
	}
	if err := m.start(ctx, nil); err != nil {
		return err
	}
	for i := range steps {
		var err error
		switch n := m.rnd.IntN(20); {
		case n < 12:
			err = m.change(ctx)
		case n < 14 && len(m.streams) < maxStreams:
			err = m.start(ctx, nil)
		case n < 16:
			err = m.restart(ctx)
		case n < 17 && len(m.streams) > 1:
			_, err = m.stop()
		default:
			err = m.compare(ctx)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err != nil {
			return fmt.Errorf("seed %d, step %d: %w", r.Seed, i+1, err)
		}
	}
	if err := m.compare(ctx); err != nil {
		return fmt.Errorf("seed %d, at the end: %w", r.Seed, err)
	}
	return nil
}

// learnFields finds out which fields of an endpoint the registry stores, apart
// from the address.
func (m *model) learnFields(ctx context.Context) error {
	values := []string{"", "a", "b"}
	for _, field := range []struct {
		probe discovery.Endpoint
		set   func(*discovery.Endpoint)
	}{
		{
			discovery.Endpoint{Addr: ep(0).Addr, Weight: 2},
			func(e *discovery.Endpoint) { e.Weight = float64(1 + m.rnd.IntN(3)) },
		},
		{
			discovery.Endpoint{Addr: ep(0).Addr, Zone: "a"},
			func(e *discovery.Endpoint) { e.Zone = values[m.rnd.IntN(3)] },
		},
		{
			discovery.Endpoint{Addr: ep(0).Addr, Attrs: map[string]string{"k": "a"}},
			func(e *discovery.Endpoint) { e.Attrs = map[string]string{"k": values[m.rnd.IntN(3)]} },
		},
	} {
		switch err := m.put(ctx, []discovery.Endpoint{field.probe}); {
		case err == nil:
			m.fields = append(m.fields, field.set)
		case !errors.Is(err, errors.ErrUnsupported):
			return err
		}
	}
	return nil
}

func (m *model) put(ctx context.Context, set []discovery.Endpoint) error {
	if err := m.run.put(ctx, set...); err != nil {
		return err
	}
	m.history = append(m.history, set)
	return nil
}

// servers is how many come and go.
const servers = 10

// mark puts a server into the set that has never been there, in place of the last such
// one. A registry that changes a set entry by entry may have held the set before on its
// way to another one, and a watch that reports that late would be taken for one that has
// come further.
func (m *model) mark(ctx context.Context) error {
	last := ep(servers + m.marks)
	m.marks++
	set := slices.DeleteFunc(slices.Clone(m.history[len(m.history)-1]), func(e discovery.Endpoint) bool { return e.Addr == last.Addr })
	return m.put(ctx, append(set, ep(servers+m.marks)))
}

// change makes a few random changes to the set, and sometimes clears it first.
func (m *model) change(ctx context.Context) error {
	set := slices.Clone(m.history[len(m.history)-1])
	if m.rnd.IntN(20) == 0 {
		set = nil
	}
	for range 1 + m.rnd.IntN(3) {
		e := ep(m.rnd.IntN(servers))
		for _, field := range m.fields {
			field(&e)
		}
		i := slices.IndexFunc(set, func(o discovery.Endpoint) bool { return o.Addr == e.Addr })
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

// start starts a watch with w, or with a new watcher if w is nil.
func (m *model) start(ctx context.Context, w discovery.Watcher) error {
	if w == nil {
		var err error
		if w, err = m.run.watcher(); err != nil {
			return err
		}
	}
	m.streams = append(m.streams, &modelStream{m.run.watch(ctx, w, nil), len(m.history) - 1})
	return nil
}

// stop stops a random watch, wherever it is in the history, and returns its
// watcher.
func (m *model) stop() (discovery.Watcher, error) {
	i := m.rnd.IntN(len(m.streams))
	s := m.streams[i]
	m.streams = slices.Delete(m.streams, i, i+1)
	return s.watcher, errors.Join(s.stop(), s.verify(m.history[s.from:]...))
}

// restart stops a random watch and starts another one with the same watcher.
func (m *model) restart(ctx context.Context) error {
	w, err := m.stop()
	if err != nil {
		return err
	}
	return m.start(ctx, w)
}

// compare waits until every watch has reported the set in the registry.
func (m *model) compare(ctx context.Context) error {
	if err := m.mark(ctx); err != nil {
		return err
	}
	now := len(m.history) - 1
	for _, s := range m.streams {
		if err := s.await(m.history[now], m.history[s.from:]...); err != nil {
			return err
		}
		s.from = now
	}
	return nil
}
