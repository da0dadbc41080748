// Package eject decides which endpoints are to be called no more for a while,
// since their calls fail and those of the others do not, and when they may
// return.
//
// Each endpoint has a cumulative sum (CUSUM: Page, "Continuous Inspection
// Schemes", Biometrika 41, 1954) of the evidence that it is broken: the log of
// how much likelier each outcome is if it fails p1 of its calls than if it
// fails p0 of them, as the others do, never below zero. A server that fails
// everything is out after three calls, one that fails every third after twelve,
// and one that fails as often as all the others never.
//
// The package knows no pool and no clock: time is a parameter, so that a
// simulation can drive it.
package eject

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
)

// Config is the parameters; Default has those that the pool begins with.
type Config struct {
	// Odds is how much likelier "broken" than "as good as the others" must be
	// for an ejection.
	Odds float64
	// MaxShare is the largest part of the fleet's weight that may be out of
	// service, those that cannot be dialed included.
	MaxShare float64
	// Shortest is the time until an ejected endpoint is tried again, for the
	// first eight times that long. Later it is as long as the outage until
	// then, but no longer than Longest.
	Shortest, Longest time.Duration
	// Successes is how many calls must succeed, one after the other, for a
	// return.
	Successes int
	// Normal is the least failure rate that an endpoint is compared with.
	Normal float64
	// Window is the memory of the failure rates.
	Window time.Duration
}

// Default is the pool's configuration.
func Default() Config {
	return Config{
		Odds: 1e7, MaxShare: 0.5, Shortest: 400 * time.Millisecond, Longest: 30 * time.Second, Successes: 2,
		Normal: 0.002, Window: 20 * time.Second,
	}
}

const (
	// quick is for how many of the shortest rests an endpoint is tried after
	// each of them, so that the end of a short outage is noticed soon; from
	// then on as late as the outage was long, since every try of a long one is
	// a call that fails.
	quick = 8
	// prior is how many calls that fail at the rate of Normal each failure rate
	// is mixed with.
	prior = 500
	// recently is the weight of the last call in the short memory that tells
	// whether an endpoint fails now, and sick the level that counts as that:
	// one failure is enough, since others must be known to fail before the
	// first of them is ejected for it.
	recently = 0.5
	sick     = 0.5
	// heard is how many others must have been heard from before the first
	// ejection, but for patience.
	heard    = 3
	patience = 250 * time.Millisecond
	// shunned is how many calls an endpoint whose last one failed must have
	// missed, of those that are its share, and dear how many times dearer than
	// those that answer it must be, more than a failure makes it that took no
	// time: so dear that nobody goes there, and nobody would notice that it is
	// well again.
	shunned = 20
	dear    = 8
)

// Change is what happened to an endpoint.
type Change uint8

const (
	// Ejected: it is out of service.
	Ejected Change = iota
	// Readmitted: it is back.
	Readmitted
	// Spared: it should be out, but too many are.
	Spared
)

// Member is one endpoint.
type Member struct {
	Weight float64
	Load   *slots.Load
}

// Ejector watches over a fixed set of endpoints. Its methods are safe for
// concurrent use, Tick not with itself.
type Ejector struct {
	cfg      Config
	evidence float64 // that ejects
	tell     func(l *slots.Load, c Change)
	nodes    []*node
	weight   float64
	// sick counts the endpoints in service that fail now, serving all of them.
	sick, serving atomic.Int64
	// probe is the index of the endpoint that the next call should try, plus
	// one; zero is none.
	probe atomic.Int64

	mu     *sync.Mutex // of all ejectors that share nodes; guards every change of a phase
	ticked time.Duration
}

// phase is where an endpoint stands.
type phase uint32

const (
	in      phase = iota
	out           // until its time is over
	probing       // one call after the other is tried
)

