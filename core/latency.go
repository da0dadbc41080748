package core

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
)

// Latency is the parameters of [LeastLatency]. A field that is zero, or makes no
// sense, has its default. What the defaults lead to beside other policies is in
// bench/policy/RESULTS.md, which they were chosen by, unless a source is given.
type Latency struct {
	// Choices is how many endpoints a call looks at, all different; all of them
	// if there are no more. The default is eight, which is also the most. Two
	// are the classic (Mitzenmacher, "The Power of Two Choices in Randomized
	// Load Balancing", IEEE TPDS 12(10), 2001); more find the fast ones sooner,
	// and herd no more as long as they see the calls in flight.
	Choices int
	// Window is the time constant of the average latency, in which an answer
	// counts for at least 1/32. The default is 2 s. Less follows sooner, more is
	// steadier; Finagle's peak EWMA has 10 s, but takes a peak at once.
	Window time.Duration
	// Relax is the time constant in which an endpoint without calls returns to
	// the fleet's latency, since nobody would try it again otherwise, and how
	// often one that answers nothing is tried. The default is 15 s; sooner
	// where there are so many calls that trying a slow endpoint costs no more
	// than about one in a thousand.
	Relax time.Duration
	// Clip is the most that one answer counts for, in averages of its endpoint,
	// so that one slow answer shuts no endpoint out. The default is 8; above 1.
	Clip float64
	// Band is the factor within which latencies, give or take 100 µs, count as
	// equal to the fleet's where calls seldom meet at an endpoint, so that the
	// noise of averages makes no favourite among equal servers. Where they do
	// meet, calls in flight correct that, and the band closes. The default is
	// 1.5; 1 is no band.
	Band float64
	// Penalty is the least latency of a failed call, in latencies of the fleet:
	// a server that fails at once would else be the fastest of all. The default
	// is 4; from 1 to 64, which is what failures in a row lead to in the end.
	Penalty float64
	// SlowStart is how long the share of an endpoint that is new, or was out,
	// grows from about a tenth to the whole, as in Envoy's slow start: it is ten
	// times as dear for ever fewer moments of 100 ms. It is not for a fleet more
	// than half of which is new. The default is not at all: a new endpoint gets
	// no more calls at once than the others have in flight, and its first slow
	// answers make it dear. It is for servers that fall over when they are cold,
	// and it is time in which the others do their work.
	SlowStart time.Duration
}

// maxLoad is what the load counts for that a server reports, at most.
const maxLoad = 100

func (l Latency) config() policy.Config {
	c := policy.Default()
	if l.Choices > 0 {
		c.Choices = min(l.Choices, policy.MaxChoices)
	}
	if l.Window > 0 {
		c.Window = l.Window
	}
	if l.Relax > 0 {
		c.Relax = l.Relax
	}
	if l.Clip > 1 {
		c.Clip = l.Clip
	}
	if l.Band >= 1 {
		c.Band = l.Band
	}
	if l.Penalty >= 1 && l.Penalty <= policy.Worst {
		c.Penalty = l.Penalty
	}
	c.SlowStart = max(0, l.SlowStart)
	return c
}

// LeastLatency returns a balancer that chooses the endpoint where the answer is
// expected soonest: the least of a few random ones by average latency times
// calls in flight over weight. A call with a key goes to the endpoint of the
// highest random weight (rendezvous hashing). See DESIGN.md.
//
// The default balancer of a pool is Ejecting(LeastLatency(Latency{}), Ejection{}).
func LeastLatency(l Latency) Balancer { return leastLatency{l.config()} }

// leastLatency is package policy behind the contract.
type leastLatency struct{ cfg policy.Config }

func (b leastLatency) Build(previous Picker, set Snapshot) Picker {
	members := make([]policy.Member, len(set.Members))
	for i, m := range set.Members {
		members[i] = policy.Member{Key: m.Endpoint.Addr, Weight: m.Weight(), Load: m.load}
	}
	before, _ := previous.(latencyPicker)
	return latencyPicker{policy.New(b.cfg, before.policy, members)}
}

type latencyPicker struct{ policy *policy.Picker }

func (p latencyPicker) Pick(h Hint) int {
	if h.Keyed {
		return p.policy.PickKey(h.Key)
	}
	return p.policy.Pick()
}

func (p latencyPicker) Report(i int, r Report) {
	switch r.Class {
	case OK:
		if r.Load > 0 {
			r.Latency = time.Duration(float64(r.Latency) * (1 + min(r.Load, maxLoad)))
		}
		p.policy.Report(i, policy.Answered, r.Latency, r.At)
	case Failure, Overload:
		p.policy.Report(i, policy.Failed, r.Latency, r.At)
	case Cancelled:
		p.policy.Report(i, policy.AtLeast, r.Latency, r.At)
	case Ignored, DialFailure: // a server that cannot be dialed is marked down by its sub-pool
	}
}

func (p latencyPicker) Tick(now time.Duration) { p.policy.Tick(now) }
