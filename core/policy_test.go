package core_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/core"
)

// keyOf returns a key that belongs to owner among addrs.
func keyOf(owner string, addrs ...string) string {
	var members []balance.Member
	for _, a := range addrs {
		m, _ := balancetest.NewMember(core.Endpoint{Addr: a})
		members = append(members, m)
	}
	p := balance.LeastLatency(balance.LeastLatencyConfig{}).Build(nil, members)
	for k := 0; ; k++ {
		key := fmt.Sprint("key ", k)
		if members[p.Pick(balance.PickInfo{Key: key, Hash: balance.Hash(key), Keyed: true})].Endpoint.Addr == owner {
			return key
		}
	}
}

func TestLatencyOfStatsIsTheAverageOfAnswersUnderAnyBalancer(t *testing.T) {
	for name, b := range allBalancers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newFleet(t, "a:1", "b:1").pool(core.WithBalancer(b))
				a, b := get(t, p, core.WithEndpoint("a:1")), get(t, p, core.WithEndpoint("b:1"))
				if l := endpointStats(t, p, "a:1").Latency; l != 0 {
					t.Errorf("a latency of %v before the first report", l)
				}
				for range 100 {
					a.Report(balance.Report{Latency: 10 * time.Millisecond})
					b.Report(balance.Report{Latency: 30 * time.Millisecond})
					for _, o := range []balance.Outcome{balance.OutcomeFailure, balance.OutcomeNeutral, balance.OutcomeCanceled, balance.OutcomeOverload} {
						b.Report(balance.Report{Outcome: o, Latency: time.Minute})
						b.Report(balance.Report{Outcome: balance.OutcomeOK, Latency: 30 * time.Millisecond})
					}
					b.Report(balance.Report{}) // not measured
					time.Sleep(100 * time.Millisecond)
				}
				for addr, want := range map[string]time.Duration{"a:1": 10 * time.Millisecond, "b:1": 30 * time.Millisecond} {
					if got := endpointStats(t, p, addr).Latency; got < want-time.Microsecond || got > want {
						t.Errorf("%s: an average of %v, want %v", addr, got, want)
					}
				}
				release(t, a, b)
			})
		})
	}
}