// node is the record of one endpoint; it outlives the ejectors it is in.
type node struct {
	load   *slots.Load
	weight float64
	phase  atomic.Uint32
	// evidence and recent are float64 bits; others is p0.
	evidence, recent, others atomic.Uint64
	sick                     atomic.Bool
	// calls and fails count since the last tick.
	calls, fails atomic.Uint64
	// answered and failed are when a call last did so, began is when the
	// evidence was last none.
	answered, failed, began atomic.Int64

	// What follows is under the ejectors' lock.

	// allCalls and allFails are the counts of the window, with forgetting.
	allCalls, allFails float64
	// since is when the outage began, back when the last one ended, until
	// when the endpoint is to be tried.
	since, back, until time.Duration
	// tried is when the last call that tries it was given out, to a tick.
	tried  time.Duration
	won    int
	spared time.Duration
	// missed counts the calls that others got since its last one failed.
	missed float64
}

// price is what a call to n costs, whatever its weight; zero if the picker has
// no prices.
func (n *node) price() float64 { return float64(n.load.Cost.Load()) * n.weight }

// failedLast reports whether the last call to n failed.
func (n *node) failedLast() bool { return n.failed.Load() > n.answered.Load() }

func (n *node) is() phase { return phase(n.phase.Load()) }

// New returns an ejector for members. Endpoints that previous (which may be
// nil) knew keep their records. tell is told of every change, under no lock.
func New(cfg Config, previous *Ejector, members []Member, tell func(l *slots.Load, c Change)) *Ejector {
	e := &Ejector{cfg: cfg, evidence: math.Log(cfg.Odds), tell: tell, nodes: make([]*node, len(members)), mu: new(sync.Mutex)}
	if previous != nil { // which is in use, and will be for a moment
		e.mu = previous.mu
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ticked = previous.ticked
	}
	heaviest := 0.0 // so that no sum of weights is infinite
	for _, m := range members {
		heaviest = max(heaviest, m.Weight)
	}
	for i, m := range members {
		n, _ := m.Load.Ejector.(*node)
		if n == nil || previous == nil {
			n = &node{load: m.Load, spared: math.MinInt64 / 2, back: math.MinInt64 / 2}
			n.others.Store(math.Float64bits(cfg.Normal))
			m.Load.Ejector = n
		}
		n.weight = m.Weight / heaviest
		e.nodes[i] = n
		e.weight += n.weight
		if n.is() == in {
			e.serving.Add(1)
			if n.sick.Load() {
				e.sick.Add(1)
			}
		}
	}
	return e
}

// Probe returns the index of an endpoint that the caller must try, to see
// whether it is well again, or -1 if there is none. Each is given out once.
func (e *Ejector) Probe() int {
	if i := e.probe.Load(); i != 0 && e.probe.CompareAndSwap(i, 0) {
		return int(i) - 1
	}
	return -1
}

// Probing reports whether Probe has an endpoint to try.
func (e *Ejector) Probing() bool { return e.probe.Load() != 0 }

// Sick reports whether endpoint i is in service and failed its last call, or
// some of the last few.
func (e *Ejector) Sick(i int) bool { return i >= 0 && i < len(e.nodes) && e.nodes[i].sick.Load() }

// Report takes the outcome of a call to endpoint i.
func (e *Ejector) Report(i int, failed bool, now time.Duration) {
	if i < 0 || i >= len(e.nodes) {
		return
	}
	n := e.nodes[i]
	n.calls.Add(1)
	if failed {
		n.fails.Add(1)
		n.failed.Store(int64(now))
	} else {
		n.answered.Store(int64(now))
	}
	switch n.is() {
	case out: // a call from before
	case probing:
		e.probed(i, failed, now)
	case in:
		switch {
		case failed:
			e.failed(n, now)
		case n.evidence.Load() != 0 || n.recent.Load() != 0:
			e.succeeded(n)
		}
	}
}

