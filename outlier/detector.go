package outlier

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

const (
	// baselineFailureRate is the failure rate below which no endpoint is worse
	// than the others: theirs counts as at least that.
	baselineFailureRate = 0.002
	// window is the time constant in which failure rates are forgotten: long
	// beside the few calls that an ejection takes, so that an outage of all is
	// not yet what is normal.
	window = 20 * time.Second
	// successThreshold is how many probes must succeed, one after the other, to
	// readmit an endpoint. One success may be luck, also at a server that fails
	// every other call.
	successThreshold = 2
	// shortOutage is for how many of the base ejection times an endpoint is
	// probed after each of them, so that the end of a short outage is noticed
	// soon. From then on the probe interval grows with the outage, since every
	// probe of a long one is a call that fails.
	shortOutage = 8
	// prior is how many calls that fail at the baseline failure rate each
	// failure rate is mixed with.
	prior = 500
	// recently is the weight of the last call in the short memory that says
	// whether an endpoint fails now, and failingLevel the level that counts as
	// that: one failure is enough, since others must be known to fail before
	// the first of them is ejected for it.
	recently     = 0.5
	failingLevel = 0.5
	// heard is how many others must have been heard from before the first
	// ejection; after patience fewer will do.
	heard    = 3
	patience = 250 * time.Millisecond
	// An endpoint whose last call failed is ejected when it has missed shunned
	// calls that were its share and costs a balancer that knows costs tooCostly
	// times as much as those that answer: no call would go there, and no call
	// would notice that it has recovered.
	shunned   = 20
	tooCostly = 8
)

// Change is what happened to an endpoint.
type Change uint8

const (
	// Ejected means that the endpoint is out of service.
	Ejected Change = iota
	// Readmitted means that it is back in service.
	Readmitted
	// Suppressed means that it should be out of service, but too many are.
	Suppressed
)

// Notice is a change, with its cause and numbers.
type Notice struct {
	// Addr is the address of the endpoint.
	Addr   string
	Change Change
	// Cause is why, in words and numbers.
	Cause error
	// Duration is the time until the first probe of an endpoint that was ejected, or
	// for which one that is readmitted was out of service.
	Duration time.Duration
	Evidence Evidence
}

// Evidence is the numbers behind a change.
type Evidence struct {
	// Calls is how many calls were counted since the endpoint began to fail, and
	// Failures how many of them failed.
	Calls, Failures uint64
	// Likelihood is how much likelier "broken" is than "as good as the others"; see
	// [Config.EvidenceThreshold].
	Likelihood float64
	// Baseline is the failure rate of the others, from 0 to 1.
	Baseline float64
	// Probes is how many probes have ended since the ejection.
	Probes uint64
}

// Detector watches over a fixed set of endpoints and marks those that are
// ejected in their load. A pool runs one by itself; simulations may too. It
// knows no clock: time is a parameter, counted from when the pool was made. Its
// methods are safe for concurrent use, Tick not with itself.
type Detector struct {
	cfg      Config
	evidence float64 // that ejects
	notify   func(Notice)
	members  []balance.Member
	// known are the records that reports need: of each member, from the first report to
	// this detector on, or nil.
	known []atomic.Pointer[record]
	// weight is that of all members, in weights of the heaviest.
	heaviest, weight float64
	// others is the failure rate of all that are in service, float64 bits: what a new
	// record has for that of the others.
	others atomic.Uint64
	// failing counts the endpoints in service that fail now, serving all of them.
	failing, serving atomic.Int64
	// hastened is when hasten last did something.
	hastened atomic.Int64
	// probe is the index of the endpoint that the next call should try, plus
	// one; zero is none.
	probe atomic.Int64

	mu       *sync.Mutex // of all detectors that share records; guards every change of a state
	ticked   time.Duration
	recorded []int // of which endpoints there are records, for Tick
}

