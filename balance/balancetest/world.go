package balancetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// world is one pool as its balancer sees it: endpoints, their load, the time.
type world struct {
	balancer core.Balancer
	picker   core.Picker
	members  []core.Member
	// loads is by address and outlives the members, as a pool's does.
	loads map[string]*core.MemberLoad
	kept  map[string]core.Member
	now   time.Duration
}

// equal returns n endpoints of weight 1, in three zones.
func equal(n int) []core.Endpoint { return weighing(make([]float64, n)...) }

// weighing returns endpoints of these weights.
func weighing(weights ...float64) []core.Endpoint {
	eps := make([]core.Endpoint, len(weights))
	for i, w := range weights {
		eps[i] = core.Endpoint{
			Addr:   fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&0xff, i&0xff),
			Weight: w, Zone: string(rune('a' + i%3)),
		}
	}
	return eps
}

// world returns a pool of these endpoints.
func (x *exam) world(eps []core.Endpoint) (*world, error) {
	w := &world{balancer: x.construct(), loads: map[string]*core.MemberLoad{}, kept: map[string]core.Member{}}
	return w, w.set(eps)
}

// set replaces the set of endpoints.
func (w *world) set(eps []core.Endpoint) error {
	members := make([]core.Member, len(eps))
	for i, e := range eps {
		m, ok := w.kept[e.Addr]
		if !ok {
			m, w.loads[e.Addr] = core.NewMember(e)
		}
		m.Endpoint = e
		w.kept[e.Addr], members[i] = m, m
	}
	p := w.balancer.Build(w.picker, core.Snapshot{Members: append([]core.Member(nil), members...)})
	if p == nil {
		return fmt.Errorf("Build returned nil for %d endpoints", len(eps))
	}
	w.picker, w.members = p, members
	return nil
}

// load is that of member i.
func (w *world) load(i int) *core.MemberLoad { return w.loads[w.members[i].Endpoint.Addr] }

// pick asks the picker, which has to name a member.
func (w *world) pick(h core.Hint) (int, error) {
	i := w.picker.Pick(h)
	if i < 0 || i >= len(w.members) {
		return 0, fmt.Errorf("Pick(%+v) of %d endpoints returned %d", h, len(w.members), i)
	}
	return i, nil
}

// tick lets so many ticks pass.
func (w *world) tick(n int) {
	for range n {
		w.now += 100 * time.Millisecond
		if t, ok := w.picker.(core.Ticker); ok {
			t.Tick(w.now)
		}
	}
}

// key returns the k-th of many hints.
func key(k int) core.Hint {
	x := uint64(k)*0x9e3779b97f4a7c15 + 1
	x ^= x >> 31
	return core.Hint{Key: x * 0xbf58476d1ce4e5b9, Keyed: true}
}

// serve is a closed loop of so many clients that call without pause for d, and
// returns how many calls each member got. The latency of a call is that of its
// endpoint alone times the calls there, give or take half.
func (w *world) serve(d time.Duration, clients int, alone func(i int) time.Duration) ([]int, error) {
	type call struct {
		ends, took time.Duration
		i          int
		underway   bool
	}
	calls := make([]call, clients)
	seen := make([]int, len(w.members))
	r := rand.New(rand.NewPCG(1, uint64(len(w.members))))
	next := w.now + 100*time.Millisecond
	for end := w.now + d; w.now < end; {
		soonest := next
		for k := range calls {
			c := &calls[k]
			if c.underway && c.ends <= w.now {
				c.underway = false
				w.load(c.i).End()
				w.picker.Report(c.i, core.Report{Latency: c.took, At: w.now})
			}
			if !c.underway {
				i, err := w.pick(core.Hint{})
				if err != nil {
					return nil, err
				}
				seen[i]++
				w.load(i).Begin()
				c.took = time.Duration(float64(alone(i)) * float64(w.members[i].InFlight()) * (0.5 + r.Float64()))
				c.i, c.ends, c.underway = i, w.now+c.took, true
			}
			soonest = min(soonest, c.ends)
		}
		if w.now = soonest; w.now == next {
			if t, ok := w.picker.(core.Ticker); ok {
				t.Tick(w.now)
			}
			next += 100 * time.Millisecond
		}
	}
	for _, c := range calls {
		if c.underway {
			w.load(c.i).End()
		}
	}
	return seen, nil
}

func sum(seen []int) int {
	total := 0
	for _, k := range seen {
		total += k
	}
	return total
}

// wantShares returns an error unless each part of seen is its share of the
// whole, to within the factor 1 +- tolerance.
func wantShares(seen []int, shares []float64, tolerance float64) error {
	whole := 0.0
	for _, s := range shares {
		whole += s
	}
	for i, k := range seen {
		want := float64(sum(seen)) * shares[i] / whole
		if float64(k) < want*(1-tolerance) || float64(k) > want*(1+tolerance) {
			return fmt.Errorf("endpoint %d of weight %v got %d of %d, want %.0f +- %.0f %%: %v",
				i, shares[i], k, sum(seen), want, 100*tolerance, brief(seen))
		}
	}
	return nil
}

func brief(seen []int) string {
	if len(seen) > 20 {
		return fmt.Sprint(seen[:20], "...")
	}
	return fmt.Sprint(seen)
}

// repeat returns n times v.
func repeat(n int, v ...float64) []float64 {
	out := make([]float64, 0, n*len(v))
	for range n {
		out = append(out, v...)
	}
	return out
}
