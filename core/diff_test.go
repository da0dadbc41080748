package core_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
)

// TestAnySequenceOfSetsEndsInTheLastOne changes a set at random, in small steps
// and in large ones, and compares all that the pool knows with it.
func TestAnySequenceOfSetsEndsInTheLastOne(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			r, b := newRegistry(t), &scripted{}
			reported := -1
			b.report = func(_ *scriptedPicker, i int, _ balance.Report) { reported = i }
			p := open(t, r, newFleet(t), core.WithBalancer(b), core.RemovalGrace(0), core.MaxActive(1))
			r.say()
			var set []core.Endpoint
			for step := range 120 {
				set = slices.Clone(set)
				for range 1 + rnd.IntN(3)*rnd.IntN(2)*rnd.IntN(20) {
					set = changedAtRandom(rnd, set)
				}
				r.say(set...)
				wantSet(t, p, b, &reported, set)
				if t.Failed() {
					t.Fatalf("seed %d, step %d", seed, step)
				}
			}
		})
	}
}

// changedAtRandom is one step from set to another, among 40 addresses.
func changedAtRandom(rnd *rand.Rand, set []core.Endpoint) []core.Endpoint {
	addr := fmt.Sprintf("10.0.0.%d:1", rnd.IntN(40))
	i := slices.IndexFunc(set, func(e core.Endpoint) bool { return e.Addr == addr })
	switch k := rnd.IntN(10); {
	case i < 0 && k < 8:
		return slices.Insert(set, rnd.IntN(len(set)+1), core.Endpoint{Addr: addr})
	case i < 0 || k == 0:
		rnd.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
	case k < 5:
		return slices.Delete(set, i, i+1)
	case k < 8:
		set[i].Weight = float64(rnd.IntN(3))
	default:
		set[i].Attrs = map[string]string{"version": fmt.Sprint(k)}
	}
	return set
}

// wantSet fails the test unless the pool's set is this one, in the picker and by
// name, and the picker's index means the same to both.
func wantSet(t *testing.T, p *core.Pool[*link], b *scripted, reported *int, set []core.Endpoint) {
	t.Helper()
	if st := p.Stats(); len(st.Endpoints) != len(set) {
		t.Errorf("%d endpoints, want %d", len(st.Endpoints), len(set))
	}
	pickers := b.all()
	picker := pickers[len(pickers)-1]
	if len(picker.set) != len(set) {
		t.Errorf("%d members, want %d", len(picker.set), len(set))
	}
	for i, m := range picker.set {
		if !slices.ContainsFunc(set, m.Endpoint.Equal) {
			t.Errorf("member %d is %+v, which is not in the set", i, m.Endpoint)
		}
		picker.at.Store(int64(i))
		l := get(t, p)
		if !l.Endpoint().Equal(m.Endpoint) {
			t.Errorf("member %d is %+v, the call went to %+v", i, m.Endpoint, l.Endpoint())
		}
		if l.Report(balance.Report{}); *reported != i {
			t.Errorf("the report of a call to member %d is told of %d", i, *reported)
		}
		release(t, l)
	}
	for k := range 40 {
		a := fmt.Sprintf("10.0.0.%d:1", k)
		i := slices.IndexFunc(set, func(e core.Endpoint) bool { return e.Addr == a })
		if i < 0 {
			if _, err := p.Get(t.Context(), core.WithEndpoint(a)); !errors.Is(err, core.ErrNoEndpoint) {
				t.Errorf("a call to %s, which is not in the set, ended with %v", a, err)
			}
			continue
		}
		l := get(t, p, core.WithEndpoint(a))
		if !l.Endpoint().Equal(set[i]) {
			t.Errorf("a call to %+v went to %+v", set[i], l.Endpoint())
		}
		release(t, l)
	}
}
