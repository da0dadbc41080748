package choice

import (
	"fmt"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

const ms = time.Millisecond

// inTurn picks the members in turn, available or not, and counts what it is told.
type inTurn struct{ n, picks, reports, ticks int }

func (p *inTurn) Build(_ balance.Picker, members []balance.Member) balance.Picker {
	p.n = len(members)
	return p
}

func (p *inTurn) Pick(balance.PickInfo) int {
	p.picks++
	return p.picks % p.n
}

func (p *inTurn) Report(int, balance.Report) { p.reports++ }
func (p *inTurn) Tick(time.Duration)         { p.ticks++ }

func members(n int) []balance.Member {
	all := make([]balance.Member, n)
	for i := range all {
		all[i], _ = balancetest.NewMember(discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", i+1)})
	}
	return all
}

// outcomes reports calls to all members in turn, of which those to bad fail, until end.
func outcomes(p balance.Picker, n, bad int, from, to time.Duration) {
	for at := from; at < to; at += ms {
		for i := range n {
			r := balance.Report{Latency: ms, At: at}
			if i == bad {
				r.Outcome = balance.OutcomeFailure
			}
			p.Report(i, r)
		}
	}
	p.(balance.Ticker).Tick(to)
}

func TestRetryAvoidsAnEndpointThatFails(t *testing.T) {
	all := members(4)
	p := detecting{new(inTurn)}.Build(nil, all)
	outcomes(p, 4, -1, 0, 10*ms)
	p.Report(2, balance.Report{Outcome: balance.OutcomeFailure, Latency: ms, At: 10 * ms})
	if all[2].Unavailable() {
		t.Fatal("one failure has ejected an endpoint")
	}
	first, again := 0, 0
	for range 100 {
		if p.Pick(balance.PickInfo{}) == 2 {
			first++
		}
		if p.Pick(balance.PickInfo{Retry: true}) == 2 {
			again++
		}
	}
	if first == 0 || again > 0 {
		t.Errorf("%d first attempts and %d retries went to an endpoint that fails, want some and none", first, again)
	}
}

func TestOneCallIsTheProbeOfAnEjectedEndpoint(t *testing.T) {
	all, inner := members(4), new(inTurn)
	p := detecting{inner}.Build(nil, all)
	outcomes(p, 4, 2, 0, 100*ms)
	if !all[2].Unavailable() {
		t.Fatal("an endpoint that fails all its calls is not ejected")
	}
	p.(balance.Ticker).Tick(time.Second)
	for _, info := range []balance.PickInfo{{Keyed: true}, {Retry: true}} {
		if want := inner.picks + 1; p.Pick(info) != want%4 {
			t.Errorf("a call with %+v was not for the balancer to decide", info)
		}
	}
	before := inner.picks
	if i := p.Pick(balance.PickInfo{}); i != 2 || inner.picks != before {
		t.Errorf("the probe went to endpoint %d", i)
	}
	if p.Pick(balance.PickInfo{}); inner.picks == before {
		t.Error("there were two probes at the same time")
	}
}

func TestReportsAndTicksReachTheBalancer(t *testing.T) {
	inner := new(inTurn)
	p := detecting{inner}.Build(nil, members(3))
	outcomes(p, 3, -1, 0, 10*ms)
	if inner.reports != 30 || inner.ticks != 1 {
		t.Errorf("%d reports and %d ticks, want 30 and 1", inner.reports, inner.ticks)
	}
}

func TestEndpointThatStaysStaysEjected(t *testing.T) {
	all := members(5)
	d := detecting{new(inTurn)}
	p := d.Build(nil, all[:4])
	outcomes(p, 4, 2, 0, 100*ms)
	p = d.Build(p, all)
	p.(balance.Ticker).Tick(time.Second)
	if i := p.Pick(balance.PickInfo{}); i != 2 {
		t.Errorf("in the next set the probe went to endpoint %d, want the ejected one", i)
	}
}
