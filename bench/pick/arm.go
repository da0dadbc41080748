package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/balancer/roundrobin"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/bench/internal/choice"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// picking is a picker with its endpoints.
type picking interface {
	// call picks an endpoint for a call and ends the call, that many times.
	call(times int) error
}

// arm is a way to pick among n endpoints, each of which has busy calls in flight that do not end.
type arm struct {
	name string
	open func(n, busy int) (picking, error)
}

const (
	ours = "multipool"
	peer = "grpc-go least_request"
)

func arms() []arm {
	return []arm{
		{ours, openMultipool},
		{peer, openGRPC(leastrequest.Name)},
		{"grpc-go round_robin", openGRPC(roundrobin.Name)},
		{"httplb power of two", openHTTPLB},
	}
}

var errNone = errors.New("none picked")

func addr(i int) string { return fmt.Sprintf("10.0.%d.%d:1", i/256, i%256) }

// members returns n endpoints.
func members(n int) ([]balance.Member, []*balancetest.Load) {
	all, loads := make([]balance.Member, n), make([]*balancetest.Load, n)
	for i := range n {
		all[i], loads[i] = balancetest.NewMember(discovery.Endpoint{Addr: addr(i)})
	}
	return all, loads
}

// multipool is the picker and what the pool does for it: count the calls in flight, report each of them, and tick.
type multipool struct {
	picker    balance.Picker
	ticker    balance.Ticker
	members   []balance.Member
	loads     []*balancetest.Load
	latencies [batch]time.Duration // of answers: 1 to 2 ms
	began     time.Time
	ticked    time.Duration
}

// openMultipool reports an answer of each endpoint first, since an endpoint without one has no cost.
func openMultipool(n, busy int) (picking, error) {
	all, loads := members(n)
	p := choice.Default().Build(nil, all)
	m := &multipool{picker: p, ticker: p.(balance.Ticker), members: all, loads: loads, began: time.Now()}
	for k := range m.latencies {
		m.latencies[k] = time.Millisecond + rand.N(time.Millisecond)
	}
	for i, l := range loads {
		for range busy {
			l.Begin()
		}
		p.Report(i, balance.Report{Outcome: balance.OutcomeOK, Latency: m.latencies[i%batch]})
	}
	m.ticker.Tick(0)
	return m, nil
}

func (m *multipool) call(times int) error {
	at := time.Since(m.began)
	if at-m.ticked >= 100*time.Millisecond { // as a pool does
		m.ticker.Tick(at)
		m.ticked = at
	}
	for k := range times {
		i := m.picker.Pick(balance.PickInfo{})
		if i < 0 {
			return errNone
		}
		m.loads[i].Begin()
		m.loads[i].End()
		m.picker.Report(i, balance.Report{Outcome: balance.OutcomeOK, Latency: m.latencies[k%batch], At: at})
	}
	return nil
}

// count does what least_request does: it picks and counts the call in and out.
func (m *multipool) count(times int) error {
	for range times {
		i := m.picker.Pick(balance.PickInfo{})
		if i < 0 {
			return errNone
		}
		m.loads[i].Begin()
		m.loads[i].End()
	}
	return nil
}

// pick only picks.
func (m *multipool) pick(times int) error {
	for range times {
		if m.picker.Pick(balance.PickInfo{}) < 0 {
			return errNone
		}
	}
	return nil
}
