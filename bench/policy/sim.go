package main

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
)

const (
	// servers is the size of the fleet, and workers how many calls each of them answers at a time.
	servers = 10
	workers = 4
	// service is the mean time that a server works on a call, and sigma the deviation of its logarithm.
	service = 10 * time.Millisecond
	sigma   = 0.5
	// deadline is how long a caller waits.
	deadline = time.Second
	// refusal is how long a failing server takes to answer.
	refusal = 100 * time.Microsecond
	// tick is how often the pool calls Tick of its picker.
	tick = 100 * time.Millisecond
	// attempts is how often a call is made at most, with retries.
	attempts = 3
)

// attempt is a call on its way to a server.
type attempt struct {
	client, server int
	begun          time.Duration // the call
	at             time.Duration // this attempt
	work           time.Duration
	asked          uint16 // servers that have failed the call, as bits
	n              int    // of this attempt, from 1
	measured       bool
	failed         bool
}

// outcome is what the callers see of one run.
type outcome struct {
	// latencies are those of the measured calls, sorted. A call that did not end in time counts as the deadline. A call
	// that failed otherwise does not count.
	latencies []time.Duration
	calls     int
	// failed counts the attempts that failed, visible the calls.
	failed, visible int
	// victim counts the attempts at servers while they have a fault.
	victim int
	// ejections counts those of all clients.
	ejections int
	// late is the time from the end of the fault to the beginning of the last attempt that failed.
	late time.Duration
}

func (o *outcome) quantile(q float64) float64 { return measure.Quantile(o.latencies, q) }

// percent returns n in percent of the calls.
func (o *outcome) percent(n int) float64 { return 100 * float64(n) / float64(o.calls) }

// sim is one run.
type sim struct {
	scenario
	arm     arm
	retry   bool
	now     time.Duration
	fleet   []*server
	clients []*client
	events  queue
	calls   []attempt
	vacant  []int32 // of calls
	// arrive draws arrivals and sizes, which are the same for all arms. chance draws whether a call fails.
	arrive, chance *rand.Rand
	out            outcome
}

// play plays a scenario once.
func play(s scenario, a arm, retry bool, seed uint64) outcome {
	w := &sim{
		scenario: s, arm: a, retry: retry,
		arrive: rand.New(rand.NewPCG(seed, 1)), chance: rand.New(rand.NewPCG(seed, 2)),
	}
	for range servers {
		w.fleet = append(w.fleet, &server{free: make([]time.Duration, workers), slower: constant(1)})
	}
	if s.prepare != nil {
		s.prepare(w.fleet, rand.New(rand.NewPCG(seed, 3)))
	}
	known := servers
	if s.joins > 0 {
		known--
		w.events.push(event{at: s.joins, kind: joining})
	}
	order := rand.New(rand.NewPCG(seed, 4))
	for n := range s.clients {
		c := newClient(w)
		c.know(w, known, order)
		w.clients = append(w.clients, c)
		w.events.push(event{at: tick * time.Duration(n+1) / time.Duration(s.clients), kind: ticking, n: int32(n)})
	}
	w.events.push(event{kind: arrival})
	w.run(order)
	slices.Sort(w.out.latencies)
	return w.out
}

func (w *sim) run(order *rand.Rand) {
	for w.now < w.ends {
		e := w.events.pop()
		w.now = e.at
		switch e.kind {
		case arrival:
			w.begin()
			rate := w.load * servers * workers / service.Seconds()
			if w.surge.has(w.now) {
				rate *= w.surgeBy
			}
			gap := time.Duration(w.arrive.ExpFloat64() / rate * float64(time.Second))
			w.events.push(event{at: w.now + gap, kind: arrival})
		case ticking:
			c := w.clients[e.n]
			if t, ok := c.picker.(balance.Ticker); ok {
				t.Tick(w.now)
			}
			w.out.ejections += c.ejections()
			w.events.push(event{at: w.now + tick, kind: ticking, n: e.n})
		case ending:
			w.end(e.n)
		case joining:
			for _, c := range w.clients {
				c.know(w, servers, order)
			}
		}
	}
}

// begin makes a new call.
func (w *sim) begin() {
	a := attempt{
		client: w.arrive.IntN(len(w.clients)), begun: w.now, measured: w.measured.has(w.now), n: 1,
		work: time.Duration(float64(service) * math.Exp(sigma*w.arrive.NormFloat64()-sigma*sigma/2)),
	}
	c := w.clients[a.client]
	c.retrier.Count(1)
	if a.measured {
		w.out.calls++
	}
	a.server = c.pick(&a)
	w.send(a)
}

// send makes an attempt.
func (w *sim) send(a attempt) {
	c, v := w.clients[a.client], w.fleet[a.server]
	c.loads[c.member[a.server]].Begin()
	a.at = w.now
	var end time.Duration
	if v.failing.has(w.now) {
		end, a.failed = w.now+refusal, true
	} else {
		end = v.call(w.now, a.work)
		a.failed = v.flaky.has(w.now) && w.chance.Float64() < v.rate
		if limit := a.begun + deadline; end >= limit {
			end, a.failed = limit, true
		}
	}
	if a.measured && a.server < w.victims && w.fault.has(w.now) {
		w.out.victim++
	}
	w.events.push(event{at: end, kind: ending, n: w.keep(a)})
}

func (w *sim) end(n int32) {
	a := w.calls[n]
	w.vacant = append(w.vacant, n)
	c := w.clients[a.client]
	i := c.member[a.server]
	c.loads[i].End()
	r := balance.Report{Latency: w.now - a.at, At: w.now}
	if a.failed {
		r.Outcome = balance.OutcomeFailure
	}
	c.picker.Report(i, r)
	w.out.ejections += c.ejections()
	if a.failed {
		if a.measured {
			w.out.failed++
		}
		w.out.late = max(w.out.late, a.at-w.fault.to)
		if w.retry && a.n < attempts && w.now < a.begun+deadline && c.retrier.Allow(context.Background()) {
			a.asked |= 1 << a.server
			a.n++
			a.server = c.pick(&a)
			w.send(a)
			return
		}
	}
	if !a.measured {
		return
	}
	if a.failed {
		w.out.visible++
	}
	if !a.failed || w.now >= a.begun+deadline {
		w.out.latencies = append(w.out.latencies, w.now-a.begun)
	}
}

// keep stores an attempt and returns its index.
func (w *sim) keep(a attempt) int32 {
	if k := len(w.vacant); k > 0 {
		n := w.vacant[k-1]
		w.vacant = w.vacant[:k-1]
		w.calls[n] = a
		return n
	}
	w.calls = append(w.calls, a)
	return int32(len(w.calls) - 1)
}
