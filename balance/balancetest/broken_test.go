package balancetest

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// plain is the simplest picker that fulfills the contract. A test replaces a
// part of it with a mistake.
type plain struct {
	members []balance.Member
	pick    func(p *plain, info balance.PickInfo) int
	report  func(p *plain, i int, r balance.Report)
	tick    func(p *plain, now time.Duration)
	average map[string]*atomic.Int64
	state   atomic.Int64
}

func (p *plain) Pick(info balance.PickInfo) int {
	if p.pick != nil {
		return p.pick(p, info)
	}
	return p.good(info)
}

func (p *plain) Report(i int, r balance.Report) {
	if p.report != nil {
		p.report(p, i, r)
	}
}

func (p *plain) Tick(now time.Duration) {
	if p.tick != nil {
		p.tick(p, now)
	}
}

// good picks at random, and keyed calls by the highest random weight.
func (p *plain) good(info balance.PickInfo) int {
	best, top := -1, uint64(0)
	for i := range p.members {
		x := rand.Uint64()>>1 | 1
		if info.Keyed {
			x = p.mix(info.Hash, i)>>1 | 1
		}
		if !p.members[i].Unavailable() {
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

type builder func(previous balance.Picker, members []balance.Member) balance.Picker

func (b builder) Build(previous balance.Picker, members []balance.Member) balance.Picker {
	return b(previous, members)
}

// with returns a plain balancer whose pickers change replaces parts of.
func with(change func(p *plain)) func() balance.Balancer {
	return func() balance.Balancer {
		return builder(func(_ balance.Picker, members []balance.Member) balance.Picker {
			p := &plain{members: members}
			if change != nil {
				change(p)
			}
			return p
		})
	}
}

func picking(f func(p *plain, info balance.PickInfo) int) func() balance.Balancer {
	return with(func(p *plain) { p.pick = f })
}

// keyed replaces Pick for calls with a key.
func keyed(f func(p *plain, key uint64) int) func() balance.Balancer {
	return picking(func(p *plain, info balance.PickInfo) int {
		if info.Keyed && len(p.members) > 0 {
			return f(p, info.Hash)
		}
		return p.good(info)
	})
}

// all has all properties.
var all = Properties{Even: true, Weighted: true, AvoidsSlow: true, WeightedKeys: true, MaxKeyMoves: 1.5, LoadBound: 0.25}

func TestSimplestBalancerPasses(t *testing.T) {
	Run(t, with(nil), Properties{Even: true, MaxKeyMoves: 1})
}

func TestBrokenBalancersAreCaught(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	sink := atomic.Pointer[[]int]{}
	canFail := make(map[string]bool) // rules that catch a broken balancer
	for _, c := range []struct {
		name        string
		newBalancer func() balance.Balancer
		caughtBy    string // rules
		wantErr     string // part of the error of one of these rules
	}{
		{
			name:        "counts from one",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int { return p.good(info) + 1 }),
			caughtBy:    "InRange AllUnavailable", wantErr: "of 1 members returned 1",
		},
		{
			name: "returns no picker for no members",
			newBalancer: func() balance.Balancer {
				return builder(func(balance.Picker, []balance.Member) balance.Picker { return nil })
			},
			caughtBy: "InRange NoMembers NoSideEffects", wantErr: "Build returned nil",
		},
		{
			name:        "divides by the number of members",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int { return int(info.Hash % uint64(len(p.members))) }),
			caughtBy:    "NoMembers AvoidsUnavailable", wantErr: "panic: runtime error: integer divide by zero",
		},
		{
			name: "takes the previous picker for one of its own",
			newBalancer: func() balance.Balancer {
				return builder(func(previous balance.Picker, members []balance.Member) balance.Picker {
					if previous != nil {
						_ = previous.(*plain) //nolint:forcetypeassert // the mistake
					}
					return &plain{members: members}
				})
			},
			caughtBy: "NoMembers", wantErr: "panic: interface conversion",
		},
		{
			name: "reuses what the previous picker uses",
			newBalancer: func() balance.Balancer {
				var shared []balance.Member
				return builder(func(_ balance.Picker, members []balance.Member) balance.Picker {
					shared = members
					return &plain{pick: func(_ *plain, info balance.PickInfo) int {
						i := (&plain{members: shared}).good(info)
						if len(shared) < 3 {
							return -1
						}
						return i
					}}
				})
			},
			caughtBy: "NoSideEffects", wantErr: "after the next Build",
		},
		{
			name: "sorts the pool's members",
			newBalancer: func() balance.Balancer {
				return builder(func(_ balance.Picker, members []balance.Member) balance.Picker {
					slices.SortFunc(members, func(a, b balance.Member) int { return strings.Compare(b.Endpoint.Addr, a.Endpoint.Addr) })
					return &plain{members: members}
				})
			},
			caughtBy: "NoSideEffects", wantErr: "member 0 was",
		},
		{
			name: "collects candidates in a slice",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int {
				s := make([]int, len(p.members))
				sink.Store(&s)
				return p.good(info)
			}),
			caughtBy: "NoAllocation", wantErr: "allocations",
		},
		{
			name:        "ignores unavailable members",
			newBalancer: picking(func(p *plain, _ balance.PickInfo) int { return rand.IntN(max(len(p.members), 1)) }),
			caughtBy:    "AvoidsUnavailable KeysStay", wantErr: "is unavailable and was picked",
		},
		{
			name: "gives up after four tries",
			newBalancer: keyed(func(p *plain, key uint64) int {
				for range 4 {
					if i := int(key % uint64(len(p.members))); !p.members[i].Unavailable() {
						return i
					}
					key = key*0x9e3779b97f4a7c15 + 1
				}
				return int(key % uint64(len(p.members)))
			}),
			caughtBy: "AvoidsUnavailable", wantErr: "is unavailable and was picked",
		},
		{
			name: "prefers an unavailable member to a busy one",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int {
				i := p.good(info)
				if i >= 0 && p.members[i].InFlight() >= 1000 {
					return slices.IndexFunc(p.members, func(m balance.Member) bool { return m.InFlight() < 1000 })
				}
				return i
			}),
			caughtBy: "AvoidsUnavailable", wantErr: "and busy",
		},
		{
			name: "waits until a member is available",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int {
				i := p.good(info)
				if i >= 0 && p.members[i].Unavailable() {
					<-release
				}
				return i
			}),
			caughtBy: "AllUnavailable", wantErr: "does not return",
		},
		{
			name: "avoids a member for ever",
			newBalancer: with(func(p *plain) {
				var was [16]atomic.Bool
				p.tick = func(p *plain, _ time.Duration) {
					for i := range min(len(p.members), len(was)) {
						if p.members[i].Unavailable() {
							was[i].Store(true)
						}
					}
				}
				p.pick = func(p *plain, info balance.PickInfo) int {
					for range 100 {
						if i := p.good(balance.PickInfo{}); i < 0 || i >= len(was) || !was[i].Load() {
							return i
						}
					}
					return p.good(info)
				}
			}),
			caughtBy: "AvailableAgain", wantErr: "was unavailable for a while, and then got 0",
		},
		{
			name: "counts weights in whole numbers",
			newBalancer: func() balance.Balancer {
				return builder(func(_ balance.Picker, members []balance.Member) balance.Picker {
					total := 0
					for _, m := range members {
						total += int(m.Weight())
					}
					return &plain{members: members, pick: func(p *plain, info balance.PickInfo) int {
						if len(p.members) > 0 {
							_ = rand.IntN(total)
						}
						return p.good(info)
					}}
				})
			},
			caughtBy: "ExtremeWeights", wantErr: "panic: invalid argument to IntN",
		},
		{
			name: "prefers one member",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int {
				if i := p.good(info); info.Keyed || i != 1 || rand.IntN(4) > 0 {
					return i
				}
				return p.good(info)
			}),
			caughtBy: "Even", wantErr: "which is not random",
		},
		{
			name: "picks the member after an unavailable one twice",
			newBalancer: picking(func(p *plain, info balance.PickInfo) int {
				n := int64(len(p.members))
				if info.Keyed || n == 0 {
					return p.good(info)
				}
				i := p.state.Add(1) % n
				if p.members[i].Unavailable() {
					i = (i + 1) % n
				}
				if p.members[i].Unavailable() {
					return p.good(info)
				}
				return int(i)
			}),
			caughtBy: "Even", wantErr: "every other member is unavailable",
		},
		{
			name:        "ignores weights",
			newBalancer: with(nil),
			caughtBy:    "Weighted WeightedKeys", wantErr: "of weight 1 got",
		},
		{
			name: "hashes to an index",
			newBalancer: keyed(func(p *plain, key uint64) int {
				for range p.members {
					if i := int(key % uint64(len(p.members))); !p.members[i].Unavailable() {
						return i
					}
					key++
				}
				return int(key % uint64(len(p.members)))
			}),
			caughtBy: "KeysStay KeysMove KeysOfUnavailable", wantErr: "the members have another order",
		},
		{
			name: "hashes differently in each process",
			newBalancer: with(func(p *plain) {
				seed := rand.Uint64()
				p.pick = func(p *plain, info balance.PickInfo) int {
					info.Hash ^= seed
					return p.good(info)
				}
			}),
			caughtBy: "KeysStay", wantErr: "moved from",
		},
		{
			name: "has ten keys in all",
			newBalancer: keyed(func(p *plain, key uint64) int {
				return p.good(balance.PickInfo{Hash: key % 10, Keyed: true})
			}),
			caughtBy: "KeysSpread KeysOfUnavailable", wantErr: "moved to",
		},
		{
			name:        "has no bound",
			newBalancer: with(nil),
			caughtBy:    "LoadBound", wantErr: "got its call number 5, want at most",
		},
		{
			name: "does not check the index of a report",
			newBalancer: with(func(p *plain) {
				p.report = func(p *plain, i int, _ balance.Report) { _ = p.members[i] }
			}),
			caughtBy: "InvalidReports NoMembers", wantErr: "index out of range",
		},
		{name: "does not check the latency of a report", newBalancer: learning(true, true), caughtBy: "InvalidReports", wantErr: "after three minutes of good answers"},
		{name: "forgets latencies with each set", newBalancer: learning(false, false), caughtBy: "AvoidsSlow", wantErr: "after another one had joined"},
		{name: "ignores latencies", newBalancer: with(nil), caughtBy: "AvoidsSlow", wantErr: "is 50 times slower"},
		{
			name: "has no answer during Tick",
			newBalancer: with(func(p *plain) {
				p.tick = func(p *plain, _ time.Duration) {
					p.state.Store(1)
					time.Sleep(time.Millisecond) // long enough for a concurrent pick
					p.state.Store(0)
				}
				p.pick = func(p *plain, info balance.PickInfo) int {
					if p.state.Load() != 0 {
						return -1
					}
					return p.good(info)
				}
			}),
			caughtBy: "Concurrent", wantErr: "concurrent Pick returned -1",
		},
	} {
		for name := range strings.FieldsSeq(c.caughtBy) {
			canFail[name] = true
		}
		t.Run(c.name, func(t *testing.T) {
			timeout := checkTimeout
			if strings.Contains(c.wantErr, "does not return") {
				timeout = 100 * time.Millisecond
			}
			errs := ""
			for name := range strings.FieldsSeq(c.caughtBy) {
				i := slices.IndexFunc(rules(), func(r rule) bool { return r.name == name })
				if i < 0 {
					t.Fatalf("there is no rule %s", name)
				}
				err := rules()[i].run(c.newBalancer, all, timeout)
				if err == nil {
					t.Errorf("%s did not catch the mistake", name)
					continue
				}
				errs += err.Error() + "\n"
			}
			if !strings.Contains(errs, c.wantErr) {
				t.Errorf("no rule failed with %q:\n%s", c.wantErr, errs)
			}
		})
	}
	for _, rule := range rules() {
		if !canFail[rule.name] {
			t.Errorf("no broken balancer shows that rule %s can fail", rule.name)
		}
	}
}

