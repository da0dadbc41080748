package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/core"
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
	// refusal is how long a server takes that fails at once.
	refusal = 100 * time.Microsecond
	tick    = 100 * time.Millisecond
)

// attempt is a call on its way.
type attempt struct {
	client        int
	i             int           // index of the member
	first         int           // index that the first attempt went to, plus one; 0: this is the first
	begun         time.Duration // of the call
	at            time.Duration // when this attempt began
	failed        bool          // its outcome
	work          time.Duration
	measured, hit bool
}

// event is the end of an attempt; or, without one, a tick of a client; or the next arrival.
type event struct {
	at   time.Duration
	kind kind
	n    int32 // index of the attempt or the client
}

type kind uint8

const (
	arrival kind = iota
	ticking
	ending
	joining
)

// client is one process that calls.
type client struct {
	picker core.Picker
	// server maps members to servers.
	server  []int
	members []core.Member
	loads   []*core.MemberLoad
	out     []bool
	tokens  float64
	filled  time.Duration
}

// outcome is what callers saw of one run.
type outcome struct {
	// latencies of the calls that were measured, sorted; what did not end in time counts as the deadline, what failed
	// otherwise does not count.
	latencies []time.Duration
	calls     int
	// failed counts attempts that failed, visible calls.
	failed, visible int
	// victim counts attempts at servers that have a fault now.
	victim int
	// ejections by all clients.
	ejections int
	// back is how long after the end of the fault the first call succeeded.
	back time.Duration
	// share of the calls that the server that has recovered or joined got in each tick after the fault, times servers.
	share []float64
}

func (o *outcome) quantile(q float64) time.Duration {
	return time.Duration(measure.Quantile(o.latencies, q))
}

type sim struct {
	scenario
	seed    uint64
	retry   bool
	arm     arm
	now     time.Duration
	fleet   []*server
	clients []*client
	calls   []attempt
	vacant  []int32
	events  []event
	arrive  *rand.Rand
	chance  *rand.Rand
	out     outcome
	shares  [][servers]int
}

// play runs a scenario once. Arrivals, sizes and the fleet's faults are the same for all arms.
func play(s scenario, a arm, retry bool, seed uint64) outcome {
	w := &sim{scenario: s, seed: seed, retry: retry, arm: a}
	w.arrive = rand.New(rand.NewPCG(seed, 1))
	w.chance = rand.New(rand.NewPCG(seed, 2))
	faults := rand.New(rand.NewPCG(seed, 3))
	for range servers {
		v := &server{free: make([]time.Duration, workers), slower: func(time.Duration) float64 { return 1 }}
		w.fleet = append(w.fleet, v)
	}
	if s.prepare != nil {
		s.prepare(w.fleet, faults)
	}
	n := servers
	if s.joins > 0 {
		n--
		w.push(event{at: s.joins, kind: joining})
	}
	order := rand.New(rand.NewPCG(seed, 4))
	for c := range s.clients {
		cl := &client{tokens: retryFloor * retryWindow}
		w.clients = append(w.clients, cl)
		w.join(cl, n, order)
		w.push(event{at: tick * time.Duration(c+1) / time.Duration(s.clients), kind: ticking, n: int32(c)})
	}
	w.push(event{kind: arrival})
	w.out.back = -1
	w.run(order)
	slices.Sort(w.out.latencies)
	for _, counts := range w.shares {
		all := 0
		for _, k := range counts {
			all += k
		}
		w.out.share = append(w.out.share, float64(counts[0])*servers/float64(max(all, 1)))
	}
	return w.out
}

