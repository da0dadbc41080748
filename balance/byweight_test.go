package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// loop is a closed loop of callers over servers that take as long for a call whatever
// else they do.
type loop struct {
	picker Picker
	loads  []*load.Load
	now    time.Duration
	// pause is how long a caller waits between two calls.
	pause time.Duration
	noise float64
	rand  *rand.Rand
}

func newLoop(b Balancer, weights ...float64) *loop {
	l := &loop{rand: rand.New(rand.NewPCG(1, 2))}
	var members []Member
	for i, w := range weights {
		one := new(load.Load)
		l.loads = append(l.loads, one)
		members = append(members, NewMember(discovery.Endpoint{Addr: fmt.Sprint("server", i), Weight: w}, one))
	}
	l.picker = b.Build(nil, members)
	return l
}

// run makes calls for d and returns how many each server got.
func (l *loop) run(d time.Duration, callers int) []int {
	type caller struct {
		at, took time.Duration
		server   int // -1: none
	}
	all := make([]caller, callers)
	for k := range all {
		all[k] = caller{at: l.now + time.Duration(l.rand.Int64N(int64(ms+l.pause))), server: -1}
	}
	seen := make([]int, len(l.loads))
	tick := l.now
	for end := l.now + d; ; {
		next := 0
		for k := range all {
			if all[k].at < all[next].at {
				next = k
			}
		}
		c := &all[next]
		if l.now = c.at; l.now >= end {
			break
		}
		if t, ok := l.picker.(Ticker); ok && l.now >= tick {
			t.Tick(l.now)
			tick = l.now + 100*ms
		}
		if c.server >= 0 {
			l.loads[c.server].Unreserve()
			l.picker.Report(c.server, Report{Latency: c.took, At: l.now})
			if c.server = -1; l.pause > 0 {
				c.at = l.now + time.Duration(float64(l.pause)*l.rand.ExpFloat64())
				continue
			}
		}
		c.server = l.picker.Pick(PickInfo{})
		seen[c.server]++
		l.loads[c.server].Reserve()
		c.took = time.Duration(float64(ms) * math.Exp(l.noise*l.rand.NormFloat64()))
		c.at = l.now + c.took
	}
	for _, c := range all {
		if c.server >= 0 {
			l.loads[c.server].Unreserve()
		}
	}
	return seen
}

func TestSharesFollowTheWeightsAtAnyLoad(t *testing.T) {
	for name, b := range map[string]Balancer{
		"LeastLatency": LeastLatency(LeastLatencyConfig{}), "LeastInFlight": LeastInFlight(),
	} {
		for _, c := range []struct {
			weights []float64
			most    float64
		}{
			{[]float64{2, 1, 1}, 0.2},
			{[]float64{1, 2, 3, 4, 5}, 0.25},
			{slices.Repeat([]float64{1, 2, 3, 4, 5}, 4), 0.3},
			{[]float64{10, 1}, 0.5}, // at ten calls at a time, the light one's part is less than one
		} {
			for _, callers := range []int{1, 3, 10, 64} {
				for pause, noise := range map[time.Duration]float64{0: 0.3, 9 * ms: 0} {
					l := newLoop(b, c.weights...)
					l.pause, l.noise = pause, noise
					d := 4 * time.Second / time.Duration(max(1, callers/8))
					l.run(d/4, callers)
					seen := l.run(d, callers)
					total := 0.0
					for _, w := range c.weights {
						total += w
					}
					for i, w := range c.weights {
						if got := share(seen, i) * total / w; math.Abs(got-1) > c.most {
							t.Errorf("%s, %d callers with pauses of %v, noise of %.0f %%: server %d of weight %v has %.2f of its share: %v",
								name, callers, pause, 100*noise, i, w, got, seen)
						}
					}
				}
			}
		}
	}
}

func TestWeightDoesNotMakeUpForASlowServerThatIsIdle(t *testing.T) {
	w := newWorld(5, 1)
	answer := func(i int) (time.Duration, Outcome) { return []time.Duration{20 * ms, ms}[i], OutcomeOK }
	w.serve(5*time.Second, 1, answer)
	if got := share(w.serve(20*time.Second, 1, answer), 0); got > 0.02 {
		t.Errorf("the server of weight 5 that is 20 times slower got %.1f %% of the calls", 100*got)
	}
}

func TestNewWeightCountsAtOnce(t *testing.T) {
	w := newWorld(1, 1)
	w.settleEvenly(ms)
	w.build(w.members(3, 1))
	if seen := w.picked(4000); math.Abs(float64(seen[0]-3000)) > 4 {
		t.Errorf("of weights 3 and 1, picks %v of 4000", seen)
	}
}

// As balance.Rendezvous and all that go as it does.
func TestKeysOfAllBalancersWithoutHashingAreTheSame(t *testing.T) {
	for _, weights := range [][]float64{{1, 1, 1, 1}, {1, 2, 3, 4}, {0, 7, 0.5}, {1}} {
		loops := map[string]*loop{}
		for name, b := range map[string]Balancer{
			"LeastLatency": LeastLatency(LeastLatencyConfig{}), "LeastInFlight": LeastInFlight(), "PeakEWMA": PeakEWMA(), "RoundRobin": RoundRobin(),
			"WeightedRoundRobin": WeightedRoundRobin(), "Random": Random(), "Subset": Subset(1, 2, Random()), "ZoneAware": ZoneAware("", LeastLatency(LeastLatencyConfig{})),
		} {
			loops[name] = newLoop(b, weights...)
		}
		want := newLoop(Rendezvous(), weights...)
		seen := make([]int, len(weights))
		for k := range 10_000 {
			info := PickInfo{Hash: Hash(fmt.Sprint("user:", k)), Keyed: true}
			owner := want.picker.Pick(info)
			seen[owner]++
			for name, l := range loops {
				if i := l.picker.Pick(info); i != owner {
					t.Fatalf("weights %v: key user:%d goes to server %d with %s and to %d with Rendezvous", weights, k, i, name, owner)
				}
			}
		}
		total := 0.0
		for _, m := range want.picker.(*rendezvous).members {
			total += m.Weight()
		}
		for i, m := range want.picker.(*rendezvous).members {
			if part := share(seen, i) * total / m.Weight(); math.Abs(part-1) > 0.2 {
				t.Errorf("weights %v: server %d has %.2f of its share of the keys", weights, i, part)
			}
		}
	}
}