// learning returns a balancer that keeps an average of the latencies.
func learning(remembers, everything bool) func() balance.Balancer {
	return func() balance.Balancer {
		return builder(func(previous balance.Picker, members []balance.Member) balance.Picker {
			p := &plain{members: members, average: map[string]*atomic.Int64{}}
			before, _ := previous.(*plain)
			for _, m := range members {
				a := new(atomic.Int64)
				if remembers && before != nil && before.average[m.Endpoint.Addr] != nil {
					a = before.average[m.Endpoint.Addr]
				}
				p.average[m.Endpoint.Addr] = a
			}
			p.report = func(p *plain, i int, r balance.Report) {
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
			p.pick = func(p *plain, info balance.PickInfo) int {
				i, j := p.good(info), p.good(info)
				cost := func(i int) int64 { return p.average[p.members[i].Endpoint.Addr].Load() }
				if i >= 0 && !info.Keyed && cost(j)/2 < cost(i)/2 {
					return j
				}
				return i
			}
			return p
		})
	}
}

func TestASkipNamesTheMissingProperty(t *testing.T) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Properties]()) {
		i := slices.IndexFunc(rules(), func(r rule) bool { return r.property == field.Name })
		if i < 0 {
			t.Errorf("no rule tests property %s", field.Name)
			continue
		}
		if got, want := rules()[i].skipReason(Properties{}), "Properties."+field.Name+" is not set"; got != want {
			t.Errorf("without the property, the reason to skip is %q, want %q", got, want)
		}
		if got := rules()[i].skipReason(all); strings.Contains(got, field.Name) {
			t.Errorf("with the property, the reason to skip is %q", got)
		}
	}
}

func TestRulesHaveNamesAndDescriptions(t *testing.T) {
	seen := make(map[string]bool)
	for _, rule := range rules() {
		if seen[rule.name] || rule.description == "" {
			t.Errorf("rule %q has the name of another, or no description", rule.name)
		}
		seen[rule.name] = true
	}
}