// join tells a client of the first n servers.
func (w *sim) join(c *client, n int, order *rand.Rand) {
	known := map[int]int{}
	for i, s := range c.server {
		known[s] = i
	}
	perm := order.Perm(n)
	members, loads, out := make([]core.Member, n), make([]*core.MemberLoad, n), make([]bool, n)
	for i, s := range perm {
		if old, ok := known[s]; ok {
			members[i], loads[i], out[i] = c.members[old], c.loads[old], c.out[old]
		} else {
			members[i], loads[i] = core.NewMember(core.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", s+1)})
		}
	}
	// Calls in flight know their member by index.
	for k := range w.calls {
		if a := &w.calls[k]; w.clients[a.client] == c && len(c.server) > 0 {
			a.i = slices.Index(perm, c.server[a.i])
			if a.first > 0 {
				a.first = slices.Index(perm, c.server[a.first-1]) + 1
			}
		}
	}
	c.members, c.loads, c.out, c.server = members, loads, out, perm
	c.picker = w.arm.build(w, c)
}

func (w *sim) run(order *rand.Rand) {
	for {
		e := w.pop()
		w.now = e.at
		switch e.kind {
		case arrival:
			if w.now >= w.ends {
				return
			}
			w.begin()
			rate := w.load * servers * workers / service.Seconds()
			if w.surge.has(w.now) {
				rate *= w.surgeBy
			}
			gap := time.Duration(w.arrive.ExpFloat64() / rate * float64(time.Second))
			w.push(event{at: w.now + gap, kind: arrival})
		case ticking:
			c := w.clients[e.n]
			if t, ok := c.picker.(core.Ticker); ok {
				t.Tick(w.now)
			}
			w.watch(c)
			w.push(event{at: w.now + tick, kind: ticking, n: e.n})
		case ending:
			w.end(e.n)
		case joining:
			for _, c := range w.clients {
				w.join(c, servers, order)
			}
		}
	}
}

// begin makes a new call.
func (w *sim) begin() {
	a := attempt{
		client: w.arrive.IntN(len(w.clients)), begun: w.now, measured: w.measured.has(w.now),
		work: time.Duration(float64(service) * math.Exp(sigma*w.arrive.NormFloat64()-sigma*sigma/2)),
	}
	c := w.clients[a.client]
	c.tokens++ // in retries times retryShare
	if a.measured {
		w.out.calls++
	}
	a.i = w.pick(c, a.work)
	w.send(a)
}

func (w *sim) pick(c *client, work time.Duration) int {
	if o, ok := c.picker.(*omniscient); ok {
		return o.best(work)
	}
	return c.picker.Pick(core.Hint{})
}

// send makes an attempt.
func (w *sim) send(a attempt) {
	c := w.clients[a.client]
	a.at = w.now
	c.loads[a.i].Begin()
	s := c.server[a.i]
	v := w.fleet[s]
	var end time.Duration
	if v.broken.has(w.now) {
		end, a.failed = w.now+refusal, true
	} else {
		end = v.call(w.now, a.work)
		a.failed = v.flaky.has(w.now) && w.chance.Float64() < v.rate
		if limit := a.begun + deadline; end >= limit {
			end, a.failed = limit, true
		}
	}
	if a.measured && s < w.victims && w.fault.has(w.now) {
		w.out.victim++
	}
	if after := w.now - w.fault.to; after >= 0 && w.fault.to > 0 || w.joins > 0 && w.now >= w.joins {
		if w.joins > 0 {
			after, s = w.now-w.joins, servers-1-s
		}
		for int(after/tick) >= len(w.shares) {
			w.shares = append(w.shares, [servers]int{})
		}
		w.shares[after/tick][s]++
	}
	w.push(event{at: end, kind: ending, n: w.keep(a)})
}

func (w *sim) end(n int32) {
	a := w.calls[n]
	w.vacant = append(w.vacant, n)
	w.calls[n] = attempt{i: a.i, client: a.client} // of no meaning
	c := w.clients[a.client]
	c.loads[a.i].End()
	r := core.Report{Latency: w.now - a.at, At: w.now}
	if a.failed {
		r.Class = core.Failure
	}
	c.picker.Report(a.i, r)
	w.watch(c)
	if !a.failed && w.now >= w.fault.to && a.at >= w.fault.to && w.out.back < 0 {
		w.out.back = w.now - w.fault.to
	}
	if a.measured && a.failed {
		w.out.failed++
	}
	if a.failed && w.retry && a.first == 0 && w.now < a.begun+deadline && c.allow(w.now) {
		a.first = a.i + 1
		for k := 0; a.i == a.first-1; k++ {
			if a.i = w.pick(c, a.work); k == 20 {
				a.i = (a.i + 1) % len(c.members)
			}
		}
		a.failed = false
		w.send(a)
		return
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

// watch counts the members that were ejected since it looked last.
func (w *sim) watch(c *client) {
	for i, m := range c.members {
		if out := m.Out(); out != c.out[i] {
			if c.out[i] = out; out {
				w.out.ejections++
				if debug { println(w.now/1000000, i, c.server[i]) }
			}
		}
	}
}

const (
	retryShare  = 0.2
	retryFloor  = 10.0
	retryWindow = 10.0
)

// allow is the budget of retries: a fifth of the calls plus ten per second, of ten seconds.
func (c *client) allow(now time.Duration) bool {
	most := (retryFloor*retryWindow)/retryShare + 1e4
	c.tokens = min(most, c.tokens+(now-c.filled).Seconds()*retryFloor/retryShare)
	c.filled = now
	if c.tokens*retryShare < 1 {
		return false
	}
	c.tokens -= 1 / retryShare
	return true
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

// push and pop keep the events in a heap by time.
func (w *sim) push(e event) {
	h := append(w.events, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if h[up].at <= e.at {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	w.events = h
}

func (w *sim) pop() event {
	h := w.events
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	w.events = h
	for i := 0; len(h) > 0; {
		least := 4*i + 1
		for k := least + 1; k < min(4*i+5, len(h)); k++ {
			if h[k].at < h[least].at {
				least = k
			}
		}
		if least >= len(h) || last.at <= h[least].at {
			h[i] = last
			break
		}
		h[i] = h[least]
		i = least
	}
	return top
}

var debug = os.Getenv("DEBUG") != ""