// New returns a detector for members, which must not change. Endpoints that previous,
// which may be nil, knew keep their records. notify is called with every change, under
// no lock.
func New(cfg Config, previous *Detector, members []balance.Member, notify func(Notice)) *Detector {
	cfg = cfg.withDefaults()
	d := &Detector{cfg: cfg, evidence: math.Log(cfg.EvidenceThreshold), notify: notify, members: members, known: make([]atomic.Pointer[record], len(members)), mu: new(sync.Mutex)}
	d.others.Store(math.Float64bits(baselineFailureRate))
	if previous != nil { // which is in use, and will be for a moment
		d.mu = previous.mu
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ticked = previous.ticked
		d.others.Store(previous.others.Load())
	}
	for _, m := range members {
		d.heaviest = max(d.heaviest, m.Weight())
	}
	for i := range members {
		d.weight += d.weightOf(i)
		n := d.record(i)
		if n != nil && previous == nil { // of a detector that this one does not continue
			n = newRecord(d.others.Load())
			d.load(i).Detector.Store(n)
		}
		if n == nil || n.is() == inService {
			d.serving.Add(1)
			if n != nil && n.failing.Load() {
				d.failing.Add(1)
			}
		}
	}
	return d
}

// Probe returns the index of an ejected endpoint that the caller must call, to
// see whether it has recovered, or -1 if none is due. Each probe is given out
// once.
func (d *Detector) Probe() int {
	if i := d.probe.Load(); i != 0 && d.probe.CompareAndSwap(i, 0) {
		return int(i) - 1
	}
	return -1
}

// Due returns a word that is not 0 while [Detector.Probe] has one to give out. A
// pool reads it on every call.
func (d *Detector) Due() *atomic.Int64 { return &d.probe }

// Failing reports whether endpoint i is in service and failed its last call, or
// some of the last few. An index out of range is no endpoint that fails.
func (d *Detector) Failing(i int) bool {
	if i < 0 || i >= len(d.members) {
		return false
	}
	n := d.record(i)
	return n != nil && n.failing.Load()
}

// Report takes the outcome of a call to endpoint i. Outcomes other than OK and
// Failure say nothing of whether an endpoint is an outlier.
func (d *Detector) Report(i int, o balance.Outcome, now time.Duration) {
	switch o {
	case balance.OutcomeOK:
		d.report(i, false, now)
	case balance.OutcomeFailure:
		d.report(i, true, now)
	default:
	}
}

func (d *Detector) report(i int, failed bool, now time.Duration) {
	if i < 0 || i >= len(d.known) {
		return
	}
	n := d.known[i].Load()
	if n == nil {
		n = d.recordOf(i)
		d.known[i].Store(n)
	}
	n.calls.Add(1)
	if failed {
		n.fails.Add(1)
		n.failed.Store(int64(now))
	} else {
		n.answered.Store(int64(now))
	}
	switch n.is() {
	case ejected: // a call from before the ejection
	case probing:
		d.probed(i, failed, now)
	case inService:
		switch {
		case failed:
			d.failed(i, n, now)
		case n.evidence.Load() != 0 || n.recent.Load() != 0:
			d.succeeded(n)
		}
	}
}

func (d *Detector) failed(i int, n *record, now time.Duration) {
	d.mark(n, add(&n.recent, func(r float64) float64 { return r + recently*(1-r) }))
	failing, others := d.failing.Load(), d.serving.Load()-1
	if n.failing.Load() {
		failing--
	}
	if 2*failing > others { // what happens to most is nobody's own fault
		n.evidence.Store(0)
		d.hasten(now)
		return
	}
	p0 := math.Float64frombits(n.others.Load())
	if n.evidence.Load() == 0 {
		n.began.Store(int64(now))
		n.suspectCalls.Store(0)
		n.suspectFails.Store(0)
	}
	n.suspectCalls.Add(1)
	n.suspectFails.Add(1)
	sum := add(&n.evidence, func(s float64) float64 { return s + math.Log(broken(p0)/p0) })
	if sum > d.evidence && d.alone(n, now) {
		d.eject(i, n, now)
	}
}

