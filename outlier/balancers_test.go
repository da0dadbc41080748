package outlier_test

import (
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// A detector marks its members, and every balancer reads the mark: neither knows
// the other. A test of package core has all balancers.
func TestDetectorWorksOverAnyBalancer(t *testing.T) {
	for name, b := range map[string]balance.Balancer{
		"one that learns": balance.LeastLatency(balance.LeastLatencyConfig{}),
		"one that hashes": balance.Maglev(),
		"one that wraps":  balance.ZoneAware("a", balance.PeakEWMA()),
		"one of the test": turns{},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(equal(5)...)
			p := b.Build(nil, f.members)
			broken := false
			// call makes one call a millisecond for d and returns how many of
			// them endpoint 0 got, probes aside, and how many probes there were.
			// Every second call has a key, so that balancers which avoid an
			// endpoint by themselves call it too.
			call := func(d time.Duration) (calls, probes int) {
				for end := f.now + d; f.now < end; f.now += ms {
					if f.now%(100*ms) == 0 {
						f.Tick(f.now)
						if t, ok := p.(balance.Ticker); ok {
							t.Tick(f.now)
						}
					}
					i := f.Probe()
					if i >= 0 {
						probes++
					} else if i = p.Pick(balance.PickInfo{Hash: f.r.Uint64(), Keyed: f.now/ms%2 == 0}); i == 0 {
						calls++
					}
					r := balance.Report{Latency: ms, At: f.now}
					if broken && i == 0 {
						r.Outcome = balance.OutcomeFailure
					}
					p.Report(i, r)
					f.Report(i, r.Outcome, f.now)
				}
				return calls, probes
			}
			if calls, probes := call(10 * time.Second); calls == 0 || probes != 0 {
				t.Fatalf("%d calls to a healthy endpoint, %d probes", calls, probes)
			}
			broken = true
			if calls, _ := call(time.Second); calls == 0 || calls > 50 || !f.ejected(0) {
				t.Errorf("a second of failures: %d calls, ejected: %v", calls, f.ejected(0))
			}
			if calls, probes := call(5 * time.Second); calls != 0 || probes < 5 {
				t.Errorf("while it was ejected it got %d calls and %d probes", calls, probes)
			}
			broken = false
			call(10 * time.Second)
			if calls, _ := call(10 * time.Second); calls == 0 || f.ejected(0) {
				t.Errorf("healthy again: %d calls, ejected: %v", calls, f.ejected(0))
			}
			if want := []string{"0 ejected", "0 readmitted"}; !slices.Equal(f.changes, want) {
				t.Errorf("changes %v, want %v", f.changes, want)
			}
		})
	}
}

// turns is a balancer of the least kind: the available endpoints in turn.
type turns struct{}

func (turns) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	return &turnsPicker{members: members}
}

type turnsPicker struct {
	members []balance.Member
	k       int
}

func (p *turnsPicker) Pick(balance.PickInfo) int {
	for range p.members {
		p.k = (p.k + 1) % len(p.members)
		if !p.members[p.k].Unavailable() {
			break
		}
	}
	return p.k
}

func (*turnsPicker) Report(int, balance.Report) {}
