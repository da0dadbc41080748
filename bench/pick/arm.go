package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/balancer/roundrobin"

	"github.com/minicaptain/multi_connection_pool/core"
)

// picking is one picker with its endpoints.
type picking interface {
	// call picks for a call and ends it, so many times.
	call(times int) error
}

// arm is a way to pick among n endpoints, with so many calls in flight on each that do not end.
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

// standard is the balancer of a pool that was told nothing else.
func standard() core.Balancer {
	return core.Ejecting(core.LeastLatency(core.Latency{}), core.Ejection{})
}

var errNone = errors.New("none picked")

func addr(i int) string { return fmt.Sprintf("10.0.%d.%d:1", i/256, i%256) }

// members returns n endpoints.
func members(n int) (core.Snapshot, []*core.MemberLoad) {
	set, loads := core.Snapshot{Members: make([]core.Member, n)}, make([]*core.MemberLoad, n)
	for i := range n {
		set.Members[i], loads[i] = core.NewMember(core.Endpoint{Addr: addr(i)})
	}
	return set, loads
}

// multipool is the picker and what the pool does for it: it counts the calls in flight, reports each, and ticks.
type multipool struct {
	picker    core.Picker
	ticker    core.Ticker
	members   []core.Member
	loads     []*core.MemberLoad
	latencies [batch]time.Duration // of answers: 1 to 2 ms
	began     time.Time
	ticked    time.Duration
}

// openMultipool lets each endpoint answer before, as otherwise none has a cost.
func openMultipool(n, busy int) (picking, error) {
	set, loads := members(n)
	p := standard().Build(nil, set)
	m := &multipool{picker: p, ticker: p.(core.Ticker), members: set.Members, loads: loads, began: time.Now()}
	for k := range m.latencies {
		m.latencies[k] = time.Millisecond + rand.N(time.Millisecond)
	}
	for i, l := range loads {
		for range busy {
			l.Begin()
		}
		p.Report(i, core.Report{Class: core.OK, Latency: m.latencies[i%batch]})
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
		i := m.picker.Pick(core.Hint{})
		if i < 0 {
			return errNone
		}
		m.loads[i].Begin()
		m.loads[i].End()
		m.picker.Report(i, core.Report{Class: core.OK, Latency: m.latencies[k%batch], At: at})
	}
	return nil
}

// count does what least_request does: it picks, and counts the call in and out.
func (m *multipool) count(times int) error {
	for range times {
		i := m.picker.Pick(core.Hint{})
		if i < 0 {
			return errNone
		}
		m.loads[i].Begin()
		m.loads[i].End()
	}
	return nil
}

// pick does the choice alone.
func (m *multipool) pick(times int) error {
	for range times {
		if m.picker.Pick(core.Hint{}) < 0 {
			return errNone
		}
	}
	return nil
}