// alone reports whether n fails and others do not, by the last outcome of those
// that were heard from since n began to fail. In the first moments of a failure
// of all, each endpoint seems to be the only one: some others must have
// answered, unless nobody calls them.
func (d *Detector) alone(n *record, now time.Duration) bool {
	began := n.began.Load()
	others, answered, failing := 0, 0, 0
	for i := range d.members {
		o := d.record(i)
		if o == nil { // never heard from
			others++
			continue
		}
		if o == n || o.is() != inService {
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

func (d *Detector) succeeded(n *record) {
	n.suspectCalls.Add(1)
	d.mark(n, add(&n.recent, func(r float64) float64 {
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
func (d *Detector) mark(n *record, recent float64) {
	if now := recent >= failingLevel; n.failing.CompareAndSwap(!now, now) {
		if now {
			d.failing.Add(1)
		} else {
			d.failing.Add(-1)
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

// maxLogarithm bounds that of a likelihood, which must be a number in JSON too.
const maxLogarithm = 700

// evidenceNow is the evidence against n.
func (n *record) evidenceNow() Evidence {
	return Evidence{
		Calls: n.suspectCalls.Load(), Failures: n.suspectFails.Load(), Baseline: math.Float64frombits(n.others.Load()),
		Likelihood: math.Exp(min(math.Float64frombits(n.evidence.Load()), maxLogarithm)),
	}
}

// why is the cause of an ejection.
func (e Evidence) why() error {
	return fmt.Errorf("%d of its last %d calls failed, where %.2g %% is usual", e.Failures, e.Calls, 100*e.Baseline)
}

var (
	errAnswered  = fmt.Errorf("%d probes were answered", successThreshold)
	errPanicking = errors.New("too many others are out of service")
	errByHand    = errors.New("a person or the program asked for it")
)

// Eject takes endpoint i out of service without evidence. It is not probed and gets no
// calls until [Detector.Readmit], or until too many endpoints are out of service, which
// readmits it with all others. Ejecting one that is ejected already keeps it out. The
// error says that too many others are out; an index out of range is an error, too.
func (d *Detector) Eject(i int, now time.Duration) error {
	if i < 0 || i >= len(d.members) {
		return errors.New("there is no such endpoint")
	}
	n := d.recordOf(i)
	d.mu.Lock()
	if n.held {
		d.mu.Unlock()
		return nil
	}
	out := d.unavailableLocked()
	if !d.load(i).Unavailable() {
		out += d.weightOf(i)
	}
	if out > d.limit() {
		d.mu.Unlock()
		return errPanicking
	}
	n.held = true
	if n.is() == inService {
		n.since, n.probes = now, 0
		d.serving.Add(-1)
		if n.failing.CompareAndSwap(true, false) {
			d.failing.Add(-1)
		}
	}
	n.state.Store(uint32(ejected))
	d.probe.CompareAndSwap(int64(i)+1, 0)
	d.load(i).SetEjected(true)
	d.mu.Unlock()
	d.notify(Notice{Addr: d.addr(i), Change: Ejected, Cause: errByHand})
	return nil
}

// Readmit puts endpoint i back into service if it is ejected, for whatever reason. If
// calls to it fail still, it is ejected again after half as many as the first time.
func (d *Detector) Readmit(i int, now time.Duration) {
	if i < 0 || i >= len(d.members) {
		return
	}
	n := d.recordOf(i)
	d.mu.Lock()
	if n.is() == inService {
		d.mu.Unlock()
		return
	}
	d.probe.CompareAndSwap(int64(i)+1, 0)
	notice := d.readmitLocked(i, n, now, errByHand)
	d.mu.Unlock()
	d.notify(notice)
}

// eject takes n out of service, unless too many are.
func (d *Detector) eject(i int, n *record, now time.Duration) {
	d.mu.Lock()
	if n.is() != inService {
		d.mu.Unlock()
		return
	}
	e := n.evidenceNow()
	if d.unavailableLocked()+d.weightOf(i) > d.limit() {
		n.evidence.Store(math.Float64bits(d.evidence)) // no more than it takes: it may recover
		d.hastenLocked(now)
		say := now-n.suppressed >= time.Second
		if say {
			n.suppressed = now
		}
		d.mu.Unlock()
		if say {
			d.notify(Notice{Addr: d.addr(i), Change: Suppressed, Cause: fmt.Errorf("%w; %w", e.why(), errPanicking), Evidence: e})
		}
		return
	}
	if now-n.back > d.cfg.MaxEjectionTime { // else it is the same outage still
		n.since = now
	}
	n.state.Store(uint32(ejected))
	d.serving.Add(-1)
	if n.failing.CompareAndSwap(true, false) {
		d.failing.Add(-1)
	}
	n.probes = 0
	d.backOffLocked(n, now, 0)
	d.load(i).SetEjected(true)
	probed := n.until - now
	d.mu.Unlock()
	d.notify(Notice{Addr: d.addr(i), Change: Ejected, Cause: e.why(), Duration: probed, Evidence: e})
}

// limit is the most weight that may be out of service.
func (d *Detector) limit() float64 {
	return float64(d.cfg.MaxEjectionPercent) / 100 * d.weight * (1 + 1e-9)
}

// unavailableLocked is the weight of the endpoints out of service.
func (d *Detector) unavailableLocked() float64 {
	w := 0.0
	for i := range d.members {
		if d.load(i).Unavailable() {
			w += d.weightOf(i)
		}
	}
	return w
}

// backOffLocked leaves n alone until its next probe, for least or longer.
func (d *Detector) backOffLocked(n *record, now, least time.Duration) {
	pause := d.cfg.BaseEjectionTime - rand.N(d.cfg.BaseEjectionTime/4+1)
	n.soonest = now + min(max(pause, least), d.cfg.MaxEjectionTime)
	if outage := now - n.since; outage > shortOutage*d.cfg.BaseEjectionTime {
		pause = outage + rand.N(outage/2+1)
	}
	n.until = now + min(max(pause, least), d.cfg.MaxEjectionTime)
	n.successes, n.probed = 0, n.until
}

// hasten is hastenLocked, at most every tenth of a second: each call may have failed.
func (d *Detector) hasten(now time.Duration) {
	last := d.hastened.Load()
	if int64(now)-last < int64(100*time.Millisecond) || !d.hastened.CompareAndSwap(last, int64(now)) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hastenLocked(now)
}

// hastenLocked has ejected endpoints probed as soon as after a short outage: most in
// service fail, or one is broken and stays for want of others. They may have recovered.
func (d *Detector) hastenLocked(now time.Duration) {
	for i := range d.members {
		if n := d.record(i); n != nil && n.is() == ejected {
			n.until = min(n.until, n.soonest)
			d.offerLocked(i, n, now)
		}
	}
}

// offerLocked gives out a probe of n, which is out of service, if one is due.
func (d *Detector) offerLocked(i int, n *record, now time.Duration) {
	if now >= n.until && !n.held {
		n.state.Store(uint32(probing))
	}
	if n.is() == probing && d.load(i).InFlight() == 0 {
		d.probe.CompareAndSwap(0, int64(i)+1)
	}
	if d.probe.Load() == int64(i)+1 { // still to be given out
		n.probed = now
	}
}

// probed takes the outcome of a probe.
func (d *Detector) probed(i int, failed bool, now time.Duration) {
	n := d.recordOf(i)
	d.mu.Lock()
	if n.is() != probing {
		d.mu.Unlock()
		return
	}
	var back Notice
	n.probes++
	switch n.successes++; {
	case failed:
		n.state.Store(uint32(ejected))
		d.backOffLocked(n, now, now-n.probed) // a call that took long to fail costs more
	case n.successes >= successThreshold:
		back = d.readmitLocked(i, n, now, errAnswered)
	default:
		if d.probe.CompareAndSwap(0, int64(i)+1) {
			n.probed = now
		}
	}
	d.mu.Unlock()
	if back.Cause != nil {
		d.notify(back)
	}
}

// readmitLocked puts n back into service, with half of the evidence that it
// takes to eject it again, and returns the notice of it.
func (d *Detector) readmitLocked(i int, n *record, now time.Duration, why error) Notice {
	e := n.evidenceNow()
	e.Probes = n.probes
	n.state.Store(uint32(inService))
	n.back, n.held = now, false
	n.recent.Store(0)
	n.evidence.Store(math.Float64bits(d.evidence / 2))
	n.began.Store(int64(now))
	d.serving.Add(1)
	d.load(i).SetEjected(false)
	return Notice{Addr: d.addr(i), Change: Readmitted, Cause: why, Duration: now - n.since, Evidence: e}
}

// Tick lets time pass: it updates the failure rates, makes endpoints whose
// ejection time is over due for a probe, ejects those that a failure has left
// without calls, so that they are probed, and readmits all when too many are
// out.
func (d *Detector) Tick(now time.Duration) {
	d.mu.Lock()
	keep := math.Exp(-float64(now-d.ticked) / float64(window))
	d.ticked = now
	calls, fails, fresh, weight := 0.0, 0.0, 0.0, 0.0
	healthy, cost := 0.0, 0.0 // of those that answered last
	failing, serving := int64(0), int64(0)
	out := 0.0 // as unavailableLocked counts, without another look at all
	d.recorded = d.recorded[:0]
	for i := range d.members {
		if d.load(i).Unavailable() {
			out += d.weightOf(i)
		}
		n := d.record(i)
		if n == nil { // in service, and without a call
			weight += d.weightOf(i)
			serving++
			healthy++
			cost += d.cost(i)
			continue
		}
		d.recorded = append(d.recorded, i)
		got := float64(n.calls.Swap(0))
		n.allCalls = keep*n.allCalls + got
		n.allFails = keep*n.allFails + float64(n.fails.Swap(0))
		if n.is() == inService {
			calls += n.allCalls
			fails += n.allFails
			fresh += got
			weight += d.weightOf(i)
			serving++
			if n.failing.Load() {
				failing++
			}
			if !n.failedLast() {
				healthy++
				cost += d.cost(i)
			}
		}
		if got > 0 {
			n.missed = 0
		}
	}
	// Counted anew, since the detector before this one has counted for itself
	// what it heard of last.
	d.failing.Store(failing)
	d.serving.Store(serving)
	panicking := out > d.limit()
	d.others.Store(math.Float64bits(failureRate(calls, fails)))
	var lost []int
	var back []Notice
	for _, i := range d.recorded {
		n := d.record(i)
		c, f := calls, fails
		switch n.is() {
		case inService:
			c, f = c-n.allCalls, f-n.allFails
			if n.evidence.Load() == 0 || !n.failedLast() {
				n.missed = 0
			} else if n.missed += fresh * d.weightOf(i) / weight; n.missed >= shunned &&
				d.cost(i)*healthy > tooCostly*cost && d.alone(n, now) {
				n.missed = 0
				lost = append(lost, i)
			}
		case ejected, probing:
			if panicking {
				back = append(back, d.readmitLocked(i, n, now, errPanicking))
				continue
			}
			d.offerLocked(i, n, now)
		}
		n.others.Store(math.Float64bits(failureRate(c, f)))
	}
	d.mu.Unlock()
	for _, notice := range back {
		d.notify(notice)
	}
	for _, i := range lost {
		d.eject(i, d.recordOf(i), now)
	}
}

// failureRate is what counts as the failure rate of endpoints that failed so many of
// their calls.
func failureRate(calls, fails float64) float64 {
	return max(baselineFailureRate, (fails+prior*baselineFailureRate)/(calls+prior))
}
