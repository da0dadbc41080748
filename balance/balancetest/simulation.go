package balancetest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// simulation is a pool as its balancer sees it: members, their load, the time.
type simulation struct {
	balancer balance.Balancer
	picker   balance.Picker
	members  []balance.Member
	// known has the members of all sets by address, and loads their loads: a
	// pool keeps the load of an endpoint that leaves and returns.
	known map[string]balance.Member
	loads map[string]*Load
	now   time.Duration
}

// equal returns n endpoints of weight 1, in three zones.
func equal(n int) []discovery.Endpoint { return weighted(make([]float64, n)...) }

// weighted returns endpoints of these weights, in three zones.
func weighted(weights ...float64) []discovery.Endpoint {
	eps := make([]discovery.Endpoint, len(weights))
	for i, w := range weights {
		eps[i] = discovery.Endpoint{
			Addr:   fmt.Sprintf("10.%d.%d.%d:9090", i>>16, i>>8&0xff, i&0xff),
			Weight: w, Zone: string(rune('a' + i%3)),
		}
	}
	return eps
}

// simulate returns a simulation of these endpoints.
func (r *run) simulate(eps []discovery.Endpoint) (*simulation, error) {
	sim := &simulation{balancer: r.newBalancer(), known: map[string]balance.Member{}, loads: map[string]*Load{}}
	return sim, sim.set(eps)
}

// set replaces the set of endpoints.
func (sim *simulation) set(eps []discovery.Endpoint) error {
	members := make([]balance.Member, len(eps))
	for i, e := range eps {
		m, ok := sim.known[e.Addr]
		if !ok {
			m, sim.loads[e.Addr] = NewMember(e)
		}
		m.Endpoint = e
		sim.known[e.Addr], members[i] = m, m
	}
	p := sim.balancer.Build(sim.picker, append([]balance.Member(nil), members...))
	if p == nil {
		return fmt.Errorf("Build returned nil for %d members", len(eps))
	}
	sim.picker, sim.members = p, members
	return nil
}

// load returns the load of member i.
func (sim *simulation) load(i int) *Load { return sim.loads[sim.members[i].Endpoint.Addr] }

// pick calls the picker, and checks that it returns the index of a member.
func (sim *simulation) pick(info balance.PickInfo) (int, error) {
	i := sim.picker.Pick(info)
	if i < 0 || i >= len(sim.members) {
		return 0, fmt.Errorf("Pick(%+v) of %d members returned %d", info, len(sim.members), i)
	}
	return i, nil
}

// tick advances the clock by n ticks.
func (sim *simulation) tick(n int) {
	for range n {
		sim.now += 100 * time.Millisecond
		if t, ok := sim.picker.(balance.Ticker); ok {
			t.Tick(sim.now)
		}
	}
}

// key returns the pick info of the k-th key.
func key(k int) balance.PickInfo {
	x := uint64(k)*0x9e3779b97f4a7c15 + 1
	x ^= x >> 31
	return balance.PickInfo{Hash: x * 0xbf58476d1ce4e5b9, Keyed: true}
}

// serve simulates clients that call without a pause for d, and returns the
// number of calls that each member got. The latency of a call is the latency of
// an idle member times the calls in flight there, give or take half.
func (sim *simulation) serve(d time.Duration, clients int, idle func(i int) time.Duration) ([]int, error) {
	calls := make(inFlight, clients)
	seen := make([]int, len(sim.members))
	loads := make([]*Load, len(sim.members))
	for i := range loads {
		loads[i] = sim.load(i)
	}
	r := rand.New(rand.NewPCG(1, uint64(len(sim.members))))
	begin := func(c *call) error {
		i, err := sim.pick(balance.PickInfo{})
		if err != nil {
			return err
		}
		seen[i]++
		loads[i].Begin()
		c.member, c.took = i, time.Duration(float64(idle(i))*float64(sim.members[i].InFlight())*(0.5+r.Float64()))
		c.ends = sim.now + c.took
		return nil
	}
	for k := range calls {
		calls[k].client = k
		if err := begin(&calls[k]); err != nil {
			return nil, err
		}
	}
	heap.Init(&calls)
	next := sim.now + 100*time.Millisecond
	for end := sim.now + d; sim.now < end; {
		if next <= calls[0].ends {
			sim.now = next
			next += 100 * time.Millisecond
			if t, ok := sim.picker.(balance.Ticker); ok {
				t.Tick(sim.now)
			}
			continue
		}
		c := &calls[0]
		sim.now = c.ends
		loads[c.member].End()
		sim.picker.Report(c.member, balance.Report{Latency: c.took, At: sim.now})
		if err := begin(c); err != nil {
			return nil, err
		}
		heap.Fix(&calls, 0)
	}
	for _, c := range calls {
		loads[c.member].End()
	}
	return seen, nil
}

// call is a simulated call in flight.
type call struct {
	ends, took     time.Duration
	client, member int
}

// inFlight is a heap of calls, of which the next to end is the first.
type inFlight []call

func (f inFlight) Len() int      { return len(f) }
func (f inFlight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f inFlight) Less(i, j int) bool {
	return f[i].ends < f[j].ends || f[i].ends == f[j].ends && f[i].client < f[j].client
}

// Push and Pop are not called: the number of calls stays the same.
func (f inFlight) Push(any) {}
func (f inFlight) Pop() any { return nil }

func sum(seen []int) int {
	total := 0
	for _, k := range seen {
		total += k
	}
	return total
}

// wantShares returns an error unless each member got its share of the calls,
// within the factor 1 +- tolerance.
func wantShares(seen []int, shares []float64, tolerance float64) error {
	whole := 0.0
	for _, s := range shares {
		whole += s
	}
	for i, k := range seen {
		want := float64(sum(seen)) * shares[i] / whole
		if float64(k) < want*(1-tolerance) || float64(k) > want*(1+tolerance) {
			return fmt.Errorf("member %d of weight %v got %d of %d, want %.0f +- %.0f %%: %v",
				i, shares[i], k, sum(seen), want, 100*tolerance, brief(seen))
		}
	}
	return nil
}

// brief prints seen, and only the start of a long one.
func brief(seen []int) string {
	if len(seen) > 20 {
		return fmt.Sprint(seen[:20], "...")
	}
	return fmt.Sprint(seen)
}

// repeat returns the values v n times.
func repeat(n int, v ...float64) []float64 {
	out := make([]float64, 0, n*len(v))
	for range n {
		out = append(out, v...)
	}
	return out
}