func (e *Ejector) failed(n *node, now time.Duration) {
	e.mark(n, add(&n.recent, func(r float64) float64 { return r + recently*(1-r) }))
	sick, others := e.sick.Load(), e.serving.Load()-1
	if n.sick.Load() {
		sick--
	}
	if 2*sick > others { // what happens to most is nobody's own fault
		n.evidence.Store(0)
		return
	}
	p0 := math.Float64frombits(n.others.Load())
	if n.evidence.Load() == 0 {
		n.began.Store(int64(now))
	}
	sum := add(&n.evidence, func(s float64) float64 { return s + math.Log(broken(p0)/p0) })
	if sum > e.evidence && e.alone(n, now) {
		e.eject(n, now)
	}
}

// alone reports whether n fails and others do not, by the last outcome of those
// that were heard from since n began to fail. In the first moments of a failure
// of all, each endpoint seems to be the only one: some others must have
// answered, unless nobody calls them.
func (e *Ejector) alone(n *node, now time.Duration) bool {
	began := n.began.Load()
	others, answered, failing := 0, 0, 0
	for _, o := range e.nodes {
		if o == n || o.is() != in {
			continue
		}
		others++
		switch a, f := o.answered.Load(), o.failed.Load(); {
		case max(a, f) < began || max(a, f) == 0:
		case a > f:
			answered++
		default:
			failing++
		}
	}
	if answered+failing < min(heard, others) && int64(now)-began < int64(patience) {
		return false
	}
	return answered >= failing
}

func (e *Ejector) succeeded(n *node) {
	e.mark(n, add(&n.recent, func(r float64) float64 {
		if r *= 1 - recently; r < 0.01 {
			r = 0
		}
		return r
	}))
	p0 := math.Float64frombits(n.others.Load())
	add(&n.evidence, func(s float64) float64 { return max(0, s+math.Log((1-broken(p0))/(1-p0))) })
}

// broken is the failure rate p1 that tells a broken server from one that is as
// good as the others, which fail p0 of their calls.
func broken(p0 float64) float64 { return (1 + p0) / 2 }

// mark notes whether n fails now.
func (e *Ejector) mark(n *node, recent float64) {
	if now := recent >= sick; n.sick.CompareAndSwap(!now, now) {
		if now {
			e.sick.Add(1)
		} else {
			e.sick.Add(-1)
		}
	}
}

// add changes the float64 in v and returns what it became.
func add(v *atomic.Uint64, f func(float64) float64) float64 {
	for {
		old := v.Load()
		next := f(math.Float64frombits(old))
		if v.CompareAndSwap(old, math.Float64bits(next)) {
			return next
		}
	}
}

// eject takes n out of service, unless too many are.
func (e *Ejector) eject(n *node, now time.Duration) {
	e.mu.Lock()
	if n.is() != in {
		e.mu.Unlock()
		return
	}
	if e.outLocked()+n.weight > e.cfg.MaxShare*e.weight*(1+1e-9) {
		n.evidence.Store(math.Float64bits(e.evidence)) // no more than it takes: it may recover
		say := now-n.spared >= time.Second
		if say {
			n.spared = now
		}
		e.mu.Unlock()
		if say {
			e.tell(n.load, Spared)
		}
		return
	}
	if now-n.back > e.cfg.Longest { // else it is the same outage still
		n.since = now
	}
	n.phase.Store(uint32(out))
	e.serving.Add(-1)
	if n.sick.CompareAndSwap(true, false) {
		e.sick.Add(-1)
	}
	e.restLocked(n, now, 0)
	n.load.SetEjected(true)
	e.mu.Unlock()
	e.tell(n.load, Ejected)
}

// outLocked is the weight of the endpoints out of service.
func (e *Ejector) outLocked() float64 {
	w := 0.0
	for _, n := range e.nodes {
		if n.load.Out() {
			w += n.weight
		}
	}
	return w
}

// restLocked lets n be until it is to be tried, for least or longer.
func (e *Ejector) restLocked(n *node, now, least time.Duration) {
	rest := e.cfg.Shortest - rand.N(e.cfg.Shortest/4+1)
	if outage := now - n.since; outage > quick*e.cfg.Shortest {
		rest = outage + rand.N(outage/2+1)
	}
	n.until = now + min(max(rest, least), e.cfg.Longest)
	n.won, n.tried = 0, n.until
}

