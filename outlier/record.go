package outlier

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// state is where an endpoint stands.
type state uint32

const (
	inService state = iota
	ejected         // until its ejection time is over
	probing         // half-open: one call at a time
)

// record is what is known of an endpoint whose calls were reported, or that was ejected
// by hand; it outlives the detectors it is in. An endpoint without one is in service.
type record struct {
	// What an answer touches is together: on one cache line, or two.

	state atomic.Uint32
	// calls and fails count since the last tick.
	calls atomic.Uint64
	// answered and failed are when a call last did so.
	answered atomic.Int64
	// evidence and recent are float64 bits.
	evidence, recent atomic.Uint64

	failed atomic.Int64
	fails  atomic.Uint64
	// others is p0, float64 bits.
	others  atomic.Uint64
	failing atomic.Bool
	// began is when the evidence was last none, and the suspect counts are those
	// since then.
	began                      atomic.Int64
	suspectCalls, suspectFails atomic.Uint64

	// What follows is under the detectors' lock.

	// allCalls and allFails are the counts of the window, with forgetting.
	allCalls, allFails float64
	// since is when the outage began, back when the last one ended, until
	// when the endpoint is to be probed, soonest when it may be if others are needed.
	since, back, until, soonest time.Duration
	// probed is when the last probe was given out, to a tick, and successes how
	// many succeeded one after the other.
	probed     time.Duration
	successes  int
	probes     uint64 // that have ended since the ejection
	suppressed time.Duration
	// missed counts the calls that others got since its last one failed.
	missed float64
	// held is whether Eject has ejected it, which only Readmit ends.
	held bool
}

// record returns what is known of endpoint i, or nil.
func (d *Detector) record(i int) *record {
	n, _ := d.load(i).Detector.Load().(*record)
	return n
}

// recordOf returns the record of endpoint i, and makes it if there is none. The
// detectors before and after this one have the same.
func (d *Detector) recordOf(i int) *record {
	if n := d.record(i); n != nil {
		return n
	}
	d.load(i).Detector.CompareAndSwap(nil, newRecord(d.others.Load()))
	return d.record(i)
}

// newRecord returns the record of an endpoint that nothing is known of.
func newRecord(others uint64) *record {
	n := &record{suppressed: math.MinInt64 / 2, back: math.MinInt64 / 2}
	n.others.Store(others)
	return n
}

// load returns the state of endpoint i that the pool and the balancer share.
func (d *Detector) load(i int) *load.Load { return d.members[i].Load() }

func (d *Detector) addr(i int) string { return d.members[i].Endpoint.Addr }

// weightOf returns the weight of endpoint i, in weights of the heaviest, so that no sum
// of weights is infinite.
func (d *Detector) weightOf(i int) float64 { return d.members[i].Weight() / d.heaviest }

// cost is what a call to endpoint i costs; zero if the balancer knows no costs.
func (d *Detector) cost(i int) float64 { return float64(d.load(i).Cost.Load()) }

// failedLast reports whether the last call to n failed.
func (n *record) failedLast() bool { return n.failed.Load() > n.answered.Load() }

func (n *record) is() state { return state(n.state.Load()) }
