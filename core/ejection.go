package core

import (
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/eject"
	"github.com/minicaptain/multi_connection_pool/core/internal/policy"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Ejection is the parameters of [Ejecting]. A field that is zero, or makes no
// sense, has its default.
//
// The evidence against an endpoint is a cumulative sum (Page, "Continuous
// Inspection Schemes", Biometrika 41, 1954) of log-likelihood ratios between two
// failure rates: that of the other endpoints in service, and midway between that
// and 1. What the defaults lead to beside other policies is in
// bench/policy/RESULTS.md.
type Ejection struct {
	// Odds is how much likelier "broken" than "as good as the others" the
	// outcomes of an endpoint's calls must be for an ejection. The default is
	// ten million: three calls that fail in a row where the others answer,
	// about a dozen where every third fails. At least 2. More is slower, less
	// ejects servers that had bad luck: by default, and where every hundredth
	// call to any server fails, about one in ten million calls.
	//
	// Whatever the odds, nobody is ejected while most of the others fail too,
	// or before three others, or as many as there are, have been heard from
	// since it began to fail; where nobody calls them, after 250 ms. And where a
	// failure took so long, as a timeout does, that the default balancer sends
	// the endpoint no calls, it is ejected for that one once it has missed
	// twenty which were its share, so that it is tried on time.
	Odds float64
	// MaxShare is the largest part of the fleet's weight that may be out of
	// service, servers that cannot be dialed included; beyond it all are used,
	// as with the panic threshold of Envoy, whose default is the same. The
	// default is 0.5, and it is below 1: the last endpoint is never ejected.
	MaxShare float64
	// Normal is the failure rate below which nobody is worse than the others:
	// that of the others is taken for at least that. The default is 0.002.
	Normal float64
	// Window is the time constant in which failure rates are forgotten. The
	// default is 20 s: long beside the few calls that an ejection takes, so
	// that an outage of all is not yet what is normal.
	Window time.Duration
	// Shortest is the time until an ejected endpoint is tried again, with one
	// call at a time, less up to a quarter at random. It is that while the
	// outage lasts for no more than eight times as long; then it is as long as
	// the outage until now, or up to half longer, which doubles it each time
	// and more: a try of a server that is still broken is a call that fails. A
	// try that takes longer to fail is followed by a rest as long. The
	// default is 400 ms.
	Shortest time.Duration
	// Longest bounds that time. The default is 30 s, as is that of gRPC's
	// outlier detection (gRFC A50) for its first ejection.
	Longest time.Duration
	// Successes is how many tries must succeed, one after the other, to bring
	// the endpoint back; half of the evidence is kept. The default is 2: one
	// may be luck, also at a server that fails every other call.
	Successes int
}

func (e Ejection) config() eject.Config {
	c := eject.Default()
	if e.Odds >= 2 {
		c.Odds = e.Odds
	}
	if e.MaxShare > 0 && e.MaxShare < 1 {
		c.MaxShare = e.MaxShare
	}
	if e.Normal > 0 && e.Normal < 1 {
		c.Normal = e.Normal
	}
	if e.Window > 0 {
		c.Window = e.Window
	}
	if e.Successes > 0 {
		c.Successes = e.Successes
	}
	if e.Shortest > 0 {
		c.Shortest = e.Shortest
	}
	c.Longest = max(c.Longest, c.Shortest)
	if e.Longest > 0 {
		c.Longest = max(e.Longest, c.Shortest)
	}
	return c
}

// Ejecting returns a balancer that chooses as b does, but takes endpoints out
// of service whose calls end with [Failure] while those of the others do not:
// they are [Member.Out] until single calls to them have succeeded.
//
// The default balancer of a pool is Ejecting(LeastLatency(Latency{}), Ejection{}).
func Ejecting(b Balancer, e Ejection) Balancer { return &ejecting{inner: b, cfg: e.config()} }

type ejecting struct {
	inner Balancer
	cfg   eject.Config
	// tell is the pool's, if there is one.
	tell func(l *slots.Load, c eject.Change)
}

func (b *ejecting) Build(previous Picker, set Snapshot) Picker {
	p := &ejectingPicker{}
	before, _ := previous.(*ejectingPicker)
	var ejector *eject.Ejector
	var inner Picker
	if before != nil {
		ejector, inner = before.ejector, before.inner
	}
	if p.inner = b.inner.Build(inner, set); p.inner == nil {
		return nil
	}
	if d, ok := p.inner.(latencyPicker); ok {
		p.fast = d.policy
	}
	members := make([]eject.Member, len(set.Members))
	for i, m := range set.Members {
		members[i] = eject.Member{Weight: m.Weight(), Load: m.load}
	}
	tell := b.tell
	if tell == nil {
		tell = func(*slots.Load, eject.Change) {}
	}
	p.ejector = eject.New(b.cfg, ejector, members, tell)
	return p
}

type ejectingPicker struct {
	inner   Picker
	fast    *policy.Picker // inner, if that is the default
	ejector *eject.Ejector
}

func (p *ejectingPicker) Pick(h Hint) int {
	switch {
	case h.Keyed:
	case h.Again:
		for range picks - 1 { // no experiments with a call that has failed already
			if i := p.inner.Pick(h); !p.ejector.Sick(i) {
				return i
			}
		}
	default:
		if i := p.ejector.Probe(); i >= 0 {
			return i
		}
	}
	return p.inner.Pick(h)
}

func (p *ejectingPicker) Report(i int, r Report) {
	switch r.Class {
	case OK:
		p.ejector.Report(i, false, r.At)
	case Failure:
		p.ejector.Report(i, true, r.At)
	case Overload, Ignored, Cancelled, DialFailure: // say nothing of whether it is broken
	}
	p.inner.Report(i, r)
}

func (p *ejectingPicker) Tick(now time.Duration) {
	p.ejector.Tick(now)
	if t, ok := p.inner.(Ticker); ok {
		t.Tick(now)
	}
}

// ejected takes note of a change of the ejector's.
func (p *pool) ejected(l *slots.Load, c eject.Change) {
	kinds := [...]EventKind{eject.Ejected: EndpointEjected, eject.Readmitted: EndpointReadmitted, eject.Spared: EndpointSpared}
	for _, s := range p.view.Load().subs {
		if &s.Load == l {
			p.event(Event{Kind: kinds[c], Endpoint: addr(s)})
		}
	}
	p.queue.KickAll() // what calls wait for may be elsewhere now
	if c == eject.Readmitted {
		p.announce()
	}
}