// probed takes the outcome of a call to an endpoint that is being tried.
func (e *Ejector) probed(i int, failed bool, now time.Duration) {
	n := e.nodes[i]
	e.mu.Lock()
	if n.is() != probing {
		e.mu.Unlock()
		return
	}
	back := false
	switch n.won++; {
	case failed:
		n.phase.Store(uint32(out))
		e.restLocked(n, now, now-n.tried) // a call that took long to fail costs more
	case n.won >= e.cfg.Successes:
		e.readmitLocked(n, now)
		back = true
	default:
		if e.probe.CompareAndSwap(0, int64(i)+1) {
			n.tried = now
		}
	}
	e.mu.Unlock()
	if back {
		e.tell(n.load, Readmitted)
	}
}

// readmitLocked puts n back into service, with half of the evidence that it
// takes to eject it again.
func (e *Ejector) readmitLocked(n *node, now time.Duration) {
	n.phase.Store(uint32(in))
	n.back = now
	n.recent.Store(0)
	n.evidence.Store(math.Float64bits(e.evidence / 2))
	n.began.Store(int64(now))
	e.serving.Add(1)
	n.load.SetEjected(false)
}

// Tick lets time pass: failure rates are taken anew, endpoints whose time is
// over are tried, those that a failure has left without calls are ejected, so
// that they will be, and all come back when too many are out.
func (e *Ejector) Tick(now time.Duration) {
	e.mu.Lock()
	keep := math.Exp(-float64(now-e.ticked) / float64(e.cfg.Window))
	e.ticked = now
	calls, fails, fresh, weight := 0.0, 0.0, 0.0, 0.0
	well, price := 0.0, 0.0 // of those that answered last
	sick, serving := int64(0), int64(0)
	for _, n := range e.nodes {
		got := float64(n.calls.Swap(0))
		n.allCalls = keep*n.allCalls + got
		n.allFails = keep*n.allFails + float64(n.fails.Swap(0))
		if n.is() == in {
			calls += n.allCalls
			fails += n.allFails
			fresh += got
			weight += n.weight
			serving++
			if n.sick.Load() {
				sick++
			}
			if !n.failedLast() {
				well++
				price += n.price()
			}
		}
		if got > 0 {
			n.missed = 0
		}
	}
	// Counted anew, since the ejector before this one has counted for itself
	// what it heard of last.
	e.sick.Store(sick)
	e.serving.Store(serving)
	panicking := e.outLocked() > e.cfg.MaxShare*e.weight*(1+1e-9)
	var back, lost []*node
	for i, n := range e.nodes {
		c, f := calls, fails
		switch n.is() {
		case in:
			c, f = c-n.allCalls, f-n.allFails
			if n.evidence.Load() == 0 || !n.failedLast() {
				n.missed = 0
			} else if n.missed += fresh * n.weight / weight; n.missed >= shunned &&
				n.price()*well > dear*price && e.alone(n, now) {
				n.missed = 0
				lost = append(lost, n)
			}
		case out, probing:
			if panicking {
				e.readmitLocked(n, now)
				back = append(back, n)
				continue
			}
			if now >= n.until {
				n.phase.Store(uint32(probing))
			}
			if n.is() == probing && n.load.InFlight() == 0 {
				e.probe.CompareAndSwap(0, int64(i)+1)
			}
			if e.probe.Load() == int64(i)+1 { // still to be given out
				n.tried = now
			}
		}
		n.others.Store(math.Float64bits(max(e.cfg.Normal, (f+prior*e.cfg.Normal)/(c+prior))))
	}
	e.mu.Unlock()
	for _, n := range back {
		e.tell(n.load, Readmitted)
	}
	for _, n := range lost {
		e.eject(n, now)
	}
}
