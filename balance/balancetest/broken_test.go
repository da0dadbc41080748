package balancetest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// plain is a picker that does what any has to, in the simplest way, except
// where a test replaces a part of it.
type plain struct {
	members []core.Member
	pick    func(p *plain, h core.Hint) int
	report  func(p *plain, i int, r core.Report)
	tick    func(p *plain, now time.Duration)
	average map[string]*atomic.Int64
	state   atomic.Int64
}

func (p *plain) Pick(h core.Hint) int {
	if p.pick != nil {
		return p.pick(p, h)
	}
	return p.good(h)
}

func (p *plain) Report(i int, r core.Report) {
	if p.report != nil {
		p.report(p, i, r)
	}
}

func (p *plain) Tick(now time.Duration) {
	if p.tick != nil {
		p.tick(p, now)
	}
}

// good draws at random, or by highest random weight.
func (p *plain) good(h core.Hint) int {
	best, top := -1, uint64(0)
	for i := range p.members {
		x := rand.Uint64()>>1 | 1
		if h.Keyed {
			x = p.mix(h.Key, i)>>1 | 1
		}
		if !p.members[i].Out() {
			x |= 1 << 63
		}
		if x > top {
			best, top = i, x
		}
	}
	return best
}

// mix hashes a key with an address.
func (p *plain) mix(x uint64, i int) uint64 {
	for _, c := range []byte(p.members[i].Endpoint.Addr) {
		x = (x ^ uint64(c)) * 1099511628211
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

type builder func(previous core.Picker, set core.Snapshot) core.Picker

func (b builder) Build(previous core.Picker, set core.Snapshot) core.Picker { return b(previous, set) }

// with returns a plain balancer with parts replaced.
func with(change func(p *plain)) func() core.Balancer {
	return func() core.Balancer {
		return builder(func(_ core.Picker, set core.Snapshot) core.Picker {
			p := &plain{members: set.Members}
			if change != nil {
				change(p)
			}
			return p
		})
	}
}

func picking(f func(p *plain, h core.Hint) int) func() core.Balancer {
	return with(func(p *plain) { p.pick = f })
}

// keyed replaces the answer to calls with a key.
func keyed(f func(p *plain, key uint64) int) func() core.Balancer {
	return picking(func(p *plain, h core.Hint) int {
		if h.Keyed && len(p.members) > 0 {
			return f(p, h.Key)
		}
		return p.good(h)
	})
}

func TestSimplestBalancerPasses(t *testing.T) {
	Run(t, with(nil), Even(), Keys(1))
}

func TestBrokenBalancersAreCaught(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	sink := atomic.Pointer[[]int]{}
	for _, c := range []struct {
		name      string
		construct func() core.Balancer
		caughtBy  string // rules
		says      string // part of what one of them has to say
	}{
		{
			name:      "counts from one",
			construct: picking(func(p *plain, h core.Hint) int { return p.good(h) + 1 }),
			caughtBy:  "InRange AllOut", says: "of 1 endpoints returned 1",
		},
		{
			name:      "builds nothing of nothing",
			construct: func() core.Balancer { return builder(func(core.Picker, core.Snapshot) core.Picker { return nil }) },
			caughtBy:  "InRange NoMembers KeepsItsHandsOff", says: "Build returned nil",
		},
		{
			name:      "divides by the number of members",
			construct: picking(func(p *plain, h core.Hint) int { return int(h.Key % uint64(len(p.members))) }),
			caughtBy:  "NoMembers AvoidsOut", says: "panic: runtime error: integer divide by zero",
		},
		{
			name: "takes the picker before for one of its own",
			construct: func() core.Balancer {
				return builder(func(previous core.Picker, set core.Snapshot) core.Picker {
					if previous != nil {
						_ = previous.(*plain) //nolint:forcetypeassert // the mistake
					}
					return &plain{members: set.Members}
				})
			},
			caughtBy: "NoMembers", says: "panic: interface conversion",
		},
		{
			name: "reuses what the picker before uses",
			construct: func() core.Balancer {
				var shared []core.Member
				return builder(func(_ core.Picker, set core.Snapshot) core.Picker {
					shared = set.Members
					return &plain{pick: func(_ *plain, h core.Hint) int {
						i := (&plain{members: shared}).good(h)
						if len(shared) < 3 {
							return -1
						}
						return i
					}}
				})
			},
			caughtBy: "KeepsItsHandsOff", says: "after the next Build",
		},
		{
			name: "sorts the pool's members",
			construct: func() core.Balancer {
				return builder(func(_ core.Picker, set core.Snapshot) core.Picker {
					slices.SortFunc(set.Members, func(a, b core.Member) int { return strings.Compare(b.Endpoint.Addr, a.Endpoint.Addr) })
					return &plain{members: set.Members}
				})
			},
			caughtBy: "KeepsItsHandsOff", says: "member 0 was",
		},
		{
			name: "collects candidates in a slice",
			construct: picking(func(p *plain, h core.Hint) int {
				s := make([]int, len(p.members))
				sink.Store(&s)
				return p.good(h)
			}),
			caughtBy: "NoAllocation", says: "allocations",
		},
		{
			name:      "looks at the load alone",
			construct: picking(func(p *plain, _ core.Hint) int { return rand.IntN(max(len(p.members), 1)) }),
			caughtBy:  "AvoidsOut KeysStay", says: "is out and was picked",
		},
		{
			name: "gives up soon",
			construct: keyed(func(p *plain, key uint64) int {
				for range 4 {
					if i := int(key % uint64(len(p.members))); !p.members[i].Out() {
						return i
					}
					key = key*0x9e3779b97f4a7c15 + 1
				}
				return int(key % uint64(len(p.members)))
			}),
			caughtBy: "AvoidsOut", says: "is out and was picked",
		},
		{
			name: "prefers a server that is out to a busy one",
			construct: picking(func(p *plain, h core.Hint) int {
				i := p.good(h)
				if i >= 0 && p.members[i].InFlight() >= 1000 {
					return slices.IndexFunc(p.members, func(m core.Member) bool { return m.InFlight() < 1000 })
				}
				return i
			}),
			caughtBy: "AvoidsOut", says: "and busy",
		},
		{
			name: "waits until one is in",
			construct: picking(func(p *plain, h core.Hint) int {
				i := p.good(h)
				if i >= 0 && p.members[i].Out() {
					<-release
				}
				return i
			}),
			caughtBy: "AllOut", says: "does not return",
		},
		{
			name: "never forgives",
			construct: with(func(p *plain) {
				var was [16]atomic.Bool
				p.tick = func(p *plain, _ time.Duration) {
					for i := range min(len(p.members), len(was)) {
						if p.members[i].Out() {
							was[i].Store(true)
						}
					}
				}
				p.pick = func(p *plain, h core.Hint) int {
					for range 100 {
						if i := p.good(core.Hint{}); i < 0 || i >= len(was) || !was[i].Load() {
							return i
						}
					}
					return p.good(h)
				}
			}),
			caughtBy: "Returns", says: "was out and back, and got 0",
		},
		{
			name: "counts weights in whole numbers",
			construct: func() core.Balancer {
				return builder(func(_ core.Picker, set core.Snapshot) core.Picker {
					total := 0
					for _, m := range set.Members {
						total += int(m.Weight())
					}
					return &plain{members: set.Members, pick: func(p *plain, h core.Hint) int {
						if len(p.members) > 0 {
							_ = rand.IntN(total)
						}
						return p.good(h)
					}}
				})
			},
			caughtBy: "HugeRatios", says: "panic: invalid argument to IntN",
		},
		{
			name: "has a favourite",
			construct: picking(func(p *plain, h core.Hint) int {
				if i := p.good(h); h.Keyed || i != 1 || rand.IntN(4) > 0 {
					return i
				}
				return p.good(h)
			}),
			caughtBy: "Even", says: "which is no accident",
		},
		{
			name: "calls the next one twice",
			construct: picking(func(p *plain, h core.Hint) int {
				n := int64(len(p.members))
				if h.Keyed || n == 0 {
					return p.good(h)
				}
				i := p.state.Add(1) % n
				if p.members[i].Out() {
					i = (i + 1) % n
				}
				if p.members[i].Out() {
					return p.good(h)
				}
				return int(i)
			}),
			caughtBy: "Even", says: "every second is out",
		},
		{
			name:      "ignores weights",
			construct: with(nil),
			caughtBy:  "Weighted WeightedKeys", says: "of weight 1 got",
		},
		{
			name: "hashes to an index",
			construct: keyed(func(p *plain, key uint64) int {
				for range p.members {
					if i := int(key % uint64(len(p.members))); !p.members[i].Out() {
						return i
					}
					key++
				}
				return int(key % uint64(len(p.members)))
			}),
			caughtBy: "KeysStay KeysMove KeysOfOut", says: "the members have another order",
		},
		{
			name: "hashes differently in each process",
			construct: with(func(p *plain) {
				seed := rand.Uint64()
				p.pick = func(p *plain, h core.Hint) int {
					h.Key ^= seed
					return p.good(h)
				}
			}),
			caughtBy: "KeysStay", says: "went from",
		},
		{
			name: "knows few places",
			construct: keyed(func(p *plain, key uint64) int {
				return p.good(core.Hint{Key: key % 10, Keyed: true})
			}),
			caughtBy: "KeysSpread KeysOfOut", says: "went to",
		},
		{
			name:      "has no bound",
			construct: with(nil),
			caughtBy:  "Bound", says: "got its call number 5, want at most",
		},
		{
			name: "believes every index",
			construct: with(func(p *plain) {
				p.report = func(p *plain, i int, _ core.Report) { _ = p.members[i] }
			}),
			caughtBy: "OddReports NoMembers", says: "index out of range",
		},
		{name: "believes every latency", construct: learning(true, true), caughtBy: "OddReports", says: "when all had been well"},
		{name: "forgets with every set", construct: learning(false, false), caughtBy: "Learns", says: "when another one came"},
		{name: "does not learn", construct: with(nil), caughtBy: "Learns", says: "is 50 times slower"},
		{
			name: "is not to be asked while time passes",
			construct: with(func(p *plain) {
				p.tick = func(p *plain, _ time.Duration) {
					p.state.Store(1)
					time.Sleep(time.Millisecond) // long enough for a pick beside it
					p.state.Store(0)
				}
				p.pick = func(p *plain, h core.Hint) int {
					if p.state.Load() != 0 {
						return -1
					}
					return p.good(h)
				}
			}),
			caughtBy: "Concurrent", says: "beside other calls returned -1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := ""
			all := promises{even: true, weighted: true, learns: true, weightedKeys: true, moves: 1.5, excess: 0.25, spare: 4}
			for _, r := range rules() {
				if !slices.Contains(strings.Fields(c.caughtBy), r.name) {
					continue
				}
				limit := limit
				if strings.Contains(c.says, "does not return") {
					limit = 100 * time.Millisecond
				}
				err := examine(c.construct, all, r, limit)
				if err == nil {
					t.Errorf("%s did not catch it", r.name)
					continue
				}
				said += err.Error() + "\n"
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("caught for another reason, without %q:\n%s", c.says, said)
			}
		})
	}
}

// learning returns a balancer that keeps an average of the latencies.
func learning(remembers, everything bool) func() core.Balancer {
	return func() core.Balancer {
		return builder(func(previous core.Picker, set core.Snapshot) core.Picker {
			p := &plain{members: set.Members, average: map[string]*atomic.Int64{}}
			before, _ := previous.(*plain)
			for _, m := range set.Members {
				a := new(atomic.Int64)
				if remembers && before != nil && before.average[m.Endpoint.Addr] != nil {
					a = before.average[m.Endpoint.Addr]
				}
				p.average[m.Endpoint.Addr] = a
			}
			p.report = func(p *plain, i int, r core.Report) {
				if i < 0 || i >= len(p.members) || !everything && r.Latency <= 0 {
					return
				}
				a := p.average[p.members[i].Endpoint.Addr]
				if old := a.Load(); everything {
					a.Store(max(old, int64(r.Latency)))
				} else if old != 0 {
					a.Store(old - old/16 + int64(r.Latency)/16)
				} else {
					a.Store(int64(r.Latency))
				}
			}
			p.pick = func(p *plain, h core.Hint) int {
				i, j := p.good(h), p.good(h)
				cost := func(i int) int64 { return p.average[p.members[i].Endpoint.Addr].Load() }
				if i >= 0 && !h.Keyed && cost(j)/2 < cost(i)/2 {
					return j
				}
				return i
			}
			return p
		})
	}
}

func TestPromisesAreRead(t *testing.T) {
	var p promises
	for _, promise := range []Promise{Even(), Weighted(), Learns(), Keys(2), WeightedKeys(), Bounded(0.5, 7), Except("Even", "why")} {
		promise(&p)
	}
	if !p.even || !p.weighted || !p.learns || p.moves != 2 || !p.weightedKeys || p.excess != 0.5 || p.spare != 7 || p.except["Even"] != "why" {
		t.Errorf("%+v", p)
	}
	for _, r := range rules() {
		if r.applies != nil && (!r.applies(&p) || r.applies(new(promises))) {
			t.Errorf("%s applies without its promise, or not with it", r.name)
		}
	}
}
