// Package choice chooses servers as a pool does, without the pool: a balancer's picker, with outlier detection run
// beside it. The simulation and the timing of the choice share it, so that both are of what package core does in
// get.go and snapshot.go.
package choice

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// Default returns the choice of a pool with default options, as a balancer: [balance.LeastLatency] with outlier
// detection. Like that of a pool, its pickers must see time pass: they implement [balance.Ticker].
func Default() balance.Balancer {
	return detecting{balance.LeastLatency(balance.LeastLatencyConfig{})}
}

// picks is how many picks a retry has to come upon an endpoint that does not fail.
const picks = 3

type detecting struct{ balancer balance.Balancer }

func (d detecting) Build(previous balance.Picker, members []balance.Member) balance.Picker {
	var before picker
	if p, ok := previous.(*picker); ok {
		before = *p
	}
	p := &picker{Picker: d.balancer.Build(before.Picker, members)}
	p.detector = outlier.New(outlier.Config{}, before.detector, members, func(outlier.Notice) {})
	return p
}

// picker is a picker with its detector.
type picker struct {
	balance.Picker
	detector *outlier.Detector
}

// Pick returns an ejected endpoint that is due for a probe, unless the call has a key or has failed already, else what
// the balancer says. A call that has failed goes where others have not failed.
func (p *picker) Pick(info balance.PickInfo) int {
	switch {
	case info.Keyed:
	case !info.Retry:
		if i := p.detector.Probe(); i >= 0 {
			return i
		}
	default:
		for range picks - 1 {
			if i := p.Picker.Pick(info); !p.detector.Failing(i) {
				return i
			}
		}
	}
	return p.Picker.Pick(info)
}

// Report reports to the detector and to the picker.
func (p *picker) Report(i int, r balance.Report) {
	p.detector.Report(i, r.Outcome, r.At)
	p.Picker.Report(i, r)
}

// Tick lets both see time pass.
func (p *picker) Tick(now time.Duration) {
	p.detector.Tick(now)
	if t, ok := p.Picker.(balance.Ticker); ok {
		t.Tick(now)
	}
}
